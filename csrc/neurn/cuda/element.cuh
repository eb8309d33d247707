// Element types in memory and the type computed in.
#pragma once

#include "../../cuda/device.h"
#if !defined(__CUDACC__)
#include "../cpu/element.h"
#endif

namespace neurn::cuda {

#if defined(__CUDACC__)
using Half = __half;
using BFloat16 = __nv_bfloat16;
NEURN_DEVICE float widen(Half v) { return __half2float(v); }
NEURN_DEVICE float widen(BFloat16 v) { return __bfloat162float(v); }
NEURN_DEVICE void assign(Half& target, double v) {
  target = __float2half_rn(static_cast<float>(v));
}
NEURN_DEVICE void assign(BFloat16& target, double v) {
  target = __float2bfloat16_rn(static_cast<float>(v));
}
NEURN_DEVICE void assign(Half& target, float v) { target = __float2half_rn(v); }
NEURN_DEVICE void assign(BFloat16& target, float v) { target = __float2bfloat16_rn(v); }
#else
// Structures of our own, so that no function of another namespace is meant.
struct Half {
  baseline::Half value;
};
struct BFloat16 {
  baseline::BFloat16 value;
};
inline float widen(Half v) { return baseline::to_float(v.value); }
inline float widen(BFloat16 v) { return baseline::to_float(v.value); }
inline void assign(Half& target, double v) {
  target.value = baseline::to_half(static_cast<float>(v));
}
inline void assign(BFloat16& target, double v) {
  target.value = baseline::to_bfloat16(static_cast<float>(v));
}
#endif
NEURN_DEVICE float widen(float v) { return v; }
NEURN_DEVICE double widen(double v) { return v; }
NEURN_DEVICE void assign(float& target, double v) { target = static_cast<float>(v); }
NEURN_DEVICE void assign(double& target, double v) { target = v; }
#if defined(__CUDACC__)
NEURN_DEVICE void assign(float& target, float v) { target = v; }
#endif

// The type computed in, and where a sum of its squares has all its digits.
template <class T>
struct Compute {
  using Type = float;
};
template <>
struct Compute<double> {
  using Type = double;
};

template <class F>
struct Range;
template <>
struct Range<float> {
  static constexpr bool guarded = true;
  static constexpr float low = 1e-24f, high = 1e37f, least_square = 1e-30f;
  using Bits = uint32_t;
};
// There is nothing wider to turn to.
template <>
struct Range<double> {
  static constexpr bool guarded = false;
  static constexpr double low = 0, high = 1e308, least_square = 0;
  using Bits = uint64_t;
};

NEURN_DEVICE float square_root(float v) { return sqrtf(v); }
NEURN_DEVICE double square_root(double v) { return sqrt(v); }

template <class F>
NEURN_DEVICE F not_a_number() {
  return static_cast<F>(__builtin_nan(""));
}
template <class F>
NEURN_DEVICE F infinity() {
  return static_cast<F>(__builtin_huge_val());
}

}  // namespace neurn::cuda
