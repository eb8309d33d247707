// Bit planes for sets (../bit_cell.h): a register holds one query's cells with 32 targets, a target
// a bit. A block keeps 32 targets packed in shared memory, and each of its threads takes a query.
#pragma once

#include "plan.cuh"

// Cells as device functions.
#define NEURN_ISA cuda
#define NEURN_INLINE NEURN_DEVICE
#define NEURN_LAMBDA

namespace neurn::align::cuda {

using Bits = uint32_t;

NEURN_DEVICE constexpr Bits broadcast(uint64_t word) { return static_cast<Bits>(word); }

constexpr bool ternary_logic = true;

// f(a, b, c) bit by bit, one instruction.
template <class F>
NEURN_DEVICE Bits logic([[maybe_unused]] F f, Bits a, Bits b, Bits c) {
#if defined(__CUDACC__)
  constexpr int table = F{}(0xF0, 0xCC, 0xAA) & 0xFF;
  Bits out;
  asm("lop3.b32 %0, %1, %2, %3, %4;" : "=r"(out) : "r"(a), "r"(b), "r"(c), "n"(table));
  return out;
#else
  return f(a, b, c);
#endif
}

}  // namespace neurn::align::cuda

#include "../bit_cell.h"

namespace neurn::align::cuda {

constexpr int bit_threads = 256;
constexpr int lanes = 32;
// Longest target: sums of differences then have `sum_planes` bits.
constexpr int longest_target = 4096, sum_planes = 16;
static_assert((int64_t{longest_target} * 15) >> sum_planes == 0);

// Rows of one pass over the columns, which are taken four at a time.
template <class Cell>
constexpr int bit_rows = Cell::planes <= 3 ? 16 : 8;
constexpr int columns_at_once = 4;

struct alignas(16) Quad {
  Bits column[columns_at_once];
};

// Four-column words of a symbol's row: odd, so that symbols lie in different banks.
constexpr int quads_of(int64_t columns) {
  return static_cast<int>((columns + columns_at_once - 1) / columns_at_once) | 1;
}

struct BitCall {
  PlanCall plan;
  int blocks, threads;
  const uint32_t* rows;     // places in the rows of the problem, longest first
  const uint32_t* columns;  // likewise
  int symbols, quads;       // tokens are below symbols, targets have at most so many quads
  int64_t equal, unequal;   // shifted scores
  Quad* borders;            // [block][quad][plane][thread]
};

// Shared memory: tokens that differ from each symbol [symbol][quad], lanes whose target has the
// column [quad], and the targets.
struct Targets {
  const Token* tokens[lanes];
  int64_t place[lanes];  // -1: there is none
  int size[lanes];
};

constexpr int64_t bit_shared(int64_t symbols, int64_t quads) {
  return (symbols + 1) * quads * static_cast<int64_t>(sizeof(Quad)) +
         static_cast<int64_t>(sizeof(Targets));
}

// Puts targets `first` .. of the sorted columns into shared memory; returns quads of the longest.
NEURN_DEVICE int pack_targets(const BitCall& call, int64_t first, Quad* differs, Quad* alive,
                              Targets& targets) {
  const Problem& p = call.plan.p;
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  __syncthreads();  // all are done with the targets before
  if (thread < lanes) {
    const bool exists = first + thread < p.pairs.column_count;
    const int64_t place = exists ? static_cast<int64_t>(call.columns[first + thread]) : -1;
    const int64_t sequence = exists ? p.pairs.columns[place] : 0;
    targets.place[thread] = place;
    targets.tokens[thread] = exists ? call.plan.tokens + p.offsets[sequence] : nullptr;
    targets.size[thread] = exists ? static_cast<int>(size_of(p, sequence)) : 0;
  }
  Bits* words = differs->column;
  const int columns = call.quads * columns_at_once;
  for (int64_t i = thread; i < static_cast<int64_t>(call.symbols) * columns; i += threads) {
    words[i] = ~Bits{0};
  }
  __syncthreads();
  int longest = 0;
  for (int l = 0; l < lanes; ++l) longest = targets.size[l] > longest ? targets.size[l] : longest;
  for (int j = thread; j < columns; j += threads) {
    Bits here = 0;
    for (int l = 0; l < lanes; ++l) {
      if (j >= targets.size[l]) continue;
      here |= Bits{1} << l;
      // Threads share no word: each has its own columns.
      words[targets.tokens[l][j] * columns + j] &= ~(Bits{1} << l);
    }
    alive->column[j] = here;
  }
  __syncthreads();
  return (longest + columns_at_once - 1) / columns_at_once;
}

// R rows over all columns. rows: where what differs from their tokens begins, in bytes. ragged: the
// first `before` of them are no rows of the query, and row 0 is above the others.
template <class Cell, int R, bool ragged>
NEURN_DEVICE void pass(const Cell& cell, const Quad* differs, const int* rows, int quads,
                       int before, Quad* border, int stride) {
  constexpr int B = Cell::planes;
  Bits v[R][B];
  NEURN_UNROLL
  for (int r = 0; r < R; ++r) {
    NEURN_UNROLL
    for (int k = 0; k < B; ++k) v[r][k] = 0;
  }
  Quad coming[B]{};
  if constexpr (!ragged) {
    NEURN_UNROLL
    for (int k = 0; k < B; ++k) coming[k] = border[k * stride];
  }
  const int bytes = quads * static_cast<int>(sizeof(Quad));
  NEURN_ROLLED
  for (int byte = 0; byte < bytes; byte += static_cast<int>(sizeof(Quad)), border += B * stride) {
    Bits h[columns_at_once][B];
    NEURN_UNROLL
    for (int k = 0; k < B; ++k) {
      NEURN_UNROLL
      for (int c = 0; c < columns_at_once; ++c) h[c][k] = coming[k].column[c];
    }
    if constexpr (!ragged) {
      // Behind the last one, that one again.
      const Quad* next = border + (byte + static_cast<int>(sizeof(Quad)) < bytes ? B * stride : 0);
      NEURN_UNROLL
      for (int k = 0; k < B; ++k) coming[k] = next[k * stride];
    }
    NEURN_UNROLL
    for (int r = 0; r < R; ++r) {
      const Quad differ =
          *reinterpret_cast<const Quad*>(reinterpret_cast<const char*>(differs) + (rows[r] + byte));
      NEURN_UNROLL
      for (int c = 0; c < columns_at_once; ++c) {
        cell.template step<false>(v[r], h[c], differ.column[c], nullptr, nullptr);
      }
      if constexpr (ragged) {
        const Bits begun = r < before ? 0 : ~Bits{0};
        NEURN_UNROLL
        for (int c = 0; c < columns_at_once; ++c) {
          NEURN_UNROLL
          for (int k = 0; k < B; ++k) h[c][k] &= begun;
        }
      }
    }
    NEURN_UNROLL
    for (int k = 0; k < B; ++k) {
      Quad out;
      NEURN_UNROLL
      for (int c = 0; c < columns_at_once; ++c) out.column[c] = h[c][k];
      border[k * stride] = out;
    }
  }
}

// a of N planes and b, N + 1 planes.
template <int N>
NEURN_DEVICE void add_planes(const Bits* a, const Bits* b, Bits* out) {
  Bits carry = 0;
  NEURN_UNROLL
  for (int k = 0; k < N; ++k) {
    out[k] = a[k] ^ b[k] ^ carry;
    carry = majority(a[k], b[k], carry);
  }
  out[N] = carry;
}

// Sums over the columns of the differences in a border, a number of sum_planes bits a lane.
template <int B>
NEURN_DEVICE void sum_border(const Quad* border, int stride, const Quad* alive, int quads,
                             Bits* sum) {
  static_assert(columns_at_once == 4);
  NEURN_UNROLL
  for (int k = 0; k < sum_planes; ++k) sum[k] = 0;
  NEURN_ROLLED
  for (int quad = 0; quad < quads; ++quad) {
    Bits h[columns_at_once][B], half[2][B + 1], all[B + 2];
    const Quad there = alive[quad];
    NEURN_UNROLL
    for (int k = 0; k < B; ++k) {
      const Quad plane = border[static_cast<int64_t>(quad * B + k) * stride];
      NEURN_UNROLL
      for (int c = 0; c < columns_at_once; ++c) h[c][k] = plane.column[c] & there.column[c];
    }
    add_planes<B>(h[0], h[1], half[0]);
    add_planes<B>(h[2], h[3], half[1]);
    add_planes<B + 1>(half[0], half[1], all);
    Bits carry = 0;
    NEURN_UNROLL
    for (int k = 0; k < sum_planes; ++k) {
      const Bits addend = k < B + 2 ? all[k] : 0, before = sum[k];
      sum[k] = before ^ addend ^ carry;
      carry = majority(before, addend, carry);
    }
  }
}

// Every query with every target: a block takes 32 targets and as many queries as it has threads.
template <class Cell>
__global__ void __launch_bounds__(bit_threads, 2) score_bits(const __grid_constant__ BitCall call) {
  constexpr int R = bit_rows<Cell>, B = Cell::planes;
  const Problem& p = call.plan.p;
  Quad* differs = reinterpret_cast<Quad*>(neurn::cuda::shared_memory());
  Quad* alive = differs + static_cast<int64_t>(call.symbols) * call.quads;
  Targets& targets = *reinterpret_cast<Targets*>(alive + call.quads);
  const Cell cell(call.equal, call.unequal);
  const int chunks = static_cast<int>((p.pairs.row_count + call.threads - 1) / call.threads);
  const int groups = static_cast<int>((p.pairs.column_count + lanes - 1) / lanes);
  const int64_t in_block = static_cast<int64_t>(call.quads) * B * call.threads;
  Quad* border = call.borders + blockIdx.x * in_block + threadIdx.x;
  int packed = -1, quads = 0;
  for (int unit = static_cast<int>(blockIdx.x); unit < groups * chunks; unit += call.blocks) {
    if (unit / chunks != packed) {
      packed = unit / chunks;
      quads = pack_targets(call, static_cast<int64_t>(packed) * lanes, differs, alive, targets);
    }
    const int64_t at = static_cast<int64_t>(unit % chunks) * call.threads + threadIdx.x;
    if (at >= p.pairs.row_count) continue;
    const int64_t row = call.rows[at], sequence = p.pairs.rows[row];
    const Token* query = call.plan.tokens + p.offsets[sequence];
    const int n = static_cast<int>(size_of(p, sequence));
    // A query ends with the last row of its last pass: its first pass has rows before it.
    const int before = (R - n % R) % R;
    for (int first = -before; first < n; first += R) {
      int rows[R];
      NEURN_UNROLL
      for (int r = 0; r < R; ++r) {
        const int token = first + r;
        rows[r] = (token >= 0 ? query[token] : 0) * call.quads * static_cast<int>(sizeof(Quad));
      }
      if (first <= 0) {
        pass<Cell, R, true>(cell, differs, rows, quads, before, border, call.threads);
      } else {
        pass<Cell, R, false>(cell, differs, rows, quads, 0, border, call.threads);
      }
    }
    Bits sum[sum_planes];
    sum_border<B>(border, call.threads, alive, n > 0 ? quads : 0, sum);
    for (int l = 0; l < lanes; ++l) {
      if (targets.place[l] < 0) break;
      int64_t score = 0;
      NEURN_UNROLL
      for (int k = 0; k < sum_planes; ++k) score |= static_cast<int64_t>(sum[k] >> l & 1) << k;
      score += call.plan.report->gap_extend * (static_cast<int64_t>(n) + targets.size[l]);
      put_score(call.plan, row * p.pairs.column_count + targets.place[l], score);
    }
  }
}

// Rows or columns in the order of their sizes, longest first.
constexpr int side_bins = longest_target + 1;

struct SideCall {
  PlanCall plan;
  const int64_t* side;
  int64_t count, blocks;
  int* bins;
  uint32_t* order;
};

__global__ void sort_side(const __grid_constant__ SideCall call, bool place) {
  for (int64_t i = thread_number(); i < call.count; i += thread_count(call.blocks)) {
    const int64_t size = size_of(call.plan.p, call.side[i]);
    const int bin = static_cast<int>(size < longest_target ? longest_target - size : 0);
    const int at = count_up(&call.bins[bin]);
    if (place) call.order[at] = static_cast<uint32_t>(i);
  }
}

// Where bins begin, in place of how many they hold. One block.
__global__ void find_side_starts(const __grid_constant__ SideCall call) {
  int64_t* shared = reinterpret_cast<int64_t*>(neurn::cuda::shared_memory());
  sums_before(
      side_bins, shared, [&](int64_t bin) { return int64_t{call.bins[bin]}; },
      [&](int64_t bin, int64_t start) {
        if (bin < side_bins) call.bins[bin] = static_cast<int>(start);
      });
}

}  // namespace neurn::align::cuda
