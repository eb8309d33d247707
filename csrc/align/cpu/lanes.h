// Many pairs at once, one a lane, swept row by row.
#pragma once

#include "../bit_kernels.h"
#include "bits.h"

namespace neurn::align::NEURN_ISA {

// Rows in one pass over the columns: their vertical differences stay in registers.
inline constexpr int lane_rows = words == 8 ? 4 : 2;

template <bool shared>
[[gnu::always_inline]] inline Bits load_column(const uint64_t* p) {
  return shared ? broadcast(*p) : load(p);
}

// Rows row .. row + R - 1 over all columns. ragged: rows above a query's first leave differences 0.
template <bool shared, int K, int R, bool ragged, class Cell>
[[gnu::noinline]] void pass(const Cell& given, const LaneCall& call, int64_t row) {
  static_assert(R == 1 || !ragged);
  constexpr int B = Cell::planes, column_words = shared ? 1 : words;
  const Cell cell = given;
  const uint64_t* rows = call.rows + row * K * words;
  const Bits begun = ragged ? load(call.begun + row * words) : Bits{};
  Bits v[R][B] = {};
  const uint64_t* column = call.columns;
  uint64_t* difference = call.difference;
  for (int64_t j = 0; j < call.column_count; ++j) {
    Bits h[B], token[K];
    for (int k = 0; k < B; ++k) h[k] = load(difference + k * words);
    for (int k = 0; k < K; ++k) token[k] = load_column<shared>(column + k * column_words);
    unroll<R>([&](auto index) NEURN_LAMBDA {
      constexpr int r = decltype(index)::value;
      const uint64_t* own = rows + r * K * words;
      Bits differ = token[0] ^ load(own);
      for (int k = 1; k < K; ++k) {
        differ = logic([](auto d, auto p, auto q) NEURN_LAMBDA { return d | (p ^ q); }, differ,
                       token[k], load(own + k * words));
      }
      cell.template step<false>(v[r], h, differ, nullptr, nullptr);
    });
    if constexpr (ragged) {
      for (int k = 0; k < B; ++k) h[k] &= begun;
    }
    for (int k = 0; k < B; ++k) store(difference + k * words, h[k]);
    column += K * column_words;
    difference += B * words;
  }
}

// Numbers that counters of bits hold, by lane.
[[gnu::noinline]] inline void expand(const uint64_t* counter, int used, uint64_t* out) {
  Bits first;
  for (int l = 0; l < words; ++l) first[l] = static_cast<uint64_t>(l);
  for (int w = 0; w < words; ++w) {
    for (uint64_t l = 0; l < 64; l += words) {
      Bits own{};
      for (int k = 0; k < used; ++k) {
        own |= (broadcast(counter[k * words + w]) >> (first + l) & 1) << k;
      }
      store(out + w * 64 + l, own);
    }
  }
}

// Lanes that end at the same column from which on it is faster to read all.
inline constexpr int64_t least_expanded = 64;

// Adds up the differences of every lane in counters of bits, and reads a lane's at its last column.
template <int B>
[[gnu::noinline]] void sum_rows(const LaneCall& call) {
  constexpr int most = 40;
  uint64_t counter[most * words], all[64 * words];
  memset(counter, 0, sizeof counter);
  const uint64_t* difference = call.difference;
  int used = B;
  int64_t done = 0;
  for (int64_t j = 0; done < call.count; ++j, difference += B * words) {
    while (((int64_t{1} << B) - 1) * (j + 1) >> used) ++used;
    Bits carry{};
    for (int k = 0; k < B; ++k) {
      const Bits x = load(difference + k * words), c = load(counter + k * words);
      store(counter + k * words,
            logic([](auto p, auto q, auto r) NEURN_LAMBDA { return p ^ q ^ r; }, carry, c, x));
      carry =
          logic([](auto p, auto q, auto r) NEURN_LAMBDA { return majority(p, q, r); }, carry, c, x);
    }
    for (int k = B; k < used; ++k) {
      const Bits c = load(counter + k * words);
      store(counter + k * words, c ^ carry);
      carry &= c;
    }
    const int64_t begin = done;
    while (done < call.count && call.size[done] == j + 1) ++done;
    const bool expanded = (done - begin) * call.copies >= least_expanded;
    if (expanded) expand(counter, used, all);
    for (int64_t c = 0; c < call.copies; ++c) {
      for (int64_t e = begin; e < done; ++e) {
        const int64_t lane = call.lane[e] + c * call.copy_lanes;
        uint64_t sum = expanded ? all[lane] : 0;
        for (int k = expanded ? used : 0; k < used; ++k) {
          sum |= (counter[k * words + lane / 64] >> (lane % 64) & 1) << k;
        }
        call.sum[c * call.count + e] = static_cast<int64_t>(sum);
      }
    }
  }
}

template <bool shared, int K, class Cell>
[[gnu::noinline]] void run_lanes(const Cell& cell, const LaneCall& call) {
  constexpr int B = Cell::planes;
  memset(call.difference, 0, static_cast<size_t>(call.column_count) * B * words * 8);
  int64_t row = 0;
  for (; row < call.ragged; ++row) pass<shared, K, 1, true>(cell, call, row);
  for (; (call.row_count - row) % lane_rows != 0; ++row) {
    pass<shared, K, 1, false>(cell, call, row);
  }
  for (; row < call.row_count; row += lane_rows) {
    pass<shared, K, lane_rows, false>(cell, call, row);
  }
  sum_rows<B>(call);
}

}  // namespace neurn::align::NEURN_ISA
