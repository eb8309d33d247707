#include "lane_set.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "scratch_pool.h"
#include "strip_rows.h"

namespace neurn::align {
namespace {

constexpr int64_t lanes_per_word = 64;
// Groups of targets that one item of work meets.
constexpr int64_t groups_per_item = 64;

struct Scratch {
  Buffer rows, columns, begun, difference;
  std::vector<int32_t> lane;
  std::vector<int64_t> size, sum, index;
};

// A word of lanes each: the token planes of up to 64 targets.
struct Group {
  int64_t begin, end;  // ranks
  int64_t columns;
  std::unique_ptr<uint64_t[]> planes;
};

// All but the first are full: empty lanes are those beside the shortest.
std::vector<Group> groups_of(const Sequences& targets, const std::vector<int64_t>& rank) {
  std::vector<Group> out;
  const int64_t count = static_cast<int64_t>(rank.size());
  for (int64_t begin = 0, end; begin < count; begin = end) {
    const int64_t part = (count - begin) % lanes_per_word;
    end = begin + (part == 0 ? lanes_per_word : part);
    out.push_back({begin, end, targets[rank[static_cast<size_t>(end - 1)]].size, nullptr});
  }
  return out;
}

int64_t group_of(int64_t rank, int64_t count) {
  const int64_t empty = (lanes_per_word - count % lanes_per_word) % lanes_per_word;
  return (rank + empty) / lanes_per_word;
}

class Cross {
 public:
  Cross(const BitKernels& kernels, const BitScoring& scoring, int64_t gap, const Sequences& a,
        const Sequences& b, bool symmetric, int64_t* out, int64_t stride)
      : kernels_(kernels),
        scoring_(scoring),
        gap_(gap),
        a_(a),
        b_(b),
        symmetric_(symmetric),
        out_(out),
        stride_(stride),
        queries_(by_size(a)),
        targets_(symmetric ? queries_ : by_size(b)),
        groups_(groups_of(b, targets_)) {
    chunks_ = (group_count() + groups_per_item - 1) / groups_per_item;
  }

  bool run(const Parallel& parallel) {
    write_gaps_only(gap_, a_, b_, symmetric_, out_, stride_);
    const bool packed = parallel.run(parallel, group_count(), this, [](void* self, int64_t i) {
      static_cast<Cross*>(self)->pack_group(i);
    });
    const int64_t query_groups =
        (static_cast<int64_t>(queries_.size()) + kernels_.words - 1) / kernels_.words;
    return packed &&
           parallel.run(parallel, query_groups * chunks_, this,
                        [](void* self, int64_t i) { static_cast<Cross*>(self)->sweep(i); });
  }

 private:
  int64_t group_count() const { return static_cast<int64_t>(groups_.size()); }

  void pack_group(int64_t i) {
    Group& group = groups_[static_cast<size_t>(i)];
    const int64_t planes = scoring_.token_planes;
    group.planes =
        std::make_unique_for_overwrite<uint64_t[]>(static_cast<size_t>(group.columns * planes));
    const Token* sequence[lanes_per_word];
    int64_t size[lanes_per_word], first[lanes_per_word] = {};
    for (int64_t l = 0; l < group.end - group.begin; ++l) {
      const Sequence target = b_[targets_[static_cast<size_t>(group.begin + l)]];
      sequence[l] = target.data;
      size[l] = target.size;
    }
    kernels_.pack({sequence, size, first, static_cast<int>(group.end - group.begin), group.columns,
                   scoring_.token_planes, group.planes.get(), planes, 1});
  }

  // One word of lanes for each query.
  void sweep(int64_t item) {
    const int64_t words = kernels_.words, planes = scoring_.token_planes;
    const int64_t query_begin = item / chunks_ * words;
    const int64_t query_end =
        std::min<int64_t>(query_begin + words, static_cast<int64_t>(queries_.size()));
    const int64_t first_group =
        symmetric_ ? group_of(query_begin, static_cast<int64_t>(queries_.size())) : 0;
    const int64_t group_begin = std::max(item % chunks_ * groups_per_item, first_group);
    const int64_t group_end = std::min((item % chunks_ + 1) * groups_per_item, group_count());
    if (group_begin >= group_end) return;
    std::unique_ptr<Scratch> scratch = pool_.take();
    LaneCall call{};
    call.scoring = scoring_;
    call.shared = true;
    call.row_count = query(query_end - 1).size;
    call.ragged = call.row_count - query(query_begin).size;
    uint64_t* rows = scratch->rows.get(call.row_count * planes * words);
    std::fill_n(rows, call.row_count * planes * words, 0);
    uint64_t* begun = scratch->begun.get(std::max<int64_t>(call.ragged * words, 1));
    std::fill_n(begun, call.ragged * words, 0);
    for (int64_t q = query_begin; q < query_end; ++q) {
      const Sequence of = query(q);
      const int64_t first = call.row_count - of.size, w = q - query_begin;
      for (int64_t i = 0; i < of.size; ++i) {
        uint64_t* row = rows + (first + i) * planes * words + w;
        for (int64_t k = 0; k < planes; ++k) {
          row[k * words] = ~((static_cast<uint64_t>(of.data[i]) >> k & 1) - 1);
        }
      }
      for (int64_t i = first; i < call.ragged; ++i) begun[i * words + w] = ~uint64_t{0};
    }
    call.rows = rows;
    call.begun = begun;
    for (int64_t g = group_begin; g < group_end; ++g) {
      meet(groups_[static_cast<size_t>(g)], query_begin, query_end, call, *scratch);
    }
    pool_.give(std::move(scratch));
  }

  void meet(const Group& group, int64_t query_begin, int64_t query_end, LaneCall& call,
            Scratch& scratch) {
    call.columns = group.planes.get();
    call.column_count = group.columns;
    call.difference = scratch.difference.get(group.columns * scoring_.planes * kernels_.words);
    scratch.lane.clear();
    scratch.size.clear();
    for (int64_t t = group.begin; t < group.end; ++t) {
      for (int64_t q = query_begin; q < query_end; ++q) {
        if (symmetric_ && t < q) continue;
        scratch.lane.push_back(
            static_cast<int32_t>((q - query_begin) * lanes_per_word + t - group.begin));
        scratch.size.push_back(target(t).size);
      }
    }
    call.count = static_cast<int64_t>(scratch.lane.size());
    scratch.sum.resize(scratch.lane.size());
    call.lane = scratch.lane.data();
    call.size = scratch.size.data();
    call.sum = scratch.sum.data();
    kernels_.run_lanes(call);
    for (int64_t l = 0; l < call.count; ++l) {
      const int64_t q = query_begin + call.lane[l] / lanes_per_word;
      const int64_t t = group.begin + call.lane[l] % lanes_per_word;
      const int64_t i = queries_[static_cast<size_t>(q)], j = targets_[static_cast<size_t>(t)];
      const int64_t score = call.sum[l] + gap_ * (query(q).size + call.size[l]);
      out_[i * stride_ + j] = score;
      if (symmetric_) out_[j * stride_ + i] = score;
    }
  }

  Sequence query(int64_t q) const { return a_[queries_[static_cast<size_t>(q)]]; }
  Sequence target(int64_t t) const { return b_[targets_[static_cast<size_t>(t)]]; }

  const BitKernels& kernels_;
  const BitScoring scoring_;
  const int64_t gap_;
  const Sequences a_, b_;
  const bool symmetric_;
  int64_t* const out_;
  const int64_t stride_;
  const std::vector<int64_t> queries_, targets_;
  std::vector<Group> groups_;
  int64_t chunks_;
  ScratchPool<Scratch> pool_;
};

class Pairs {
 public:
  Pairs(const BitKernels& kernels, const BitScoring& scoring, int64_t gap,
        const Sequences& sequences, const int64_t* pairs, const int64_t* chosen, int64_t count,
        int64_t* out)
      : kernels_(kernels),
        scoring_(scoring),
        gap_(gap),
        out_(out),
        jobs_(static_cast<size_t>(count)) {
    bool sorted = true;
    for (int64_t p = 0; p < count; ++p) {
      Job& job = jobs_[static_cast<size_t>(p)];
      job.pair = chosen[p];
      job.a = sequences[pairs[2 * job.pair]];
      job.b = sequences[pairs[2 * job.pair + 1]];
      // Two scores are the same both ways: the shorter goes into the rows.
      if (job.a.size > job.b.size) std::swap(job.a, job.b);
      sorted = sorted && (p == 0 || !(job < jobs_[static_cast<size_t>(p - 1)]));
    }
    if (!sorted) std::stable_sort(jobs_.begin(), jobs_.end());
  }

  bool run(const Parallel& parallel) {
    const int64_t lanes = kernels_.words * lanes_per_word;
    const int64_t batches = (static_cast<int64_t>(jobs_.size()) + lanes - 1) / lanes;
    return parallel.run(parallel, batches, this,
                        [](void* self, int64_t i) { static_cast<Pairs*>(self)->sweep(i); });
  }

 private:
  struct Job {
    Sequence a, b;
    int64_t pair;
    bool operator<(const Job& other) const {
      return a.size != other.a.size ? a.size < other.a.size : b.size < other.b.size;
    }
  };

  void sweep(int64_t batch) {
    const int64_t words = kernels_.words, lanes = words * lanes_per_word;
    const int64_t planes = scoring_.token_planes;
    const Job* jobs = jobs_.data() + batch * lanes;
    const int64_t count =
        std::min<int64_t>(lanes, static_cast<int64_t>(jobs_.size()) - batch * lanes);
    std::unique_ptr<Scratch> scratch = pool_.take();
    LaneCall call{};
    call.scoring = scoring_;
    call.row_count = jobs[count - 1].a.size;
    call.ragged = call.row_count - jobs[0].a.size;
    for (int64_t l = 0; l < count; ++l) {
      call.column_count = std::max(call.column_count, jobs[l].b.size);
    }
    uint64_t* rows = scratch->rows.get(call.row_count * planes * words);
    uint64_t* columns = scratch->columns.get(call.column_count * planes * words);
    for (int64_t w = 0; w < words; ++w) {
      const Token* sequence[2][lanes_per_word];
      int64_t size[2][lanes_per_word], first[2][lanes_per_word];
      const int here = static_cast<int>(std::clamp<int64_t>(count - w * lanes_per_word, 0, 64));
      for (int l = 0; l < here; ++l) {
        const Job& job = jobs[w * lanes_per_word + l];
        sequence[0][l] = job.a.data, size[0][l] = job.a.size;
        sequence[1][l] = job.b.data, size[1][l] = job.b.size;
        first[0][l] = call.row_count - job.a.size, first[1][l] = 0;
      }
      kernels_.pack({sequence[0], size[0], first[0], here, call.row_count, scoring_.token_planes,
                     rows + w, planes * words, words});
      kernels_.pack({sequence[1], size[1], first[1], here, call.column_count, scoring_.token_planes,
                     columns + w, planes * words, words});
    }
    uint64_t* begun = scratch->begun.get(std::max<int64_t>(call.ragged * words, 1));
    std::fill_n(begun, call.ragged * words, 0);
    scratch->lane.resize(static_cast<size_t>(count));
    scratch->size.resize(static_cast<size_t>(count));
    scratch->sum.resize(static_cast<size_t>(count));
    for (int64_t l = 0; l < count; ++l) {
      for (int64_t i = call.row_count - jobs[l].a.size; i < call.ragged; ++i) {
        begun[i * words + l / lanes_per_word] |= uint64_t{1} << (l % lanes_per_word);
      }
      scratch->lane[static_cast<size_t>(l)] = static_cast<int32_t>(l);
    }
    const auto shorter = [&](int32_t x, int32_t y) { return jobs[x].b.size < jobs[y].b.size; };
    if (!std::is_sorted(scratch->lane.begin(), scratch->lane.end(), shorter)) {
      std::stable_sort(scratch->lane.begin(), scratch->lane.end(), shorter);
    }
    for (int64_t l = 0; l < count; ++l) {
      scratch->size[static_cast<size_t>(l)] = jobs[scratch->lane[static_cast<size_t>(l)]].b.size;
    }
    call.rows = rows;
    call.columns = columns;
    call.begun = begun;
    call.difference = scratch->difference.get(call.column_count * scoring_.planes * words);
    call.lane = scratch->lane.data();
    call.size = scratch->size.data();
    call.count = count;
    call.sum = scratch->sum.data();
    kernels_.run_lanes(call);
    for (int64_t l = 0; l < count; ++l) {
      const Job& job = jobs[call.lane[l]];
      out_[job.pair] = call.sum[l] + gap_ * (job.a.size + job.b.size);
    }
    pool_.give(std::move(scratch));
  }

  const BitKernels& kernels_;
  const BitScoring scoring_;
  const int64_t gap_;
  int64_t* const out_;
  std::vector<Job> jobs_;
  ScratchPool<Scratch> pool_;
};

}  // namespace

std::vector<int64_t> by_size(const Sequences& sequences) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < sequences.count; ++i) {
    if (sequences[i].size > 0) out.push_back(i);
  }
  std::stable_sort(out.begin(), out.end(),
                   [&](int64_t i, int64_t j) { return sequences[i].size < sequences[j].size; });
  return out;
}

double lane_cost(const BitKernels& kernels, const Sequences& a, const Sequences& b,
                 bool symmetric) {
  const std::vector<int64_t> queries = by_size(a);
  const std::vector<Group> groups = groups_of(b, symmetric ? queries : by_size(b));
  const int64_t count = static_cast<int64_t>(queries.size());
  double cells = 0, columns = 0;
  size_t next = groups.size();
  // From the longest queries down: the columns of the groups that they meet.
  for (int64_t end = count; end > 0;) {
    const int64_t begin = (end - 1) / kernels.words * kernels.words;
    const size_t first = symmetric ? static_cast<size_t>(group_of(begin, count)) : 0;
    while (next > first) columns += static_cast<double>(groups[--next].columns);
    cells += columns * static_cast<double>(a[queries[static_cast<size_t>(end - 1)]].size);
    end = begin;
  }
  return cells * static_cast<double>(kernels.words * lanes_per_word);
}

bool lane_scores(const BitKernels& kernels, const BitScoring& scoring, int64_t gap,
                 const Sequences& a, const Sequences& b, bool symmetric, int64_t* out,
                 int64_t stride, const Parallel& parallel) {
  return Cross(kernels, scoring, gap, a, b, symmetric, out, stride).run(parallel);
}

bool lane_pair_scores(const BitKernels& kernels, const BitScoring& scoring, int64_t gap,
                      const Sequences& sequences, const int64_t* pairs, const int64_t* chosen,
                      int64_t count, int64_t* out, const Parallel& parallel) {
  return Pairs(kernels, scoring, gap, sequences, pairs, chosen, count, out).run(parallel);
}

}  // namespace neurn::align
