// Scores of one row's token with many columns' tokens.
#pragma once

#include "../number_kernels.h"
#include "numbers.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace neurn::align::NEURN_ISA {

#if defined(__AVX2__)
inline constexpr int64_t quick_symbols = 128;
#else
inline constexpr int64_t quick_symbols = 0;
#endif

template <class T, class Symbol>
[[gnu::noinline]] void look_up_each(const T* row, const Symbol* tokens, int64_t count, T* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = row[tokens[i]];
}

#if defined(__AVX2__)
// A shuffle looks 16 symbols up: where the tokens' high bits say that these are theirs.
[[gnu::noinline]] inline void shuffle_bytes(const LookUpCall& call) {
  using Bytes = Numbers<uint8_t>;
  using Vector = Bytes::Vector;
  constexpr int parts = quick_symbols / 16;
  const int used = static_cast<int>((call.symbols + 15) / 16);
  uint8_t part[parts * NEURN_VECTOR_BYTES] = {};
  for (int64_t s = 0; s < call.symbols; ++s) {
    for (int k = 0; k < NEURN_VECTOR_BYTES; k += 16) {
      part[s / 16 * NEURN_VECTOR_BYTES + k + s % 16] = static_cast<const uint8_t*>(call.row)[s];
    }
  }
  const uint8_t* tokens = static_cast<const uint8_t*>(call.tokens);
  uint8_t* out = static_cast<uint8_t*>(call.out);
  for (int64_t i = 0; i < call.count; i += NEURN_VECTOR_BYTES) {
    const Vector token = Bytes::load(tokens + i), high = token >> 4;
    Vector found{};
    for (int p = 0; p < used; ++p) {
      const Vector from = Bytes::load(part + p * NEURN_VECTOR_BYTES);
#if NEURN_VECTOR_BYTES == 64
      const Vector shuffled = reinterpret_cast<Vector>(
          _mm512_shuffle_epi8(reinterpret_cast<__m512i>(from), reinterpret_cast<__m512i>(token)));
#else
      const Vector shuffled = reinterpret_cast<Vector>(
          _mm256_shuffle_epi8(reinterpret_cast<__m256i>(from), reinterpret_cast<__m256i>(token)));
#endif
      found = high == Bytes::fill(static_cast<uint8_t>(p)) ? shuffled : found;
    }
    Bytes::store(out + i, found);
  }
}
#endif

template <class T>
[[gnu::always_inline]] inline void look_up_as(const LookUpCall& call) {
  const T* row = static_cast<const T*>(call.row);
  T* out = static_cast<T*>(call.out);
  if (call.symbols <= 256) {
    look_up_each(row, static_cast<const uint8_t*>(call.tokens), call.count, out);
  } else {
    look_up_each(row, static_cast<const Token*>(call.tokens), call.count, out);
  }
}

[[gnu::noinline]] static void look_up(const LookUpCall& call) {
#if defined(__AVX2__)
  if (call.bytes == 1 && call.symbols <= quick_symbols) return shuffle_bytes(call);
#endif
  switch (call.bytes) {
    case 1:
      return look_up_as<uint8_t>(call);
    case 2:
      return look_up_as<uint16_t>(call);
    default:
      return look_up_as<uint32_t>(call);
  }
}

}  // namespace neurn::align::NEURN_ISA
