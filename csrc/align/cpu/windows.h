// Windows of a strip's lanes side by side in one vector, for the way back: a path visits few of the
// lanes in the steps between two kept states.
//
// A window has a quarter of a strip's lanes, from a multiple of `words` on: of each word of a
// strip's vectors 16 bits, which keep their order. Lanes above a window are not there: what comes
// down from them is wrong, by one lane more with each step, but for the border above lane 0.
#pragma once

#include "strip.h"

namespace neurn::align::NEURN_ISA {

#if defined(__AVX512F__)
inline constexpr bool has_windows = true;

[[gnu::always_inline]] inline Bits side_by_side(const __m128i* windows) {
  const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(windows[0]), windows[1], 1);
  const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(windows[2]), windows[3], 1);
  // Masked: GCC 12 says of the other one that it reads what is not initialized.
  return reinterpret_cast<Bits>(
      _mm512_maskz_inserti64x4(0xff, _mm512_castsi256_si512(low), high, 1));
}

// Each lane's value, passed on to the next lane of its window; the first ones take what `above` has
// in their place.
[[gnu::always_inline]] inline Bits next_window_lane(Bits x, Bits above) {
  const __m512i y = reinterpret_cast<__m512i>(x), turned = _mm512_alignr_epi8(y, y, 2);
  return reinterpret_cast<Bits>(_mm512_mask_add_epi16(turned, 0x80808080, turned, turned)) | above;
}

// Of each window the words from the one numbered `first` on, where `later` has those that follow.
template <int first>
[[gnu::always_inline]] inline Bits words_from(Bits from, Bits later) {
  return reinterpret_cast<Bits>(_mm512_alignr_epi8(reinterpret_cast<__m512i>(later),
                                                   reinterpret_cast<__m512i>(from), 2 * first));
}

template <class Cell, int K>
[[gnu::noinline]] void trace_windows(const WindowsCall& call, const Cell& given_cell) {
  constexpr int B = Cell::planes, U = strip_depth;
  const Cell cell = given_cell;
  // Of what each window has at `from`, the bits that are its lanes'.
  const auto take = [&](auto from) NEURN_LAMBDA {
    __m128i part[windows_at_once];
    for (int i = 0; i < windows_at_once; ++i) {
      const Window& window = call.windows[i];
      const Bits own =
          load(from(window)) >> broadcast(static_cast<uint64_t>(window.first_lane / words));
      part[i] = _mm512_maskz_cvtepi64_epi16(0xff, reinterpret_cast<__m512i>(own));
    }
    return side_by_side(part);
  };
  const auto state = [&](int vector) NEURN_LAMBDA {
    return take([&](const Window& window) NEURN_LAMBDA { return window.state + vector * words; });
  };
  Bits token[U][K], v[U][B], h[B];
  for (int u = 0; u < U; ++u) {
    for (int k = 0; k < K; ++k) {
      token[u][k] =
          take([&](const Window&) NEURN_LAMBDA { return call.rows + (u * K + k) * words; });
    }
    for (int k = 0; k < B; ++k) v[u][k] = state(u * B + k);
  }
  for (int k = 0; k < B; ++k) h[k] = state(U * B + k);
  // Words of a plane: those from the first on are shown at step t, those from the next at t + 1.
  // The column of a window's first lane is behind that of lane 0.
  const auto shown_from = [&](int64_t t, int k) NEURN_LAMBDA {
    __m128i part[windows_at_once];
    for (int i = 0; i < windows_at_once; ++i) {
      const Window& window = call.windows[i];
      const int64_t at = window.begin - window.first_lane - (words - 1) + t;
      const Bits own = load(call.column_token + k * call.column_stride + at);
      part[i] = _mm512_maskz_cvtepi64_epi16(0xff, reinterpret_cast<__m512i>(own));
    }
    return side_by_side(part);
  };
  Bits shown[K];
  for (int k = 0; k < K; ++k) shown[k] = shown_from(0, k);
  const uint64_t* above = call.above;
  uint64_t* trace = call.trace;
  for (int64_t t = 0; t < call.steps; t += words) {
    Bits later[K];
    for (int k = 0; k < K; ++k) later[k] = shown_from(t + words, k);
    unroll<words>([&](auto step) NEURN_LAMBDA {
      Bits differ[U];
      for (int k = 0; k < K; ++k) {
        const Bits now = words_from<decltype(step)::value>(shown[k], later[k]);
        for (int u = 0; u < U; ++u) {
          differ[u] = k == 0
                          ? now ^ token[u][0]
                          : logic([](auto d, auto p, auto q) NEURN_LAMBDA { return d | (p ^ q); },
                                  differ[u], now, token[u][k]);
        }
      }
      for (int k = 0; k < B; ++k) h[k] = next_window_lane(h[k], load(above + k * words));
      unroll<U>([&](auto index) NEURN_LAMBDA {
        constexpr int u = decltype(index)::value;
        Bits diagonal, up;
        cell.template step<true>(v[u], h, differ[u], &diagonal, &up);
        store(trace + u * words, diagonal);
        store(trace + (U + u) * words, up);
      });
      above += call.above_stride;
      trace += 2 * U * words;
    });
    for (int k = 0; k < K; ++k) shown[k] = later[k];
  }
}
#else
inline constexpr bool has_windows = false;
#endif

}  // namespace neurn::align::NEURN_ISA
