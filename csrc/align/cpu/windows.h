// Two windows of a strip's lanes side by side in one vector, for the way back: a path visits few of
// the lanes in the steps between two kept states.
//
// A window has half of a strip's lanes, from a multiple of `words` on: of each word of a strip's
// vectors 32 bits, which keep their order. Lanes above a window are not there: what comes down from
// them is wrong, by one lane more with each step, but for the border above lane 0.
#pragma once

#include "strip.h"

namespace neurn::align::NEURN_ISA {

#if defined(__AVX512F__)
inline constexpr bool has_windows = true;

// From a word of each: the low halves of the words of `first`, then those of `second`.
[[gnu::always_inline]] inline Bits side_by_side(Bits first, Bits second) {
  const __m512i order =
      _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  return reinterpret_cast<Bits>(_mm512_permutex2var_epi32(reinterpret_cast<__m512i>(first), order,
                                                          reinterpret_cast<__m512i>(second)));
}

// Passes the value of each lane on to the next lane of its window; the first ones take the highest
// bit of *first and *second.
[[gnu::always_inline]] inline Bits next_lane(Bits x, const uint64_t* first,
                                             const uint64_t* second) {
  const __m512i order = _mm512_setr_epi32(1, 2, 3, 4, 5, 6, 7, 0, 9, 10, 11, 12, 13, 14, 15, 8);
  const Bits turned =
      reinterpret_cast<Bits>(_mm512_permutexvar_epi32(order, reinterpret_cast<__m512i>(x)));
  const __m512i one = _mm512_set1_epi64(static_cast<int64_t>(*first));
  const Bits from =
      reinterpret_cast<Bits>(_mm512_mask_set1_epi64(one, 0xf0, static_cast<int64_t>(*second)));
  const Bits top = broadcast(uint64_t{1} << 63);
  const Bits mixed = logic([](auto y, auto x, auto t) NEURN_LAMBDA { return (x & ~t) | (y & t); },
                           from, turned, top);
  return reinterpret_cast<Bits>(_mm512_mask_rol_epi32(reinterpret_cast<__m512i>(turned), 0x8080,
                                                      reinterpret_cast<__m512i>(mixed), 1));
}

template <class Cell, int K>
[[gnu::noinline]] void trace_windows(const WindowsCall& call, const Cell& given_cell) {
  constexpr int B = Cell::planes, U = strip_depth;
  const Cell cell = given_cell;
  const Window &one = call.windows[0], &two = call.windows[1];
  const auto take = [&](const uint64_t* first, const uint64_t* second) NEURN_LAMBDA {
    const auto shift = [](int64_t lane)
                           NEURN_LAMBDA { return broadcast(static_cast<uint64_t>(lane / words)); };
    return side_by_side(load(first) >> shift(one.first_lane),
                        load(second) >> shift(two.first_lane));
  };
  Bits token[U][K], v[U][B], h[B];
  for (int u = 0; u < U; ++u) {
    for (int k = 0; k < K; ++k) {
      const uint64_t* from = call.rows + (u * K + k) * words;
      token[u][k] = take(from, from);
    }
    for (int k = 0; k < B; ++k) {
      const int64_t at = (u * B + k) * words;
      v[u][k] = take(one.state + at, two.state + at);
    }
  }
  for (int k = 0; k < B; ++k) {
    const int64_t at = (U * B + k) * words;
    h[k] = take(one.state + at, two.state + at);
  }
  // The column of a window's first lane is behind that of lane 0.
  const uint64_t* const first = call.column_token + one.begin - one.first_lane - (words - 1);
  const uint64_t* const second = call.column_token + two.begin - two.first_lane - (words - 1);
  uint64_t* trace = call.trace;
  for (int64_t t = 0; t < call.steps; ++t) {
    for (int k = 0; k < B; ++k) {
      const int64_t at = t + k * call.border_stride;
      h[k] = next_lane(h[k], one.border + at, two.border + at);
    }
    Bits shown[K];
    for (int k = 0; k < K; ++k) {
      const int64_t at = t + k * call.column_stride;
      shown[k] = side_by_side(load(first + at), load(second + at));
    }
    unroll<U>([&](auto index) NEURN_LAMBDA {
      constexpr int u = decltype(index)::value;
      Bits differ = shown[0] ^ token[u][0], diagonal, up;
      for (int k = 1; k < K; ++k) {
        differ = logic([](auto d, auto p, auto q) NEURN_LAMBDA { return d | (p ^ q); }, differ,
                       shown[k], token[u][k]);
      }
      cell.template step<true>(v[u], h, differ, &diagonal, &up);
      store(trace + u * words, diagonal);
      store(trace + (U + u) * words, up);
    });
    trace += 2 * U * words;
  }
}
#else
inline constexpr bool has_windows = false;
#endif

}  // namespace neurn::align::NEURN_ISA
