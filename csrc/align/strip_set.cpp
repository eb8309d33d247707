#include "strip_set.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <vector>

#include "scratch_pool.h"
#include "strip_rows.h"

namespace neurn::align {
namespace {

// Columns of one block of targets: their planes stay in a core's cache.
constexpr int64_t block_columns = 1 << 15;
// Strips that one item of work sweeps over a block, so that building its planes is a small part.
constexpr int64_t strips_per_item = 8;

struct Placed {
  int64_t query;
  int64_t first_row;
};

// Queries in the rows of one strip; or one query over several strips.
struct Bin {
  std::vector<Placed> queries;
  int64_t first_target = 0;  // place of the first target that is wanted
  int64_t strips = 1;
};

struct Block {
  int64_t begin, end;  // places of targets
  int64_t columns;
};

// Longest first, each bin takes the longest query that still fits.
class Packer {
 public:
  Packer(StripShape shape, const Sequences& queries) : shape_(shape), queries_(queries) {
    for (int64_t i = 0; i < queries.count; ++i) {
      const int64_t size = queries[i].size;
      if (size > shape.rows()) {
        long_.push_back(i);
      } else if (size > 0) {
        left_[size].push_back(i);
      }
    }
  }

  std::vector<Bin> pack() {
    std::vector<Bin> bins;
    while (!left_.empty()) bins.push_back(next());
    std::sort(long_.begin(), long_.end(), [&](int64_t i, int64_t j) {
      const int64_t x = queries_[i].size, y = queries_[j].size;
      return x != y ? x < y : i < j;
    });
    for (const int64_t query : long_) {
      const int64_t strips = (queries_[query].size + shape_.rows() - 1) / shape_.rows();
      bins.push_back({{{query, strips * shape_.rows() - queries_[query].size}}, 0, strips});
    }
    return bins;
  }

 private:
  Bin next() {
    Bin bin;
    std::vector<bool> taken(static_cast<size_t>(shape_.words * shape_.depth));
    int64_t row = 0;
    while (!left_.empty()) {
      auto fits = left_.upper_bound(shape_.rows() - row);
      if (fits == left_.begin()) break;
      --fits;
      // One selected row a word: move down until the last row's word is free.
      int64_t first = row;
      while (first + fits->first <= shape_.rows() && taken[slot(first + fits->first - 1)]) ++first;
      if (first + fits->first > shape_.rows()) break;
      taken[slot(first + fits->first - 1)] = true;
      bin.queries.push_back({fits->second.back(), first});
      row = first + fits->first;
      fits->second.pop_back();
      if (fits->second.empty()) left_.erase(fits);
    }
    return bin;
  }

  size_t slot(int64_t row) const {
    return static_cast<size_t>(shape_.vector_of(row) * shape_.words + shape_.word_of(row));
  }

  StripShape shape_;
  Sequences queries_;
  std::map<int64_t, std::vector<int64_t>> left_;
  std::vector<int64_t> long_;
};

struct Plan {
  std::vector<Bin> bins;
  std::vector<int64_t> targets;  // in the order of places
  std::vector<Block> blocks;

  Plan(StripShape shape, const Sequences& a, const Sequences& b, bool symmetric)
      : bins(Packer(shape, a).pack()) {
    if (symmetric) {
      for (Bin& bin : bins) {
        bin.first_target = static_cast<int64_t>(targets.size());
        for (const Placed& placed : bin.queries) targets.push_back(placed.query);
      }
    } else {
      for (int64_t j = 0; j < b.count; ++j) {
        if (b[j].size > 0) targets.push_back(j);
      }
    }
    for (int64_t place = 0; place < static_cast<int64_t>(targets.size()); ++place) {
      const int64_t size = b[targets[static_cast<size_t>(place)]].size;
      if (blocks.empty() || blocks.back().columns + size > block_columns) {
        blocks.push_back({place, place, 0});
      }
      blocks.back().end = place + 1;
      blocks.back().columns += size;
    }
  }
};

struct Scratch {
  std::vector<Token> tokens, starts;
  std::vector<int64_t> column;  // where each target of the block begins
  ColumnPlanes tokens_shown, starts_shown;
  Buffer selected[2];
  Borders borders;
};

class Work {
 public:
  Work(const BitKernels& kernels, const BitScoring& scoring, int64_t gap, const Sequences& a,
       const Sequences& b, bool symmetric, int64_t* out, int64_t stride, const Parallel& parallel)
      : kernels_(kernels),
        shape_(kernels),
        scoring_(scoring),
        gap_(gap),
        a_(a),
        b_(b),
        symmetric_(symmetric),
        out_(out),
        stride_(stride),
        plan_(shape_, a, b, symmetric) {
    const int64_t bins = static_cast<int64_t>(plan_.bins.size());
    const int64_t share = (bins + parallel.threads - 1) / parallel.threads;
    chunk_ = std::clamp<int64_t>(share, 1, strips_per_item);
    chunks_ = (bins + chunk_ - 1) / chunk_;
  }

  bool run(const Parallel& parallel) {
    write_gaps_only(gap_, a_, b_, symmetric_, out_, stride_);
    const int64_t items = chunks_ * static_cast<int64_t>(plan_.blocks.size());
    return parallel.run(parallel, items, this,
                        [](void* self, int64_t item) { static_cast<Work*>(self)->sweep(item); });
  }

 private:
  void write(int64_t i, int64_t j, int64_t sum) {
    const int64_t score = sum + gap_ * (a_[i].size + b_[j].size);
    out_[i * stride_ + j] = score;
    if (symmetric_) out_[j * stride_ + i] = score;
  }

  void sweep(int64_t item) {
    const int64_t begin = item % chunks_ * chunk_;
    const int64_t end = std::min<int64_t>(begin + chunk_, static_cast<int64_t>(plan_.bins.size()));
    const Block& block = plan_.blocks[static_cast<size_t>(item / chunks_)];
    if (plan_.bins[static_cast<size_t>(begin)].first_target >= block.end) return;
    std::unique_ptr<Scratch> scratch = pool_.take();
    gather(block, *scratch);
    std::vector<const Bin*> bins;
    for (int64_t bin = begin; bin < end; ++bin) {
      const Bin& of = plan_.bins[static_cast<size_t>(bin)];
      if (of.first_target < block.end) bins.push_back(&of);
    }
    for (size_t i = 0; i < bins.size(); ++i) {
      const bool two = kernels_.run_two_strips != nullptr && i + 1 < bins.size() &&
                       bins[i]->strips == 1 && bins[i + 1]->strips == 1;
      if (two) {
        sweep_two(*bins[i], *bins[i + 1], block, *scratch);
        ++i;
      } else {
        sweep(*bins[i], block, *scratch);
      }
    }
    pool_.give(std::move(scratch));
  }

  void gather(const Block& block, Scratch& scratch) const {
    scratch.tokens.clear();
    scratch.column.clear();
    scratch.starts.assign(static_cast<size_t>(block.columns), 0);
    for (int64_t place = block.begin; place < block.end; ++place) {
      const Sequence target = b_[plan_.targets[static_cast<size_t>(place)]];
      scratch.starts[scratch.tokens.size()] = 1;
      scratch.column.push_back(static_cast<int64_t>(scratch.tokens.size()));
      scratch.tokens.insert(scratch.tokens.end(), target.data, target.data + target.size);
    }
    scratch.column.push_back(block.columns);
    scratch.tokens_shown.fill(kernels_, scratch.tokens.data(), block.columns,
                              scoring_.token_planes);
    scratch.starts_shown.fill(kernels_, scratch.starts.data(), block.columns, 1);
  }

  // A bin over a block: all that its strips are swept with.
  struct Sweep {
    const Bin& bin;
    StripRows rows;
    std::vector<uint64_t> state;
    int64_t first, begin;  // target, and the step in which it begins
    StripCall call{};
  };

  Sweep prepare(const Bin& bin, const Block& block, Scratch& scratch, int which) const {
    const int64_t first = std::max(bin.first_target, block.begin);
    Sweep out{bin, StripRows(kernels_, scoring_.token_planes),
              std::vector<uint64_t>(static_cast<size_t>(shape_.state_words(scoring_.planes))),
              first, scratch.column[static_cast<size_t>(first - block.begin)]};
    StripCall& call = out.call;
    call.scoring = scoring_;
    call.kind = bin.strips > 1 ? SweepKind::long_set : SweepKind::set;
    call.column_token = scratch.tokens_shown.first();
    call.column_stride = scratch.tokens_shown.stride();
    call.column_starts = scratch.starts_shown.first();
    call.begin = out.begin;
    call.end = block.columns + shape_.lanes() - 1;
    const int64_t bytes = (call.end - call.begin) * selected_bytes();
    call.selected = reinterpret_cast<uint8_t*>(scratch.selected[which].get(bytes / 8));
    call.rows = out.rows.data();
    call.state = out.state.data();
    return out;
  }

  int64_t selected_bytes() const { return 4 * shape_.depth; }  // a step

  void place(Sweep& sweep, int64_t strip) const {
    sweep.rows.clear();
    std::fill(sweep.state.begin(), sweep.state.end(), 0);
    for (const Placed& placed : sweep.bin.queries) {
      place(placed, strip, sweep.bin.strips, sweep.rows);
    }
    sweep.rows.pack();
  }

  void sweep(const Bin& bin, const Block& block, Scratch& scratch) {
    Sweep one = prepare(bin, block, scratch, 0);
    StripCall& call = one.call;
    if (bin.strips > 1) {
      scratch.borders.get(shape_.lanes(), block.columns, scoring_.planes);
      call.border_stride = scratch.borders.stride();
      for (int k = 0; k < scoring_.planes; ++k) {
        std::fill_n(scratch.borders.above(0) + k * call.border_stride, block.columns, 0);
      }
    }
    for (int64_t strip = 0; strip < bin.strips; ++strip) {
      place(one, strip);
      if (bin.strips > 1) {
        call.border = scratch.borders.above(strip);
        call.border_below = scratch.borders.above(strip + 1);
      }
      kernels_.run_strip(call);
    }
    write(one, block, scratch);
  }

  // Of one strip each, side by side from where both have begun.
  void sweep_two(const Bin& bin, const Bin& later, const Block& block, Scratch& scratch) {
    Sweep one = prepare(bin, block, scratch, 0), two = prepare(later, block, scratch, 1);
    place(one, 0);
    place(two, 0);
    StripCall head = one.call, tail = one.call;
    head.end = tail.begin = two.begin;
    tail.selected += (tail.begin - head.begin) * selected_bytes();
    kernels_.run_strip(head);
    kernels_.run_two_strips(tail, two.call);
    write(one, block, scratch);
    write(two, block, scratch);
  }

  void write(const Sweep& sweep, const Block& block, const Scratch& scratch) {
    const Bin& bin = sweep.bin;
    for (const Placed& placed : bin.queries) {
      const int64_t last =
          placed.first_row + a_[placed.query].size - 1 - (bin.strips - 1) * shape_.rows();
      for (int64_t place = sweep.first; place < block.end; ++place) {
        const int64_t target = plan_.targets[static_cast<size_t>(place)];
        const int64_t* column = &scratch.column[static_cast<size_t>(place - block.begin)];
        const int64_t step = column[0] + shape_.lane_of(last) - sweep.begin;
        const int64_t sum = kernels_.sum_selected(sweep.call.selected + step * selected_bytes(),
                                                  column[1] - column[0], shape_.vector_of(last),
                                                  shape_.word_of(last), scoring_.planes);
        write(placed.query, target, sum);
      }
    }
  }

  // The part of a query that lies in one strip.
  void place(const Placed& placed, int64_t strip, int64_t strips, StripRows& rows) const {
    const Sequence query = a_[placed.query];
    const int64_t top = strip * shape_.rows();
    const int64_t from = std::max<int64_t>(placed.first_row, top);
    const int64_t to = std::min<int64_t>(placed.first_row + query.size, top + shape_.rows());
    rows.place({query.data + (from - placed.first_row), to - from}, from - top);
    if (from == placed.first_row) rows.begin_at(from - top);
    if (strip == strips - 1) rows.select(to - top - 1);
  }

  const BitKernels& kernels_;
  const StripShape shape_;
  const BitScoring scoring_;
  const int64_t gap_;
  const Sequences a_, b_;
  const bool symmetric_;
  int64_t* const out_;
  const int64_t stride_;
  const Plan plan_;
  int64_t chunk_, chunks_;
  ScratchPool<Scratch> pool_;
};

}  // namespace

double strip_cost(const BitKernels& kernels, const Sequences& a, const Sequences& b,
                  bool symmetric) {
  const StripShape shape(kernels);
  const Plan plan(shape, a, b, symmetric);
  const double rows = static_cast<double>(shape.rows());
  const double lanes = static_cast<double>(shape.lanes());
  double cells = 0;
  for (const Block& block : plan.blocks) {
    for (const Bin& bin : plan.bins) {
      if (bin.first_target >= block.end) continue;
      int64_t columns = block.columns;
      for (int64_t place = block.begin; place < bin.first_target; ++place) {
        columns -= b[plan.targets[static_cast<size_t>(place)]].size;
      }
      cells += (static_cast<double>(columns) + lanes) * rows * static_cast<double>(bin.strips);
    }
  }
  return cells;
}

bool strip_scores(const BitKernels& kernels, const BitScoring& scoring, int64_t gap,
                  const Sequences& a, const Sequences& b, bool symmetric, int64_t* out,
                  int64_t stride, const Parallel& parallel) {
  return Work(kernels, scoring, gap, a, b, symmetric, out, stride, parallel).run(parallel);
}

}  // namespace neurn::align
