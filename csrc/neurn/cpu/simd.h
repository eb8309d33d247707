// Vectors of the widest kind that the translation unit's instruction set has.
// Included once per instruction set; everything lives in that set's own namespace, because the
// linker would otherwise merge inline functions that were compiled for different processors.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <xmmintrin.h>
#else
#include <cfenv>
#endif

#ifndef NEURN_VECTOR_BYTES
#define NEURN_VECTOR_BYTES 16
#endif
#ifndef NEURN_ISA
#define NEURN_ISA baseline
#endif

// For lambdas, which take no attribute of the standard's spelling.
#define NEURN_INLINE __attribute__((always_inline))

namespace neurn::NEURN_ISA {

template <class F>
struct Simd;

template <>
struct Simd<float> {
  static constexpr int lanes = NEURN_VECTOR_BYTES / 4;
  typedef float Vec __attribute__((vector_size(NEURN_VECTOR_BYTES)));
  typedef float Unaligned __attribute__((vector_size(NEURN_VECTOR_BYTES), aligned(4), may_alias));
  typedef int32_t Mask __attribute__((vector_size(NEURN_VECTOR_BYTES)));
  typedef uint32_t Bits __attribute__((vector_size(NEURN_VECTOR_BYTES)));
  typedef uint32_t Word;
};

template <>
struct Simd<double> {
  static constexpr int lanes = NEURN_VECTOR_BYTES / 8;
  typedef double Vec __attribute__((vector_size(NEURN_VECTOR_BYTES)));
  typedef double Unaligned __attribute__((vector_size(NEURN_VECTOR_BYTES), aligned(8), may_alias));
  typedef int64_t Mask __attribute__((vector_size(NEURN_VECTOR_BYTES)));
  typedef uint64_t Bits __attribute__((vector_size(NEURN_VECTOR_BYTES)));
  typedef uint64_t Word;
};

template <class F>
using Vec = typename Simd<F>::Vec;
template <class F>
using Bits = typename Simd<F>::Bits;
template <class F>
using Mask = typename Simd<F>::Mask;

template <class F>
inline Vec<F> load(const F* p) {
  return *reinterpret_cast<const typename Simd<F>::Unaligned*>(p);
}

template <class F>
inline void store(F* p, Vec<F> v) {
  *reinterpret_cast<typename Simd<F>::Unaligned*>(p) = v;
}

template <class F>
inline Vec<F> broadcast(F value) {
  return Vec<F>{} + value;
}

template <class F>
inline Vec<F> square_root(Vec<F> v) {
  Vec<F> out = v;
  for (int i = 0; i < Simd<F>::lanes; ++i) {
    out[i] = sizeof(F) == 4 ? __builtin_sqrtf(v[i]) : __builtin_sqrt(v[i]);
  }
  return out;
}

template <class B>
inline B maximum(B a, B b) {
  return a > b ? a : b;
}

template <class B>
inline B minimum(B a, B b) {
  return a < b ? a : b;
}

template <class M>
inline bool any(M mask) {
  constexpr int words = sizeof(M) / 8;
  uint64_t word[words], all = 0;
  memcpy(word, &mask, sizeof mask);
  for (int i = 0; i < words; ++i) all |= word[i];
  return all != 0;
}

// Whether arithmetic since clear_lost_digits() overflowed or underflowed: the processor keeps note.
#if defined(__SSE2__)
inline void clear_lost_digits() { _mm_setcsr(_mm_getcsr() & ~0x18u); }
inline bool lost_digits() { return (_mm_getcsr() & 0x18u) != 0; }
#else
inline void clear_lost_digits() { std::feclearexcept(FE_OVERFLOW | FE_UNDERFLOW); }
inline bool lost_digits() { return std::fetestexcept(FE_OVERFLOW | FE_UNDERFLOW) != 0; }
#endif

// Transposes a square block held in `lanes` vectors: a network of log2(lanes) perfect shuffles.
template <class F>
[[gnu::always_inline]] inline void transpose(Vec<F>* block) {
  constexpr int n = Simd<F>::lanes;
  Mask<F> low, high;
  for (int i = 0; i < n; ++i) {
    low[i] = i / 2 + (i % 2) * n;
    high[i] = low[i] + n / 2;
  }
  for (int round = 1; round < n; round *= 2) {
    Vec<F> next[n];
#pragma GCC unroll 16
    for (int i = 0; i < n / 2; ++i) {
      next[2 * i] = __builtin_shuffle(block[i], block[i + n / 2], low);
      next[2 * i + 1] = __builtin_shuffle(block[i], block[i + n / 2], high);
    }
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) block[i] = next[i];
  }
}

}  // namespace neurn::NEURN_ISA
