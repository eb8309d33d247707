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
// Queries in a word from which on packing its lanes is faster than one query after the other.
constexpr int64_t least_packed = 4;

struct Scratch {
  Buffer rows, columns, begun, difference;
  std::vector<int32_t> lane;
  std::vector<int64_t> size, sum;
};

// The token planes of up to `width` targets; a word of lanes meets 64 / width queries with them.
struct Group {
  int64_t begin, end;  // ranks
  int64_t width;
  int64_t columns;
  std::unique_ptr<uint64_t[]> planes;
};

// Which targets share a word. All groups but the first few are of 64; what is left over before
// them, the shortest, takes the widths with which the least is computed in vain.
class Grouping {
 public:
  Grouping(const BitKernels& kernels, const Sequences& queries, const std::vector<int64_t>& ranked,
           const Sequences& targets, const std::vector<int64_t>& rank, bool symmetric)
      : kernels_(kernels),
        queries_(queries),
        ranked_(ranked),
        targets_(targets),
        rank_(rank),
        symmetric_(symmetric) {
    const int64_t count = static_cast<int64_t>(rank.size()), rest = count % lanes_per_word;
    if (rest > 0) add_rest(0, rest, lanes_per_word);
    heads_ = static_cast<int64_t>(groups_.size());
    for (int64_t begin = rest; begin < count; begin += lanes_per_word) {
      add(begin, begin + lanes_per_word, lanes_per_word);
    }
  }

  std::vector<Group> groups() && { return std::move(groups_); }
  // Groups before those of 64.
  int64_t heads() const { return heads_; }

  // Queries that the targets from rank begin to end - 1 are wanted with.
  int64_t wanted(int64_t end) const {
    return symmetric_ ? end : static_cast<int64_t>(ranked_.size());
  }
  // Cells of a group with all its queries, over lanes.
  double cost(int64_t end, int64_t width) const {
    const int64_t span = span_of(width);
    double rows = 0;
    for (int64_t last = wanted(end); last > 0; last = (last - 1) / span * span) {
      rows += static_cast<double>(queries_[ranked_[static_cast<size_t>(last - 1)]].size);
    }
    return rows * static_cast<double>(columns(end));
  }
  // Queries of one sweep.
  int64_t span_of(int64_t width) const { return kernels_.words * (lanes_per_word / width); }

 private:
  int64_t columns(int64_t end) const { return targets_[rank_[static_cast<size_t>(end - 1)]].size; }

  void add(int64_t begin, int64_t end, int64_t width) {
    groups_.push_back({begin, end, width, columns(end), nullptr});
  }

  // The widths, narrow first, that take count targets from rank begin on, each at most `most`.
  double add_rest(int64_t begin, int64_t count, int64_t most) {
    int64_t width = 1;
    while (width < count) width *= 2;
    width = std::min(width, most);
    const double whole = cost(begin + count, width);
    const size_t before = groups_.size();
    if (width > 1 && count > width / 2) {
      const int64_t first = count - width / 2;
      const double split = add_rest(begin, first, width / 2) + cost(begin + count, width / 2);
      if (split < whole) {
        add(begin + first, begin + count, width / 2);
        return split;
      }
      groups_.resize(before);
    }
    add(begin, begin + count, width);
    return whole;
  }

  const BitKernels& kernels_;
  const Sequences queries_;
  const std::vector<int64_t>& ranked_;
  const Sequences targets_;
  const std::vector<int64_t>& rank_;
  const bool symmetric_;
  std::vector<Group> groups_;
  int64_t heads_;
};

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
        targets_(symmetric ? queries_ : by_size(b)) {
    Grouping grouping(kernels, a, queries_, b, targets_, symmetric);
    const int64_t heads = grouping.heads();
    groups_ = std::move(grouping).groups();
    for (int64_t g = 0; g < heads; ++g) {
      const Group& head = groups_[static_cast<size_t>(g)];
      const int64_t span = grouping.span_of(head.width), wanted = grouping.wanted(head.end);
      for (int64_t begin = 0; begin < wanted; begin += span) {
        heads_.push_back({begin, std::min(begin + span, query_count()), g, g + 1});
      }
    }
    first_full_ = heads;
    chunks_ = (group_count() - heads + groups_per_item - 1) / groups_per_item;
  }

  bool run(const Parallel& parallel) {
    write_gaps_only(gap_, a_, b_, symmetric_, out_, stride_);
    const bool packed = parallel.run(parallel, group_count(), this, [](void* self, int64_t i) {
      static_cast<Cross*>(self)->pack_group(i);
    });
    const int64_t query_groups = (query_count() + kernels_.words - 1) / kernels_.words;
    const int64_t items = static_cast<int64_t>(heads_.size()) + query_groups * chunks_;
    return packed && parallel.run(parallel, items, this, [](void* self, int64_t i) {
      static_cast<Cross*>(self)->sweep(i);
    });
  }

 private:
  // Queries of one sweep and the groups, all of one width, that they meet.
  struct Item {
    int64_t query_begin, query_end, group_begin, group_end;
  };

  int64_t group_count() const { return static_cast<int64_t>(groups_.size()); }
  int64_t query_count() const { return static_cast<int64_t>(queries_.size()); }

  void pack_group(int64_t i) {
    Group& group = groups_[static_cast<size_t>(i)];
    const int64_t planes = scoring_.token_planes;
    group.planes =
        std::make_unique_for_overwrite<uint64_t[]>(static_cast<size_t>(group.columns * planes));
    const Token* sequence[lanes_per_word];
    int64_t size[lanes_per_word], first[lanes_per_word] = {};
    for (int64_t l = 0; l < lanes_per_word; ++l) {
      const int64_t rank = group.begin + l % group.width;
      const Sequence of = target(std::min(rank, group.end - 1));
      sequence[l] = of.data;
      size[l] = rank < group.end ? of.size : 0;
    }
    kernels_.pack({sequence, size, first, lanes_per_word, group.columns, scoring_.token_planes,
                   group.planes.get(), planes, 1});
  }

  Item item(int64_t i) const {
    const int64_t heads = static_cast<int64_t>(heads_.size());
    if (i < heads) return heads_[static_cast<size_t>(i)];
    const int64_t begin = (i - heads) / chunks_ * kernels_.words;
    const int64_t chunk = first_full_ + (i - heads) % chunks_ * groups_per_item;
    int64_t first = first_full_;
    if (symmetric_ && first < group_count()) {
      const int64_t behind = begin - groups_[static_cast<size_t>(first)].begin;
      first += std::max<int64_t>(behind, 0) / lanes_per_word;
    }
    return {begin, std::min(begin + kernels_.words, query_count()), std::max(chunk, first),
            std::min(chunk + groups_per_item, group_count())};
  }

  void sweep(int64_t i) {
    const Item of = item(i);
    if (of.group_begin >= of.group_end) return;
    const int64_t words = kernels_.words, planes = scoring_.token_planes;
    const int64_t width = groups_[static_cast<size_t>(of.group_begin)].width;
    const int64_t queries_per_word = lanes_per_word / width;
    std::unique_ptr<Scratch> scratch = pool_.take();
    LaneCall call{};
    call.scoring = scoring_;
    call.shared = true;
    call.row_count = query(of.query_end - 1).size;
    call.ragged = call.row_count - query(of.query_begin).size;
    call.copies = of.query_end - of.query_begin;
    call.copy_lanes = width;
    uint64_t* rows = scratch->rows.get(call.row_count * planes * words);
    fill_rows(of, width, call.row_count, rows);
    uint64_t* begun = scratch->begun.get(std::max<int64_t>(call.ragged * words, 1));
    std::fill_n(begun, call.ragged * words, 0);
    for (int64_t c = 0; c < call.copies; ++c) {
      const int64_t first = call.row_count - query(of.query_begin + c).size;
      uint64_t* own = begun + c / queries_per_word;
      for (int64_t r = first; r < call.ragged; ++r) own[r * words] |= lanes_of(c, width);
    }
    call.rows = rows;
    call.begun = begun;
    for (int64_t g = of.group_begin; g < of.group_end; ++g) {
      meet(groups_[static_cast<size_t>(g)], of.query_begin, call, *scratch);
    }
    pool_.give(std::move(scratch));
  }

  // In its word, those of the sweep's query c.
  static uint64_t lanes_of(int64_t c, int64_t width) {
    return ~uint64_t{0} >> (lanes_per_word - width) << (c * width % lanes_per_word);
  }

  // Token planes of the queries of a sweep, which end with the last row.
  void fill_rows(const Item& of, int64_t width, int64_t row_count, uint64_t* rows) const {
    const int64_t words = kernels_.words, planes = scoring_.token_planes;
    const int64_t queries = of.query_end - of.query_begin, in_word = lanes_per_word / width;
    if (in_word >= least_packed) {
      for (int64_t w = 0; w < words; ++w) {
        const Token* sequence[lanes_per_word];
        int64_t size[lanes_per_word], first[lanes_per_word];
        for (int64_t l = 0; l < lanes_per_word; ++l) {
          const int64_t c = w * in_word + l / width;
          const Sequence own = query(of.query_begin + std::min(c, queries - 1));
          sequence[l] = own.data;
          size[l] = c < queries ? own.size : 0;
          first[l] = row_count - own.size;
        }
        kernels_.pack({sequence, size, first, lanes_per_word, row_count, scoring_.token_planes,
                       rows + w, planes * words, words});
      }
      return;
    }
    // Rows that every query has are filled together. Words without one take the last.
    const int64_t common = query(of.query_begin).size;
    const Token* last[least_packed * most_words];
    for (int64_t c = 0; c < in_word * words; ++c) {
      const Sequence own = query(of.query_begin + std::min(c, queries - 1));
      last[c] = own.data + own.size - common;
    }
    kernels_.fill_rows(last, in_word, common, scoring_.token_planes,
                       rows + (row_count - common) * planes * words);
    std::fill_n(rows, (row_count - common) * planes * words, 0);
    for (int64_t c = 0; c < queries; ++c) {
      const Sequence own = query(of.query_begin + c);
      uint64_t* row = rows + (row_count - own.size) * planes * words + c / in_word;
      for (int64_t r = 0; r < own.size - common; ++r, row += planes * words) {
        for (int64_t k = 0; k < planes; ++k) {
          row[k * words] |= ~((uint64_t{own.data[r]} >> k & 1) - 1) & lanes_of(c, width);
        }
      }
    }
  }

  void meet(const Group& group, int64_t query_begin, LaneCall& call, Scratch& scratch) {
    call.columns = group.planes.get();
    call.column_count = group.columns;
    call.difference = scratch.difference.get(group.columns * scoring_.planes * kernels_.words);
    call.count = group.end - group.begin;
    int32_t lane[lanes_per_word];
    int64_t size[lanes_per_word];
    for (int64_t t = 0; t < call.count; ++t) {
      lane[t] = static_cast<int32_t>(t);
      size[t] = target(group.begin + t).size;
    }
    call.lane = lane;
    call.size = size;
    scratch.sum.resize(static_cast<size_t>(call.copies * call.count));
    call.sum = scratch.sum.data();
    kernels_.run_lanes(call);
    for (int64_t c = 0; c < call.copies; ++c) {
      const int64_t q = query_begin + c, i = queries_[static_cast<size_t>(q)];
      const int64_t own = a_[i].size, *sum = call.sum + c * call.count;
      for (int64_t t = symmetric_ ? std::max<int64_t>(q - group.begin, 0) : 0; t < call.count;
           ++t) {
        const int64_t j = targets_[static_cast<size_t>(group.begin + t)];
        const int64_t score = sum[t] + gap_ * (own + size[t]);
        out_[i * stride_ + j] = score;
        if (symmetric_) out_[j * stride_ + i] = score;
      }
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
  std::vector<Item> heads_;
  int64_t first_full_, chunks_;
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
    call.copies = 1;
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
  const std::vector<int64_t> targets = symmetric ? queries : by_size(b);
  Grouping grouping(kernels, a, queries, b, targets, symmetric);
  const int64_t heads = grouping.heads();
  const std::vector<Group> groups = std::move(grouping).groups();
  double cells = 0, columns = 0;
  for (int64_t g = 0; g < heads; ++g) {
    const Group& head = groups[static_cast<size_t>(g)];
    cells += grouping.cost(head.end, head.width);
  }
  // From the longest queries down: the columns of the groups of 64 that they meet.
  const int64_t count = static_cast<int64_t>(queries.size());
  int64_t next = static_cast<int64_t>(groups.size());
  for (int64_t end = count; end > 0;) {
    const int64_t begin = (end - 1) / kernels.words * kernels.words;
    const int64_t met = symmetric ? begin + 1 : 0;  // ranks below are not wanted
    while (next > heads && groups[static_cast<size_t>(next - 1)].end >= met) {
      columns += static_cast<double>(groups[static_cast<size_t>(--next)].columns);
    }
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
