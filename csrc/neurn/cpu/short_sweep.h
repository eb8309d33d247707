// Forward sweep over planes of short rows; only M itself goes to y.
#pragma once

#include "short_row.h"

#if defined(__AVX512F__)

namespace neurn::NEURN_ISA {

template <int K, int V>
class ShortSweep {
 public:
  static constexpr int64_t N = ShortRow<K, V>::N;
  static constexpr int R = 4;
  static_assert(N % R == 0);
  static constexpr bool raw_only = true;

  // Rows of other strides are converted by RowSweep.
  static bool takes(const Problem& p, const Array& x, const Array& y) {
    return p.k == K && ShortRow<K, V>::fits(p.width) && x.w == 1 && y.w == 1;
  }

  ShortSweep(const Problem& p, const Blocks& blocks)
      : p_(p), blocks_(blocks), moments_(p.rows, p.columns) {
    const int64_t lead = p.padding == Padding::valid ? K / 2 : 0;
    for (int v = 0; v < V; ++v) windows_[v] = ShortRow<K, V>::lanes(v, lead, lead + p.out_width);
    lead_ = lead;
  }

  // As Sweep::run, raw.
  bool run(const Array& x, const Array* y, int64_t unit, int64_t from, int64_t to, float* tops,
           const float*, bool) {
    const int64_t sample = unit / blocks_.count, channel = unit % blocks_.count;
    float* const out = static_cast<float*>(y->data) + sample * y->n + channel * y->c - lead_;
    clear_lost_digits();
    moments_.start(pixels_of<float>(x, sample, channel), from * N, nullptr);
    for (int64_t tile = from; tile < to; ++tile) {
      const int64_t end = (tile + 1) * N < p_.out_height ? (tile + 1) * N : p_.out_height;
      Bits<float> top{};
      for (int64_t o = tile * N; o < end; o += R) {
        float* const rows = out + o * y->h;
        if (end - o >= R) {
          top = compute<true>(rows, y->h, R, top);
        } else {
          top = compute<false>(rows, y->h, end - o, top);
        }
      }
      tops[tile] = largest<float>(top);
    }
    return !lost_digits();
  }

 private:
  // The next R rows to out, of which only `count` exist unless Full. Returns the largest M, if
  // greater than top.
  template <bool Full>
  [[gnu::always_inline]] Bits<float> compute(float* out, int64_t stride, int64_t count,
                                             Bits<float> top) {
    __mmask16 windows[V];
    for (int v = 0; v < V; ++v) windows[v] = windows_[v];
    auto emit = [&](int v, const Vec<float>* squares, const Vec<float>*) NEURN_INLINE {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        if (!Full && r >= count) break;
        const __m512i bits = _mm512_castps_si512(squares[r]);
        top = (Bits<float>)_mm512_mask_max_epu32((__m512i)top, windows[v], (__m512i)top, bits);
        _mm512_mask_storeu_ps(out + r * stride + v * N, windows[v], squares[r]);
      }
    };
    moments_.template block<false>(emit);
    return top;
  }

  const Problem& p_;
  const Blocks& blocks_;
  ShortMoments<K, R, V> moments_;
  __mmask16 windows_[V];
  int64_t lead_;
};

}  // namespace neurn::NEURN_ISA

#endif
