// Alignment by lanes that share a pair, each a few rows of a strip: lane l is at column t - l in
// step t, and gets the row above its own from the lane before it.
#pragma once

#include <type_traits>

#include "words.cuh"

namespace neurn::align::cuda {

using neurn::cuda::from_first_lane;
using neurn::cuda::pause;
using neurn::cuda::publish;
using neurn::cuda::published;
using neurn::cuda::read_fresh;
using neurn::cuda::shuffle_up;
using neurn::cuda::warp_barrier;
using neurn::cuda::warp_largest;

// A row of scores, and of the best scores that end in a gap into the next row.
template <class S, bool affine>
struct Edge;
template <class S>
struct Edge<S, true> {
  typename S::Word best, up;
};
template <class S>
struct Edge<S, false> {
  typename S::Word best;
};

// What another block has written.
template <class S, bool affine>
NEURN_DEVICE Edge<S, affine> fresh(const Edge<S, affine>* at) {
  Edge<S, affine> out;
  out.best = read_fresh(&at->best);
  if constexpr (affine) out.up = read_fresh(&at->up);
  return out;
}

// What a lane knows of its pairs.
template <class S>
struct PairsAt {
  const Token* a[S::pairs];
  const Token* b[S::pairs];
  int n[S::pairs], m[S::pairs];
  uint32_t number[S::pairs];

  NEURN_DEVICE void clear() {
    NEURN_UNROLL
    for (int h = 0; h < S::pairs; ++h) a[h] = b[h] = nullptr, n[h] = m[h] = 0, number[h] = 0;
  }
  NEURN_DEVICE void set(const PlanCall& call, int h, uint32_t pair) {
    const Problem& p = call.p;
    const int64_t first = first_of(p.pairs, pair), second = second_of(p.pairs, pair);
    a[h] = call.tokens + p.offsets[first];
    b[h] = call.tokens + p.offsets[second];
    n[h] = static_cast<int>(size_of(p, first));
    m[h] = static_cast<int>(size_of(p, second));
    number[h] = pair;
  }
  NEURN_DEVICE int rows() const { return largest(n); }
  NEURN_DEVICE int columns() const { return largest(m); }

 private:
  NEURN_DEVICE static int largest(const int* x) {
    return S::pairs == 2 && x[S::pairs - 1] > x[0] ? x[S::pairs - 1] : x[0];
  }
};

// Tokens i of both pairs of a side, 0 behind their ends.
template <int pairs>
NEURN_DEVICE void read_tokens(const Token* const* side, const int* sizes, int i, Token* out) {
  NEURN_UNROLL
  for (int h = 0; h < pairs; ++h) out[h] = i >= 0 && i < sizes[h] ? side[h][i] : Token{0};
}

// What is noted of a cell for its path, and its bits: as Step in ../kernels.h.
enum Note {
  note_diagonal = 1,
  note_up = 2,
  note_up_opens = 4,
  note_up_extends = 8,
  note_left_opens = 16,
  note_left_extends = 32
};
template <bool affine>
constexpr int note_bits = affine ? 8 : 2;
// Of a lane's rows in a column.
template <bool affine, int R>
using Notes = std::conditional_t<affine, uint64_t, uint16_t>;

// Rows of one lane in a strip, T lanes of R rows.
template <class S, bool affine, class Look, int T, int R, bool traces = false>
class Strip {
 public:
  using Word = typename S::Word;
  using Border = Edge<S, affine>;

  // lane: among its T. top: rows above the strip.
  NEURN_DEVICE Strip(const PlanCall& call, const Look& look, const PairsAt<S>& pairs, int lane,
                     int top)
      : look_(look), pairs_(pairs), lane_(lane), top_(top + lane * R) {
    const int64_t open = call.report->gap_open;
    open_ = S::fill(open);
    twice_open_ = S::fill(2 * open);
    NEURN_UNROLL
    for (int r = 0; r < R; ++r) {
      Token tokens[S::pairs];
      read_tokens<S::pairs>(pairs.a, pairs.n, top_ + r, tokens);
      rows_[r] = look.row(tokens);
      best_[r] = S::fill(open);
      if (affine) left_[r] = twice_open_;
    }
    corner_ = S::fill(top_ == 0 ? 0 : open);
    below_ = first_row();
    Token tokens[S::pairs];
    read_tokens<S::pairs>(pairs.b, pairs.m, -lane, tokens);
    column_ = look.column(tokens);
  }

  // Row 0, right of column 0.
  NEURN_DEVICE Border first_row() const {
    Border out;
    out.best = open_;
    if constexpr (affine) out.up = twice_open_;
    return out;
  }

  // Step t, which all lanes of a warp take together. above: row `top` at column t, for the first
  // lane. active: whether this lane has anything to do. done(j, edge, notes): its last row's column
  // j, and the notes of all its rows there.
  template <class Done>
  NEURN_DEVICE void step(const PlanCall& call, int t, int columns, bool active, const Border& above,
                         const Done& done) {
    Border up = shuffle_up(below_, 1, T);
    if (lane_ == 0) up = above;
    const int j = t - lane_;
    Token tokens[S::pairs];
    read_tokens<S::pairs>(pairs_.b, pairs_.m, j + 1, tokens);
    if (active && j >= 0 && j < columns) {
      Word diagonal = corner_;
      corner_ = up.best;
      [[maybe_unused]] Notes<affine, R> notes = 0;
      NEURN_UNROLL
      for (int r = 0; r < R; ++r) {
        const Word score = look_.score(rows_[r], column_), before = best_[r];
        [[maybe_unused]] const Border above_it = up;
        [[maybe_unused]] Word left_before{};
        if constexpr (affine) {
          left_before = left_[r];
          up.up = S::add_larger(up.best, open_, up.up);
          left_[r] = S::add_larger(before, open_, left_[r]);
          best_[r] = S::add_larger(diagonal, score, S::larger(left_[r], up.up));
        } else {
          best_[r] = S::add_larger(diagonal, score, S::larger(before, up.best));
        }
        if constexpr (traces) {
          int note = best_[r] == diagonal + score ? note_diagonal : 0;
          if constexpr (affine) {
            note |= (best_[r] == up.up ? note_up : 0) |
                    (up.up == above_it.best + open_ ? note_up_opens : 0) |
                    (up.up == above_it.up ? note_up_extends : 0) |
                    (left_[r] == before + open_ ? note_left_opens : 0) |
                    (left_[r] == left_before ? note_left_extends : 0);
          } else {
            note |= best_[r] == above_it.best ? note_up : 0;
          }
          notes |=
              static_cast<Notes<affine, R>>(static_cast<uint64_t>(note) << (note_bits<affine> * r));
        }
        diagonal = before;
        up.best = best_[r];
      }
      below_ = up;
      done(j, up, notes);
      NEURN_UNROLL
      for (int h = 0; h < S::pairs; ++h) {
        if (j == pairs_.m[h] - 1) put(call, h);
      }
    }
    column_ = look_.column(tokens);
  }

 private:
  // The score of a pair whose last cell is in this column, if it is one of this lane's.
  NEURN_DEVICE void put(const PlanCall& call, int h) const {
    const int last = pairs_.n[h] - 1 - top_;
    if (last < 0 || last >= R) return;
    Word found = best_[0];
    NEURN_UNROLL
    for (int r = 1; r < R; ++r) {
      if (r == last) found = best_[r];
    }
    const int64_t gaps = static_cast<int64_t>(pairs_.n[h]) + pairs_.m[h];
    put_score(call, pairs_.number[h], S::of(found, h) + gaps * call.report->gap_extend);
  }

  const Look& look_;
  const PairsAt<S>& pairs_;
  const int lane_, top_;
  Word open_, twice_open_, corner_, best_[R], left_[R];
  Border below_;
  typename Look::Row rows_[R];
  typename Look::Column column_;
};

constexpr int wavefront_threads = 256;

struct ShortCall {
  PlanCall plan;
  int64_t blocks;
  int kind;
  int copies;     // of the table in shared memory, 0 where Look wants none
  int narrow;     // 1: only where the table fits 16 bits, 0: only where not, -1: in any case
  void* borders;  // `columns` for each group of lanes
  int64_t columns;
};

// Every T lanes a pair, or two, at a time.
template <class S, bool affine, class Look, int T, int R>
__global__ void __launch_bounds__(wavefront_threads, 2)
    score_short(const __grid_constant__ ShortCall call) {
  static_assert(T * R == short_rows);
  using Border = Edge<S, affine>;
  constexpr int groups = 32 / T;  // of a warp
  const Report& report = *call.plan.report;
  const int64_t begin = report.starts[call.kind], end = report.starts[call.kind + 1];
  if (begin == end || report.errors != 0) return;
  if (call.narrow >= 0 && report.narrow_table() != (call.narrow == 1)) return;
  const SharedScores shared{reinterpret_cast<uint32_t*>(neurn::cuda::shared_memory()), call.copies};
  if (call.copies > 0) shared.fill(call.plan);
  const Look look(call.plan, shared);
  const int lane = static_cast<int>(threadIdx.x) % T;
  const int group = static_cast<int>(threadIdx.x) % 32 / T;
  constexpr int warps_of_block = wavefront_threads / 32;
  // Few pairs spread over all blocks.
  const int64_t warp = threadIdx.x / 32 * call.blocks + blockIdx.x;
  const int64_t warps = call.blocks * warps_of_block;
  // A column's borders of a warp's groups lie together.
  Border* border = static_cast<Border*>(call.borders) + warp * groups * call.columns + group;
  constexpr int per_warp = groups * S::pairs;
  for (int64_t first = begin + warp * per_warp; first < end; first += warps * per_warp) {
    PairsAt<S> pairs;
    pairs.clear();
    NEURN_UNROLL
    for (int h = 0; h < S::pairs; ++h) {
      const int64_t at = first + group * S::pairs + h;
      if (at < end) pairs.set(call.plan, h, call.plan.order[at]);
    }
    const int columns = pairs.columns(), strips = (pairs.rows() + short_rows - 1) / short_rows;
    const int most_columns = warp_largest(columns), most_strips = warp_largest(strips);
    for (int s = 0; s < most_strips; ++s) {
      const bool active = s < strips, last = s + 1 >= strips;
      Strip<S, affine, Look, T, R> strip(call.plan, look, pairs, lane, s * short_rows);
      const bool reads = lane == 0 && s > 0 && active;
      Border above = strip.first_row(), coming = above;
      if (reads) coming = border[0];
      for (int t = 0; t < most_columns + T - 1; ++t) {
        above = coming;
        if (reads && t + 1 < columns) coming = border[(t + 1) * groups];
        strip.step(call.plan, t, columns, active, above, [&](int j, const Border& below, auto) {
          if (lane == T - 1 && !last) border[j * groups] = below;
        });
      }
      warp_barrier();
    }
  }
}

// Strips of long pairs.
constexpr int long_rows = 256;

struct LongCall {
  PlanCall plan;
  int kind;
  const int64_t* strips_before;  // of each pair and all before it in the order
  // Of `slots` pairs under way, pair k of the order in slot k % slots:
  int64_t slots, columns, most_strips;
  void* borders;      // [slot][column]
  int64_t* progress;  // [slot][strip]: pair and columns done
  int64_t* finished;  // [slot]: the last pair that is done with it, and 1
};

// Strips of the long pairs of one kind before each of them. One block.
__global__ void count_strips(const __grid_constant__ PlanCall call, int kind,
                             int64_t* strips_before) {
  Report& report = *call.report;
  const int64_t begin = report.starts[kind], count = report.starts[kind + 1] - begin;
  int64_t* shared = reinterpret_cast<int64_t*>(neurn::cuda::shared_memory());
  const auto strips = [&](int64_t i) {
    const int64_t n = size_of(call.p, first_of(call.p.pairs, call.order[begin + i]));
    return (n + long_rows - 1) / long_rows;
  };
  sums_before(count, shared, strips, [&](int64_t i, int64_t sum) {
    strips_before[i] = sum;
    if (i == count) report.strips[kind] = sum;
  });
}

NEURN_DEVICE int64_t progress_of(int64_t pair, int64_t columns) { return pair << 32 | columns; }

// A warp takes the next strip of all pairs, in order, and follows the strip above it some columns
// behind. A strip waits for earlier ones only, and these have been taken by warps that run.
template <class S, bool affine, class Look>
__global__ void __launch_bounds__(wavefront_threads, 2)
    score_long(const __grid_constant__ LongCall call) {
  using Border = Edge<S, affine>;
  constexpr int T = 32, R = long_rows / T, stride = 32;
  static_assert(S::pairs == 1);
  Report& report = *call.plan.report;
  const int64_t begin = report.starts[call.kind];
  const int64_t count = report.starts[call.kind + 1] - begin, all = report.strips[call.kind];
  if (count == 0 || report.errors != 0) return;
  const Look look(call.plan, SharedScores{});
  const int lane = static_cast<int>(threadIdx.x) % T;
  for (;;) {
    int64_t ticket = 0;
    if (lane == 0) ticket = atomic_add(&report.tickets[call.kind], int64_t{1});
    ticket = from_first_lane(ticket);
    if (ticket >= all) return;
    // The last pair that has no more strips before it.
    int64_t pair = 0;
    for (int64_t low = 0, high = count; low < high;) {
      const int64_t middle = (low + high) / 2;
      if (call.strips_before[middle] <= ticket) {
        pair = middle;
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    const int s = static_cast<int>(ticket - call.strips_before[pair]);
    const int strips = static_cast<int>(call.strips_before[pair + 1] - call.strips_before[pair]);
    const int64_t slot = pair % call.slots;
    Border* border = static_cast<Border*>(call.borders) + slot * call.columns;
    int64_t* progress = call.progress + slot * call.most_strips;
    if (s == 0 && pair >= call.slots && lane == 0) {
      while (published(&call.finished[slot]) != pair - call.slots + 1) pause();
    }
    warp_barrier();
    PairsAt<S> pairs;
    pairs.set(call.plan, 0, call.plan.order[begin + pair]);
    const int columns = pairs.m[0];
    const bool last = s + 1 == strips, reads = lane == 0 && s > 0, writes = lane == T - 1 && !last;
    Strip<S, affine, Look, T, R> strip(call.plan, look, pairs, lane, s * long_rows);
    Border above = strip.first_row(), coming = above;
    // Columns of the strip above that are known to be done.
    int known = 0;
    const auto follow = [&](int needed) {
      needed = needed < columns ? needed : columns;
      while (known < needed) {
        const int64_t found = published(&progress[s - 1]);
        if (found >> 32 == pair + 1) known = static_cast<int>(found & 0xffffffff);
        if (known < needed) pause();
      }
    };
    if (reads) {
      follow(1);
      coming = fresh(border);
    }
    for (int t = 0; t < columns + T - 1; ++t) {
      above = coming;
      if (reads && t + 1 < columns) {
        if (t + 2 > known) follow(t + 2 + stride);
        coming = fresh(border + t + 1);
      }
      strip.step(call.plan, t, columns, true, above, [&](int j, const Border& below, auto) {
        if (!writes) return;
        border[j] = below;
        if ((j + 1) % stride == 0 || j + 1 == columns) {
          publish(&progress[s], progress_of(pair + 1, j + 1));
        }
      });
    }
    warp_barrier();
    if (last && lane == 0) publish(&call.finished[slot], pair + 1);
  }
}

}  // namespace neurn::align::cuda
