// One matrix, or many side by side, swept along anti-diagonals: each lane holds a few rows, one
// under the other, each in a vector of its own, and lane l is at column t - l in step t.
#pragma once

#include "../bit_kernels.h"
#include "bits.h"

namespace neurn::align::NEURN_ISA {

// Rows of a lane: horizontal differences pass from one to the next without leaving the lane.
// Few where vectors are wide, so that little of a strip is empty.
inline constexpr int strip_depth = words == 8 ? 2 : 4;
static_assert(std::has_single_bit(unsigned{strip_depth}));
// Lanes are dealt to the words in turn, so that the step to the next lane moves whole words, but
// for one: lane l is bit l / words of word words - 1 - l % words. The last lane's word is the
// first, its bit the last.

// What the columns show to the rows. Bit i of word t of a plane is that of column t - words * i, so
// that the vector that ends at word t shows to each row its column at step t. Columns before the
// first are there, as zeros: `lanes` of them.
struct Columns {
  const uint64_t* token;   // word of column 0, planes of the token's number one after the other
  int64_t stride;          // words from one plane to the next
  const uint64_t* starts;  // 1 where a target begins
};

// A vector for each row of a lane.
template <int K>
struct Rows {
  Bits token[strip_depth][K];
  Bits keep[strip_depth];      // 0 where a query begins
  Bits selected[strip_depth];  // rows whose horizontal differences are wanted, one a word
};

// Vertical differences of every row, horizontal ones of the last row of each lane.
template <class Cell>
struct State {
  Bits v[strip_depth][Cell::planes], h[Cell::planes];
};

// Horizontal differences above row 0 and, as steps go by, below the last row, by column: bit 63 of
// word column of each plane. Columns are read `lanes` steps before they are written.
struct Border {
  const uint64_t* above;
  uint64_t* below;
  int64_t stride;
};

// The rows that a lane held before its target began: the strip above ends while the one below
// begins.
template <int K>
struct Before {
  Rows<K> rows;
  const uint64_t* started;  // as Columns: 1 from the target's beginning on
};

// next_word and double_last_word together pass each lane's value on to the next lane.
[[gnu::always_inline]] inline Bits next_word(Bits x) {
#if defined(__AVX512F__)
  return reinterpret_cast<Bits>(
      _mm512_alignr_epi64(reinterpret_cast<__m512i>(x), reinterpret_cast<__m512i>(x), 1));
#else
  Bits order;
  for (int w = 0; w < words; ++w) order[w] = (w + 1) % words;
  return __builtin_shuffle(x, order);
#endif
}

[[gnu::always_inline]] inline Bits double_last_word(Bits x) {
#if defined(__AVX512F__)
  const __m512i y = reinterpret_cast<__m512i>(x);
  return reinterpret_cast<Bits>(_mm512_mask_add_epi64(y, 0x80, y, y));
#else
  Bits last{};
  last[words - 1] = ~uint64_t{0};
  return x + (x & last);
#endif
}

// double_last_word(turned) with the carry of `from`.
[[gnu::always_inline]] inline Bits carried_on(Bits turned, Bits from) {
#if defined(__AVX512F__)
  const Bits top = broadcast(uint64_t{1} << 63);
  const Bits mixed = logic([](auto y, auto x, auto t) NEURN_LAMBDA { return (x & ~t) | (y & t); },
                           from, turned, top);
  return reinterpret_cast<Bits>(_mm512_mask_rol_epi64(reinterpret_cast<__m512i>(turned), 0x80,
                                                      reinterpret_cast<__m512i>(mixed), 1));
#else
  Bits last{};
  last[words - 1] = 1;
  return double_last_word(turned) | (from >> 63 & last);
#endif
}

// Bit w: whether word w has a bit.
[[gnu::always_inline]] inline uint8_t words_with(Bits x, Bits mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi64_mask(reinterpret_cast<__m512i>(x), reinterpret_cast<__m512i>(mask));
#elif defined(__AVX2__)
  const __m256i y = reinterpret_cast<__m256i>(x & mask);
  const __m256i none = _mm256_cmpeq_epi64(y, _mm256_setzero_si256());
  return static_cast<uint8_t>(~_mm256_movemask_pd(_mm256_castsi256_pd(none)) & 15);
#else
  uint8_t out = 0;
  const Bits y = x & mask;
  for (int w = 0; w < words; ++w) out |= (y[w] != 0) << w;
  return out;
#endif
}

// What a sweep does besides.
struct Sweep {
  bool starts;   // targets begin inside
  bool keeps;    // queries begin inside
  bool selects;  // selected[((t - begin) * strip_depth + u) * 4 + k]: bit w tells plane k of the
                 // difference in the selected row of word w of vector u
  bool borders;
  bool joins;   // a lane's rows are others before its target begins
  bool traces;  // trace + (t - begin) * 2 * strip_depth * words: whether diagonal is optimal,
                // lane after lane of each vector, then whether up is
};

template <Sweep sweep, class Cell, int K>
void run_strip(const Cell& given_cell, const Columns& columns, const Rows<K>& given_rows,
               [[maybe_unused]] const Before<K>& given_before, State<Cell>& state, int64_t begin,
               int64_t end, [[maybe_unused]] uint8_t* __restrict selected,
               [[maybe_unused]] const Border& border, [[maybe_unused]] uint64_t* __restrict trace) {
  constexpr int B = Cell::planes, U = strip_depth;
  // Copies: stores could otherwise be to these.
  const Cell cell = given_cell;
  const Rows<K> rows = given_rows;
  const Before<K> before = sweep.joins ? given_before : Before<K>{};
  State<Cell> now = state;
  const uint64_t* plane[K];
  for (int k = 0; k < K; ++k) plane[k] = columns.token + k * columns.stride - (words - 1);
  const uint64_t* starts = columns.starts - (words - 1);
  const uint64_t* started = sweep.joins ? before.started - (words - 1) : nullptr;
  const uint64_t* over[B];
  uint64_t* under[B];
  for (int k = 0; k < B; ++k) {
    over[k] = sweep.borders ? border.above + k * border.stride : nullptr;
    under[k] = sweep.borders ? border.below + k * border.stride : nullptr;
  }
  Bits* const h = now.h;
  for (int64_t t = begin; t < end; ++t) {
    for (int k = 0; k < B; ++k) {
      const Bits turned = next_word(h[k]);
      if constexpr (sweep.borders) {
        h[k] = carried_on(turned, broadcast(over[k][t]));
      } else {
        h[k] = double_last_word(turned);
      }
    }
    Bits shown[K];
    for (int k = 0; k < K; ++k) shown[k] = load(plane[k] + t);
    [[maybe_unused]] Bits fresh, begun;
    if constexpr (sweep.starts) fresh = load(starts + t);
    if constexpr (sweep.joins) begun = load(started + t);
    unroll<U>([&](auto index) NEURN_LAMBDA {
      constexpr int u = decltype(index)::value;
      Bits* v = now.v[u];
      if constexpr (sweep.keeps) {
        const Bits keep = sweep.joins ? before.rows.keep[u] | begun : rows.keep[u];
        for (int k = 0; k < B; ++k) h[k] &= keep;
      }
      if constexpr (sweep.starts) {
        for (int k = 0; k < B; ++k) v[k] &= ~fresh;
      }
      const auto own = [&](int k) NEURN_LAMBDA {
        if constexpr (!sweep.joins) return rows.token[u][k];
        return logic([](auto x, auto y, auto now) NEURN_LAMBDA { return (x & now) | (y & ~now); },
                     rows.token[u][k], before.rows.token[u][k], begun);
      };
      Bits differ = shown[0] ^ own(0);
      for (int k = 1; k < K; ++k) {
        differ = logic([](auto d, auto p, auto q) NEURN_LAMBDA { return d | (p ^ q); }, differ,
                       shown[k], own(k));
      }
      if constexpr (sweep.traces) {
        Bits diagonal, up;
        cell.template step<true>(v, h, differ, &diagonal, &up);
        store(trace + u * words, diagonal);
        store(trace + (U + u) * words, up);
      } else {
        cell.template step<false>(v, h, differ, nullptr, nullptr);
      }
      if constexpr (sweep.selects) {
        for (int k = 0; k < B; ++k) selected[4 * u + k] = words_with(h[k], rows.selected[u]);
      }
    });
    if constexpr (sweep.borders) {
      for (int k = 0; k < B; ++k) under[k][t - (lanes - 1)] = h[k][0];
    }
    if constexpr (sweep.selects) selected += 4 * U;
    if constexpr (sweep.traces) trace += 2 * U * words;
  }
  state = now;
}

}  // namespace neurn::align::NEURN_ISA
