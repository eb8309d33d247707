#include "engine.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>

#include "bounds.h"
#include "universal.h"

namespace neurn::align {
namespace {

// Where one sequence is empty: one gap, or nothing.
int64_t gap_score(int64_t n, int64_t m, const Scoring& scoring, const Region& region) {
  const bool is_free = n > 0 ? region.a_begin || region.a_end : region.b_begin || region.b_end;
  return n + m == 0 || is_free ? 0 : scoring.gap_open + (n + m) * scoring.gap_extend;
}

// Aligns pairs one after the other, each in the narrowest type that provably holds its scores.
class Aligner {
 public:
  Aligner(const Scoring& scoring, const Region& region)
      : Aligner(scoring, region, Bounds(scoring)) {}
  Aligner(const Scoring& scoring, const Region& region, const Bounds& bounds)
      : scoring_(scoring), region_(region), bounds_(bounds), narrow_(scoring, region) {}

  int64_t score(Sequence a, Sequence b, const Poll& poll) {
    const bool narrow = fits_narrow(a, b);
    if (a.size == 0 || b.size == 0) return gap_score(a.size, b.size, scoring_, region_);
    return narrow ? narrow_.score(a, b, poll) : wide().score(a, b, poll);
  }

  int64_t align(Sequence a, Sequence b, const Poll& poll, std::vector<Move>& path) {
    const bool narrow = fits_narrow(a, b);
    if (a.size == 0 || b.size == 0) {
      path.assign(a.size + b.size, a.size > 0 ? Move::up : Move::left);
      return gap_score(a.size, b.size, scoring_, region_);
    }
    return narrow ? narrow_.align(a, b, poll, path) : wide().align(a, b, poll, path);
  }

 private:
  bool fits_narrow(Sequence a, Sequence b) const {
    const bool indices_fit =
        scoring_.table == nullptr || scoring_.symbols * scoring_.symbols <= int64_t{1} << 31;
    return bounds_.of(a.size, b.size) < int64_t{1} << 29 && indices_fit;
  }
  Universal<int64_t>& wide() {
    if (!wide_) wide_.emplace(scoring_, region_);
    return *wide_;
  }

  const Scoring scoring_;
  const Region region_;
  const Bounds bounds_;
  Universal<int32_t> narrow_;
  std::optional<Universal<int64_t>> wide_;
};

// Consecutive pairs that one thread scores in a go: some hundredths of a second.
struct Item {
  int64_t row, begin, end;
};
constexpr int64_t item_cells = 30'000'000;
constexpr int64_t pair_overhead_cells = 2000;

// Collects pairs (row, begin ..) into items; cost(column) in cells.
template <class Cost>
void add_items(std::vector<Item>& items, int64_t row, int64_t begin, int64_t end,
               const Cost& cost) {
  while (begin < end) {
    int64_t stop = begin, sum = 0;
    while (stop < end && (stop == begin || sum + cost(stop) <= item_cells)) sum += cost(stop++);
    items.push_back({row, begin, stop});
    begin = stop;
  }
}

// Of one pair; throws where its scores may pass the limit.
int64_t cost(const Bounds& bounds, Sequence a, Sequence b) {
  bounds.of(a.size, b.size);
  return (a.size + 1) * (b.size + 1) + pair_overhead_cells;
}

// body(aligner, item, poll) for each item, on the call's threads.
template <class Body>
bool run_items(const std::vector<Item>& items, const Scoring& scoring, const Region& region,
               const Bounds& bounds, const Parallel& parallel, const Body& body) {
  const std::thread::id caller = std::this_thread::get_id();
  std::atomic<bool> stopped{false};
  const Poll poll = [&] {
    if (parallel.poll != nullptr && std::this_thread::get_id() == caller &&
        !parallel.poll(parallel.poll_context, 0, 0)) {
      stopped = true;
    }
    return !stopped;
  };
  auto run = [&](int64_t k) {
    try {
      Aligner aligner(scoring, region, bounds);
      body(aligner, items[k], poll);
    } catch (const Stopped&) {
      stopped = true;
    }
  };
  using Run = decltype(run);
  const bool done =
      parallel.run(parallel, int64_t(items.size()), &run,
                   [](void* context, int64_t k) { (*static_cast<Run*>(context))(k); });
  return done && !stopped;
}

}  // namespace

int64_t score(Sequence a, Sequence b, const Scoring& scoring, const Region& region,
              const Poll& poll) {
  return Aligner(scoring, region).score(a, b, poll);
}

int64_t align(Sequence a, Sequence b, const Scoring& scoring, const Region& region,
              std::vector<Move>& path, const Poll& poll) {
  return Aligner(scoring, region).align(a, b, poll, path);
}

bool cross_scores(const Sequences& a, const Sequences& b, bool symmetric, const Scoring& scoring,
                  const Region& region, int64_t* out, int64_t stride, const Parallel& parallel) {
  const Bounds bounds(scoring);
  std::vector<Item> items;
  for (int64_t i = 0; i < a.count; ++i) {
    add_items(items, i, symmetric ? i : 0, b.count,
              [&](int64_t j) { return cost(bounds, a[i], b[j]); });
  }
  return run_items(items, scoring, region, bounds, parallel,
                   [&](Aligner& aligner, const Item& item, const Poll& poll) {
                     const int64_t i = item.row;
                     for (int64_t j = item.begin; j < item.end; ++j) {
                       const int64_t score = aligner.score(a[i], b[j], poll);
                       out[i * stride + j] = score;
                       if (symmetric) out[j * stride + i] = score;
                     }
                   });
}

bool pair_scores(const Sequences& sequences, const int64_t* pairs, int64_t count,
                 const Scoring& scoring, const Region& region, int64_t* out,
                 const Parallel& parallel) {
  const Bounds bounds(scoring);
  std::vector<Item> items;
  add_items(items, 0, 0, count, [&](int64_t p) {
    return cost(bounds, sequences[pairs[2 * p]], sequences[pairs[2 * p + 1]]);
  });
  return run_items(items, scoring, region, bounds, parallel,
                   [&](Aligner& aligner, const Item& item, const Poll& poll) {
                     for (int64_t p = item.begin; p < item.end; ++p) {
                       out[p] = aligner.score(sequences[pairs[2 * p]], sequences[pairs[2 * p + 1]],
                                              poll);
                     }
                   });
}

}  // namespace neurn::align
