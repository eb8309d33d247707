// Vectors of bits, as long as an instruction set has them, for the cells of bit_cell.h.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#ifndef NEURN_VECTOR_BYTES
#define NEURN_VECTOR_BYTES 16
#endif
#ifndef NEURN_ISA
#define NEURN_ISA baseline
#endif
#ifndef NEURN_INLINE
#define NEURN_INLINE __attribute__((always_inline)) inline
#define NEURN_LAMBDA __attribute__((always_inline))
#endif

namespace neurn::align::NEURN_ISA {

typedef uint64_t Bits __attribute__((vector_size(NEURN_VECTOR_BYTES)));
typedef uint64_t UnalignedBits
    __attribute__((vector_size(NEURN_VECTOR_BYTES), aligned(8), may_alias));

inline constexpr int words = NEURN_VECTOR_BYTES / 8;
inline constexpr int lanes = 64 * words;

[[gnu::always_inline]] inline Bits load(const uint64_t* p) {
  return *reinterpret_cast<const UnalignedBits*>(p);
}

[[gnu::always_inline]] inline void store(uint64_t* p, Bits x) {
  *reinterpret_cast<UnalignedBits*>(p) = x;
}

[[gnu::always_inline]] inline Bits broadcast(uint64_t word) { return Bits{} + word; }

#if defined(__AVX512F__)
inline constexpr bool ternary_logic = true;
#else
inline constexpr bool ternary_logic = false;
#endif

// f(a, b, c) bit by bit; f is a lambda without captures, of logic operations alone.
template <class F>
[[gnu::always_inline]] inline Bits logic([[maybe_unused]] F f, Bits a, Bits b, Bits c) {
#if defined(__AVX512F__)
  constexpr int table = F{}(0xF0, 0xCC, 0xAA) & 0xFF;
  return reinterpret_cast<Bits>(_mm512_ternarylogic_epi64(reinterpret_cast<__m512i>(a),
                                                          reinterpret_cast<__m512i>(b),
                                                          reinterpret_cast<__m512i>(c), table));
#else
  return f(a, b, c);
#endif
}

}  // namespace neurn::align::NEURN_ISA

#include "../bit_cell.h"
