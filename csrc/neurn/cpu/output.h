// From M, the sum of squared deviations of a patch (k^2 sigma^2), to y = sqrt(M * factor).
#pragma once

#include "blocks.h"

namespace neurn::NEURN_ISA {

// sqrt(v * factor); v >= 0 or NaN.
template <class F>
inline Vec<F> scaled_root(Vec<F> v, Vec<F> factor) {
  return square_root<F>(v * factor);
}

#if defined(__AVX512F__)
// The square-root unit is slower than memory: an estimate and one Newton step, to the last bit or
// so.
template <>
inline Vec<float> scaled_root<float>(Vec<float> v, Vec<float> factor) {
  const __m512 square = v * factor;
  const __m512 estimate = _mm512_rsqrt14_ps(square);
  const __m512 root = square * estimate;
  const __m512 refined =
      _mm512_fmadd_ps(estimate * _mm512_set1_ps(0.5f), _mm512_fnmadd_ps(root, root, square), root);
  return _mm512_mask_mov_ps(refined, _mm512_cmp_ps_mask(square, _mm512_setzero_ps(), _CMP_EQ_OQ),
                            _mm512_setzero_ps());
}
#endif

// 1 / sqrt(v), and 0 where v is.
template <class F>
inline Vec<F> inverse_root(Vec<F> v) {
  const Vec<F> zero{}, inverse = F(1) / square_root<F>(v);
  return v == zero ? zero : inverse;
}

#if defined(__AVX512F__)
template <>
inline Vec<float> inverse_root<float>(Vec<float> v) {
  const __mmask16 some = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
  const __m512 estimate = _mm512_maskz_rsqrt14_ps(some, v);
  const __m512 error = _mm512_fnmadd_ps(v * estimate, estimate, _mm512_set1_ps(1));
  return _mm512_fmadd_ps(estimate * _mm512_set1_ps(0.5f), error, estimate);
}
#endif

// The factor that turns M into y^2, chosen so that the maximum becomes exactly 1 when floor is 0.
template <class F>
inline F output_factor(double peak, int64_t k, double floor) {
  if (peak == 0) return F(0);
  const double root = __builtin_sqrt(peak) + double(k) * floor;
  F factor = static_cast<F>(floor == 0 ? 1 / peak : 1 / (root * root));
  if (floor == 0 && static_cast<F>(peak) * factor < F(1)) {
    factor = __builtin_bit_cast(F, static_cast<typename Simd<F>::Word>(
                                       __builtin_bit_cast(typename Simd<F>::Word, factor) + 1));
  }
  return factor;
}

// A row of pixels, `step` channels each, to where they belong in an array.
template <class T, class F>
inline void write_row(const F* row, int64_t pixels, int64_t step, const Array& array, T* out) {
  if (array.w == step && (step == 1 || array.c == 1)) {
    write_run(row, 1, pixels * step, out);
  } else if (step == 1) {
    write_run(row, array.w, pixels, out);
  } else {
    for (int64_t m = 0; m < pixels; ++m) {
      write_run(row + m * step, array.c, step, out + m * array.w);
    }
  }
}

// The largest M of a tile. As bit patterns, non-negative floats are ordered like unsigned integers,
// and NaN is above everything.
template <class F>
inline F largest(Bits<F> top) {
  using Word = typename Simd<F>::Word;
  struct Lanes {
    Word at[Simd<F>::lanes];
  };
  const Lanes lanes = __builtin_bit_cast(Lanes, top);
  Word word = 0;
  for (const Word lane : lanes.at) word = lane > word ? lane : word;
  return __builtin_bit_cast(F, word);
}

// Lanes that are rows of the image, in a tile of which `rows` are.
template <class F>
inline Bits<F> row_mask(int64_t rows) {
  constexpr int N = Simd<F>::lanes;
  typename Simd<F>::Word lane[N];
  for (int i = 0; i < N; ++i) lane[i] = i;
  Bits<F> lanes;
  memcpy(&lanes, lane, sizeof lanes);
  const int64_t count = rows < N ? rows : N;
  return (Bits<F>)(lanes < (Bits<F>{} + static_cast<typename Simd<F>::Word>(count)));
}

}  // namespace neurn::NEURN_ISA
