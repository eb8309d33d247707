// Turns sequences into bit planes, 64 sequences to a word.
#pragma once

#include "../bit_kernels.h"
#include "bits.h"

namespace neurn::align::NEURN_ISA {

typedef uint8_t Bytes __attribute__((vector_size(16), may_alias));
typedef uint16_t Shorts __attribute__((vector_size(32), aligned(2), may_alias));

// 16 bytes of each of several groups of sequences.
typedef uint8_t Groups __attribute__((vector_size(NEURN_VECTOR_BYTES), may_alias));
inline constexpr int groups_at_once = NEURN_VECTOR_BYTES / 16;

// In registers: a wide load of what narrow stores have just written would wait for them.
[[gnu::always_inline]] inline Groups joined(const Bytes* own) {
#if defined(__AVX512F__)
  __m512i out = _mm512_castsi128_si512(reinterpret_cast<__m128i>(own[0]));
  out = _mm512_inserti32x4(out, reinterpret_cast<__m128i>(own[1]), 1);
  out = _mm512_inserti32x4(out, reinterpret_cast<__m128i>(own[2]), 2);
  return reinterpret_cast<Groups>(_mm512_inserti32x4(out, reinterpret_cast<__m128i>(own[3]), 3));
#elif defined(__AVX2__)
  const __m256i out = _mm256_castsi128_si256(reinterpret_cast<__m128i>(own[0]));
  return reinterpret_cast<Groups>(
      _mm256_inserti128_si256(out, reinterpret_cast<__m128i>(own[1]), 1));
#else
  return own[0];
#endif
}

// 16 x 16 bytes of each group, by four rounds of perfect shuffles.
[[gnu::always_inline]] inline void transpose(Groups* block) {
  Groups low, high;
  for (int i = 0; i < NEURN_VECTOR_BYTES; ++i) {
    low[i] = static_cast<uint8_t>(i / 16 * 16 + i % 16 / 2 + i % 2 * NEURN_VECTOR_BYTES);
    high[i] = static_cast<uint8_t>(low[i] + 8);
  }
  for (int round = 0; round < 4; ++round) {
    Groups next[16];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      next[2 * i] = __builtin_shuffle(block[i], block[i + 8], low);
      next[2 * i + 1] = __builtin_shuffle(block[i], block[i + 8], high);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) block[i] = next[i];
  }
}

// Bit k of each of 64 bytes.
[[gnu::always_inline]] inline uint64_t gather_bit(const uint8_t* bytes, int k) {
#if defined(__AVX512BW__)
  return _mm512_test_epi8_mask(_mm512_loadu_si512(bytes),
                               _mm512_set1_epi8(static_cast<char>(1 << k)));
#else
  uint64_t out = 0;
  for (int w = 0; w < 8; ++w) {
    uint64_t x;
    memcpy(&x, bytes + 8 * w, 8);
    // The product moves bit 8 i to bit 56 + i.
    out |= ((x >> k & 0x0101010101010101) * 0x0102040810204080 >> 56) << (8 * w);
  }
  return out;
#endif
}

// Bytes `high` of the tokens of sequence l at 16 positions from p on, 0 outside.
[[gnu::always_inline]] inline Bytes sixteen(const PackCall& call, int l, int64_t p, int high) {
  if (l >= call.count) return Bytes{};
  const int64_t from = p - call.first[l], size = call.size[l];
  const Token* at = call.sequence[l] + from;
  if (from >= 0 && from + 16 <= size) {
#if defined(__SSE2__)
    const __m128i* both = reinterpret_cast<const __m128i*>(at);
    __m128i low = _mm_loadu_si128(both), last = _mm_loadu_si128(both + 1);
    if (high > 0) {
      low = _mm_srli_epi16(low, 8), last = _mm_srli_epi16(last, 8);
    } else if (call.token_planes > 8) {
      const __m128i byte = _mm_set1_epi16(255);
      low = _mm_and_si128(low, byte), last = _mm_and_si128(last, byte);
    }
    return reinterpret_cast<Bytes>(_mm_packus_epi16(low, last));
#else
    const Shorts x = *reinterpret_cast<const Shorts*>(at) >> (8 * high);
    return __builtin_convertvector(x, Bytes);
#endif
  }
  Bytes out{};
  for (int i = 0; i < 16; ++i) {
    if (from + i >= 0 && from + i < size) out[i] = static_cast<uint8_t>(at[i] >> (8 * high));
  }
  return out;
}

[[gnu::noinline]] inline void pack(const PackCall& call) {
  alignas(64) uint8_t bytes[16][64];
  for (int64_t p = 0; p < call.positions; p += 16) {
    for (int high = 0; 8 * high < call.token_planes; ++high) {
      for (int first = 0; first < 64; first += 16 * groups_at_once) {
        Groups block[16];
        for (int l = 0; l < 16; ++l) {
          Bytes own[groups_at_once];
          for (int g = 0; g < groups_at_once; ++g) {
            own[g] = sixteen(call, first + 16 * g + l, p, high);
          }
          block[l] = joined(own);
        }
        transpose(block);
        for (int i = 0; i < 16; ++i) memcpy(bytes[i] + first, &block[i], sizeof block[i]);
      }
      const int planes = call.token_planes - 8 * high < 8 ? call.token_planes - 8 * high : 8;
      for (int64_t i = 0; i < 16 && p + i < call.positions; ++i) {
        uint64_t* word = call.word + (p + i) * call.position_stride + 8 * high * call.plane_stride;
        for (int k = 0; k < planes; ++k) word[k * call.plane_stride] = gather_bit(bytes[i], k);
      }
    }
  }
}

}  // namespace neurn::align::NEURN_ISA
