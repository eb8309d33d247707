#include "engine.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>

#include "bit_kernels.h"
#include "bounds.h"
#include "lane_set.h"
#include "number_set.h"
#include "plan.h"
#include "scratch_pool.h"
#include "strip_pair.h"
#include "strip_set.h"
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
      : scoring_(simplified(scoring)),
        region_(region),
        bounds_(bounds),
        narrow_(scoring_, region) {}

  int64_t score(Sequence a, Sequence b, const Poll& poll) {
    const bool narrow = fits_narrow(a, b);
    if (a.size == 0 || b.size == 0) return gap_score(a.size, b.size, scoring_, region_);
    if (const auto bits = strips_for(a, b)) {
      return strip_score(bit_kernels(), *bits, scoring_.gap_extend, a, b, throwing(poll));
    }
    return narrow ? narrow_.score(a, b, poll) : wide().score(a, b, poll);
  }

  int64_t align(Sequence a, Sequence b, const Poll& poll, std::vector<Move>& path) {
    const bool narrow = fits_narrow(a, b);
    if (a.size == 0 || b.size == 0) {
      path.assign(a.size + b.size, a.size > 0 ? Move::up : Move::left);
      return gap_score(a.size, b.size, scoring_, region_);
    }
    if (const auto bits = strips_for(a, b)) {
      return strip_align(bit_kernels(), *bits, scoring_.gap_extend, a, b, throwing(poll), path);
    }
    return narrow ? narrow_.align(a, b, poll, path) : wide().align(a, b, poll, path);
  }

 private:
  bool fits_narrow(Sequence a, Sequence b) const {
    const bool indices_fit =
        scoring_.table == nullptr || scoring_.symbols * scoring_.symbols <= int64_t{1} << 31;
    return bounds_.of(a.size, b.size) < int64_t{1} << 29 && indices_fit;
  }
  std::optional<BitScoring> strips_for(Sequence a, Sequence b) const {
    if (!strips_pay(bit_kernels(), a, b)) return {};
    return bit_scoring(scoring_, region_, token_bits(a) | token_bits(b));
  }
  static std::function<void()> throwing(const Poll& poll) {
    return [&poll] {
      if (poll && !poll()) throw Stopped();
    };
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
// Pairs from which on lanes of bit planes are faster than one by one.
constexpr int64_t least_in_lanes = 48;

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

// A share of a call's work: its progress is that of the call.
struct Share {
  const Parallel& call;
  double begin, end;

  static bool poll(void* self, int64_t done, int64_t count) {
    constexpr int64_t whole = int64_t{1} << 30;
    const Share& share = *static_cast<Share*>(self);
    if (count == 0) return share.call.poll(share.call.poll_context, 0, 0);
    const double part = double(done) / double(count);
    const double all = share.begin + (share.end - share.begin) * part;
    return share.call.poll(share.call.poll_context, int64_t(all * double(whole)), whole);
  }
  Parallel parallel() {
    Parallel out = call;
    if (call.poll != nullptr) out.poll = poll, out.poll_context = this;
    return out;
  }
};

// Pairs that are sorted and scored at a time, so that lists of them stay small.
constexpr int64_t listed_pairs = int64_t{1} << 18;

// Scores lists of pairs by lanes.
class PairLanes {
 public:
  PairLanes(const SetScoring& held, SetKernel kernel) : held_(held), kernel_(kernel) {}

  bool any() const { return kernel_ != SetKernel::one_by_one; }
  // Pairs that share their first sequence from which on lanes pay; 0: they need share none.
  int64_t least_shared() const {
    if (kernel_ != SetKernel::number_pairs || held_.scoring.table == nullptr) return 0;
    return std::max(number_kernels().vector_bytes / held_.numbers->bytes / 4, 2);
  }

  bool score(const Sequences& sequences, const int64_t* pairs, const int64_t* chosen, int64_t count,
             int64_t* out, const Parallel& parallel) const {
    if (kernel_ == SetKernel::lane_pairs) {
      return lane_pair_scores(bit_kernels(), *held_.bits, held_.scoring.gap_extend, sequences,
                              pairs, chosen, count, out, parallel);
    }
    return number_pair_scores(number_kernels(), *held_.numbers, held_.scoring, sequences, pairs,
                              chosen, count, out, parallel);
  }

 private:
  const SetScoring& held_;
  const SetKernel kernel_;
};

// cross_scores by lists of pairs.
bool listed_cross_scores(const SetScoring& held, SetKernel kernel, const Sequences& a,
                         const Sequences& b, bool symmetric, int64_t* out, int64_t stride,
                         const Parallel& parallel) {
  const PairLanes lanes(held, kernel);
  const Scoring& scoring = held.scoring;
  write_gaps_only(scoring.gap_extend, a, b, symmetric, out, stride, scoring.gap_open);
  // Both sets as one, b behind a.
  std::vector<Token> tokens(a.tokens + a.offsets[0], a.tokens + a.offsets[a.count]);
  std::vector<int64_t> offsets, pairs, chosen, scores;
  for (int64_t i = 0; i <= a.count; ++i) offsets.push_back(a.offsets[i] - a.offsets[0]);
  for (int64_t j = 1; j <= b.count; ++j) {
    offsets.push_back(offsets[a.count] + b.offsets[j] - b.offsets[0]);
  }
  tokens.insert(tokens.end(), b.tokens + b.offsets[0], b.tokens + b.offsets[b.count]);
  const Sequences both{tokens.data(), offsets.data(), a.count + b.count};
  const int64_t all = a.count * b.count;
  for (int64_t begin = 0; begin < all; begin += listed_pairs) {
    const int64_t end = std::min(begin + listed_pairs, all);
    pairs.clear(), chosen.clear();
    for (int64_t p = begin; p < end; ++p) {
      const int64_t i = p / b.count, j = p % b.count;
      if (a[i].size == 0 || b[j].size == 0 || (symmetric && j < i)) continue;
      chosen.push_back(int64_t(chosen.size()));
      pairs.push_back(i);
      pairs.push_back(a.count + j);
    }
    scores.resize(chosen.size());
    Share share{parallel, double(begin) / double(all), double(end) / double(all)};
    if (!lanes.score(both, pairs.data(), chosen.data(), int64_t(chosen.size()), scores.data(),
                     share.parallel())) {
      return false;
    }
    for (size_t k = 0; k < scores.size(); ++k) {
      const int64_t i = pairs[2 * k], j = pairs[2 * k + 1] - a.count;
      out[i * stride + j] = scores[k];
      if (symmetric) out[j * stride + i] = scores[k];
    }
  }
  return true;
}

// Moves pairs whose first sequence is that of few others to `single`; brings together those that
// share it.
void share_first(const Sequences& sequences, const int64_t* pairs, int64_t least,
                 std::vector<int64_t>& listed, std::vector<int64_t>& single) {
  std::vector<int64_t> with(static_cast<size_t>(sequences.count));
  const auto first = [&](int64_t p) { return pairs[2 * p]; };
  for (const int64_t p : listed) ++with[first(p)];
  std::vector<int64_t> kept;
  for (const int64_t p : listed) (with[first(p)] >= least ? kept : single).push_back(p);
  const auto before = [&](int64_t p, int64_t q) { return first(p) < first(q); };
  if (!std::is_sorted(kept.begin(), kept.end(), before)) {
    std::stable_sort(kept.begin(), kept.end(), before);
  }
  listed = std::move(kept);
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

// Some sequences, copied one after the other.
class Chosen {
 public:
  // Numbers of sequences, each once.
  Chosen(const Sequences& sequences, const std::vector<int64_t>& numbers) {
    for (const int64_t number : numbers) {
      const Sequence sequence = sequences[number];
      tokens_.insert(tokens_.end(), sequence.data, sequence.data + sequence.size);
      offsets_.push_back(int64_t(tokens_.size()));
    }
  }
  Sequences view() const { return {tokens_.data(), offsets_.data(), int64_t(offsets_.size()) - 1}; }

 private:
  std::vector<Token> tokens_;
  std::vector<int64_t> offsets_{0};
};

// A list of pairs seen as part of all pairs of its first with its second sequences.
class Cross {
 public:
  Cross(const Sequences& sequences, const int64_t* pairs, int64_t count)
      : pairs_(pairs),
        count_(count),
        rows_(number(sequences.count, pairs, count, row_)),
        columns_(number(sequences.count, pairs + 1, count, column_)) {
    if (!dense()) return;
    a_.emplace(sequences, rows_);
    b_.emplace(sequences, columns_);
  }

  // Whether it has most of them.
  bool dense() const {
    return count_ >= least_in_lanes &&
           double(rows_.size()) * double(columns_.size()) <= 1.25 * double(count_);
  }
  Sequences a() const { return a_->view(); }
  Sequences b() const { return b_->view(); }

  bool scores(const Scoring& scoring, const Region& region, int64_t* out,
              const Parallel& parallel) const {
    const int64_t width = int64_t(columns_.size());
    std::vector<int64_t> all(rows_.size() * columns_.size());
    if (!cross_scores(a(), b(), false, scoring, region, all.data(), width, parallel)) return false;
    for (int64_t p = 0; p < count_; ++p) {
      out[p] = all[row_[pairs_[2 * p]] * width + column_[pairs_[2 * p + 1]]];
    }
    return true;
  }

 private:
  // The sequences of one side in the order of their first pairs, and the place of each in it.
  static std::vector<int64_t> number(int64_t sequences, const int64_t* side, int64_t count,
                                     std::vector<int64_t>& place) {
    std::vector<int64_t> out;
    place.assign(sequences, -1);
    for (int64_t p = 0; p < count; ++p) {
      int64_t& at = place[side[2 * p]];
      if (at >= 0) continue;
      at = int64_t(out.size());
      out.push_back(side[2 * p]);
    }
    return out;
  }

  const int64_t* pairs_;
  const int64_t count_;
  std::vector<int64_t> row_, column_;
  const std::vector<int64_t> rows_, columns_;
  std::optional<Chosen> a_, b_;
};

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
  const SetScoring held(scoring, region, token_bits(a) | token_bits(b));
  const SetKernel kernel = set_kernel(bit_kernels(), number_kernels(), held, a, b, symmetric);
  const int64_t gap = scoring.gap_extend;
  switch (kernel) {
    case SetKernel::lanes:
      return lane_scores(bit_kernels(), *held.bits, gap, a, b, symmetric, out, stride, parallel);
    case SetKernel::strips:
      return strip_scores(bit_kernels(), *held.bits, gap, a, b, symmetric, out, stride, parallel);
    case SetKernel::number_lanes:
      return number_scores(number_kernels(), *held.numbers, held.scoring, a, b, symmetric, out,
                           stride, parallel);
    case SetKernel::lane_pairs:
    case SetKernel::number_pairs:
      return listed_cross_scores(held, kernel, a, b, symmetric, out, stride, parallel);
    case SetKernel::one_by_one:
      break;
  }
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
  const auto a = [&](int64_t p) { return sequences[pairs[2 * p]]; };
  const auto b = [&](int64_t p) { return sequences[pairs[2 * p + 1]]; };
  const SetScoring held(scoring, region, token_bits(sequences));
  const Cross cross(sequences, pairs, count);
  if (cross.dense()) {
    switch (set_kernel(bit_kernels(), number_kernels(), held, cross.a(), cross.b(), false)) {
      case SetKernel::lanes:
      case SetKernel::strips:
      case SetKernel::number_lanes:
        return cross.scores(scoring, region, out, parallel);
      default:
        break;
    }
  }
  const PairLanes lanes(held, list_kernel(bit_kernels(), held));
  // Pairs for lanes, and the others.
  std::vector<int64_t> listed, single;
  for (int64_t p = 0; p < count; ++p) {
    cost(bounds, a(p), b(p));
    const bool in_lanes = lanes.any() && a(p).size > 0 && b(p).size > 0 &&
                          std::max(a(p).size, b(p).size) <= longest_in_lanes;
    (in_lanes ? listed : single).push_back(p);
  }
  if (lanes.least_shared() > 0) {
    share_first(sequences, pairs, lanes.least_shared(), listed, single);
  } else if (int64_t(listed.size()) < least_in_lanes) {
    single.insert(single.end(), listed.begin(), listed.end());
    listed.clear();
  }
  const auto cells = [&](const std::vector<int64_t>& of) {
    double out = 0;
    for (const int64_t p : of) out += double(cost(bounds, a(p), b(p)));
    return out;
  };
  const double single_cells = cells(single), listed_cells = cells(listed);
  const double part = single_cells / std::max(single_cells + listed_cells, 1.0);
  std::vector<Item> items;
  add_items(items, 0, 0, int64_t(single.size()),
            [&](int64_t k) { return cost(bounds, a(single[k]), b(single[k])); });
  Share first{parallel, 0, listed.empty() ? 1 : part};
  if (!items.empty() && !run_items(items, scoring, region, bounds, first.parallel(),
                                   [&](Aligner& aligner, const Item& item, const Poll& poll) {
                                     for (int64_t k = item.begin; k < item.end; ++k) {
                                       const int64_t p = single[k];
                                       out[p] = aligner.score(a(p), b(p), poll);
                                     }
                                   })) {
    return false;
  }
  const int64_t lists = (int64_t(listed.size()) + listed_pairs - 1) / listed_pairs;
  for (int64_t list = 0; list < lists; ++list) {
    const int64_t begin = list * listed_pairs;
    const int64_t end = std::min<int64_t>(begin + listed_pairs, int64_t(listed.size()));
    Share share{parallel, part + (1 - part) * double(list) / double(lists),
                part + (1 - part) * double(list + 1) / double(lists)};
    if (!lanes.score(sequences, pairs, listed.data() + begin, end - begin, out, share.parallel())) {
      return false;
    }
  }
  return true;
}

}  // namespace neurn::align
