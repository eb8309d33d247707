// Element types in memory and their conversion to and from the type computed in.
#pragma once

#include "simd.h"

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace neurn::NEURN_ISA {

struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

inline float to_float(BFloat16 value) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(value.bits) << 16);
}

inline BFloat16 to_bfloat16(float value) {
  const uint32_t u = __builtin_bit_cast(uint32_t, value);
  if (value != value) return {0x7fc0};
  return {static_cast<uint16_t>((u + 0x7fff + ((u >> 16) & 1)) >> 16)};
}

#if defined(__F16C__)
inline float to_float(Half value) { return _cvtsh_ss(value.bits); }
inline Half to_half(float value) { return {_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT)}; }
#elif defined(__aarch64__)
inline float to_float(Half value) { return __builtin_bit_cast(__fp16, value.bits); }
inline Half to_half(float value) {
  return {__builtin_bit_cast(uint16_t, static_cast<__fp16>(value))};
}
#else
inline float to_float(Half value) {
  const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000) << 16;
  const uint32_t magnitude = value.bits & 0x7fff;
  if (magnitude >= 0x7c00) return __builtin_bit_cast(float, sign | 0x7f800000 | (magnitude << 13));
  // Placing the bits in a float whose exponent is 112 too small scales subnormals as well.
  const float scaled = __builtin_bit_cast(float, magnitude << 13) * 0x1p112f;
  return __builtin_bit_cast(float, sign | __builtin_bit_cast(uint32_t, scaled));
}

inline Half to_half(float value) {
  const uint32_t u = __builtin_bit_cast(uint32_t, value);
  const uint16_t sign = static_cast<uint16_t>((u >> 16) & 0x8000);
  const uint32_t magnitude = u & 0x7fffffff;
  if (magnitude > 0x7f800000) return {static_cast<uint16_t>(sign | 0x7e00)};
  if (magnitude >= 0x477ff000) return {static_cast<uint16_t>(sign | 0x7c00)};
  if (magnitude < 0x38800000) {
    // Adding 0.5 makes the float unit round at the last bit of a subnormal half.
    const float sum = __builtin_bit_cast(float, magnitude) + 0.5f;
    return {static_cast<uint16_t>(sign | (__builtin_bit_cast(uint32_t, sum) - 0x3f000000))};
  }
  const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return {static_cast<uint16_t>(sign | ((rounded - 0x38000000) >> 13))};
}
#endif

inline float widen(Half v) { return to_float(v); }
inline float widen(BFloat16 v) { return to_float(v); }
inline float widen(float v) { return v; }
inline double widen(double v) { return v; }

template <class T>
struct Narrow;
template <>
struct Narrow<Half> {
  static Half from(double v) { return to_half(static_cast<float>(v)); }
};
template <>
struct Narrow<BFloat16> {
  static BFloat16 from(double v) { return to_bfloat16(static_cast<float>(v)); }
};
template <>
struct Narrow<float> {
  static float from(double v) { return static_cast<float>(v); }
};
template <>
struct Narrow<double> {
  static double from(double v) { return v; }
};

template <class T, class U>
struct Same {
  static constexpr bool value = false;
};
template <class T>
struct Same<T, T> {
  static constexpr bool value = true;
};

template <class F>
inline void copy_dense(const F* in, int64_t count, F* out) {
  constexpr int64_t N = Simd<F>::lanes;
  if (count < N) {
    for (int64_t i = 0; i < count; ++i) out[i] = in[i];
    return;
  }
  for (int64_t i = 0; i + N < count; i += N) store(out + i, load(in + i));
  store(out + count - N, load(in + count - N));
}

// out[i] = in[i * stride]
template <class T, class F>
inline void read_run(const T* in, int64_t stride, int64_t count, F* out) {
  if (stride == 1) {
    if constexpr (Same<T, F>::value) {
      copy_dense(in, count, out);
    } else {
      int64_t i = 0;
#if defined(__F16C__)
      if constexpr (Same<T, Half>::value && Same<F, float>::value) {
        for (; i + 8 <= count; i += 8) {
          _mm256_storeu_ps(
              out + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i))));
        }
      }
#endif
      for (; i < count; ++i) out[i] = static_cast<F>(widen(in[i]));
    }
  } else {
    for (int64_t i = 0; i < count; ++i) out[i] = static_cast<F>(widen(in[i * stride]));
  }
}

// out[i * stride] = in[i]
template <class T, class F>
inline void write_run(const F* in, int64_t stride, int64_t count, T* out) {
  if (stride == 1) {
    if constexpr (Same<T, F>::value) {
      copy_dense(in, count, out);
    } else {
      int64_t i = 0;
#if defined(__F16C__)
      if constexpr (Same<T, Half>::value && Same<F, float>::value) {
        for (; i + 8 <= count; i += 8) {
          _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i),
                           _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT));
        }
      }
#endif
      for (; i < count; ++i) out[i] = Narrow<T>::from(in[i]);
    }
  } else {
    for (int64_t i = 0; i < count; ++i) out[i * stride] = Narrow<T>::from(in[i]);
  }
}

}  // namespace neurn::NEURN_ISA
