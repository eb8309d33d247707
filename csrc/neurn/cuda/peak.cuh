// The largest deviation and its place. As bit patterns, non-negative numbers are ordered like
// unsigned integers, with NaN above all; of equal ones the lowest index counts. So the result does
// not depend on the order of comparisons.
#pragma once

#include "element.cuh"
#include "geometry.cuh"

namespace neurn::cuda {

struct Peak {
  uint64_t bits;
  int64_t index;
};

NEURN_DEVICE uint64_t bits_of(float v) {
#if defined(__CUDACC__)
  return __float_as_uint(v);
#else
  return __builtin_bit_cast(uint32_t, v);
#endif
}
NEURN_DEVICE uint64_t bits_of(double v) {
#if defined(__CUDACC__)
  return static_cast<uint64_t>(__double_as_longlong(v));
#else
  return __builtin_bit_cast(uint64_t, v);
#endif
}
NEURN_DEVICE void from_bits(uint64_t bits, float* v) {
#if defined(__CUDACC__)
  *v = __uint_as_float(static_cast<uint32_t>(bits));
#else
  *v = __builtin_bit_cast(float, static_cast<uint32_t>(bits));
#endif
}
NEURN_DEVICE void from_bits(uint64_t bits, double* v) {
#if defined(__CUDACC__)
  *v = __longlong_as_double(static_cast<int64_t>(bits));
#else
  *v = __builtin_bit_cast(double, bits);
#endif
}

// Of sigma: never negative, and a NaN of any sign counts.
template <class F>
NEURN_DEVICE uint64_t peak_bits(F sigma) {
  constexpr uint64_t sign = uint64_t{1} << (8 * sizeof(F) - 1);
  return bits_of(sigma) & ~sign;
}

NEURN_DEVICE Peak no_peak() { return {0, INT64_MAX}; }

NEURN_DEVICE Peak larger(const Peak& a, const Peak& b) {
  const bool second = b.bits > a.bits || (b.bits == a.bits && b.index < a.index);
  return second ? b : a;
}

// Of a warp, in its lane 0.
NEURN_DEVICE Peak warp_peak(Peak peak) {
  for (int offset = 16; offset > 0; offset /= 2) {
    const Peak other{
        static_cast<uint64_t>(shuffle_down(static_cast<unsigned long long>(peak.bits), offset)),
        static_cast<int64_t>(shuffle_down(static_cast<long long>(peak.index), offset))};
    peak = larger(peak, other);
  }
  return peak;
}

// Of `warps` entries, the same for every thread that asks.
NEURN_DEVICE Peak largest(const Peak* peaks, int warps) {
  Peak peak = peaks[0];
  for (int i = 1; i < warps; ++i) peak = larger(peak, peaks[i]);
  return peak;
}

// The divisor of a scope; 0 where nothing deviates.
template <class F>
NEURN_DEVICE F divisor_of(F peak, double floor) {
  return peak == F(0) ? F(0) : static_cast<F>(static_cast<double>(peak) + floor);
}

template <class F>
NEURN_DEVICE F normalized(F sigma, F divisor) {
  return divisor == F(0) ? F(0) : sigma / divisor;
}

template <class F>
NEURN_DEVICE void publish(const Peaks& peaks, int64_t scope, const Peak& peak) {
  F value;
  from_bits(peak.bits, &value);
  static_cast<F*>(peaks.value)[scope] = value;
  peaks.index[scope] = value == value ? peak.index : -1;
}

}  // namespace neurn::cuda
