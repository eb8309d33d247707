// Numbers in lanes: one pair a lane, row by row.
//
// Scores are shifted, H'[i][j] = H[i][j] - G (i + j) with G the score of a gap's next token: longer
// gaps then cost nothing. With s the shifted score of two tokens, D the largest or 0, O <= 0 the
// score of opening a gap, v = H'[i][j] - H'[i-1][j] and h = H'[i][j] - H'[i][j-1]:
// linear gaps (O = 0):
//   A = max(s, v, h),  v <- A - h,  h <- A - v;  all in 0 .. D.
// affine gaps: with x the best score that ends in a left gap into the next column less H' here, and
// y that of an up gap into the next row,
//   A = max(s, x + v, y + h),  v <- A - h,  h <- A - v,
//   x <- max(x + v - A, O),  y <- max(y + h - A, O);
// x and y lie in O .. 0, v and h in O .. D - O, A in 2 O .. D - O, and x + v - A is at least
// 3 O - D: nothing can overflow at any length. s below 2 O may stand as that.
// H = G (n + m) + O + the sum of h along the last row.
#pragma once

#include <cstring>
#include <type_traits>

#include "../number_kernels.h"
#include "bits.h"

namespace neurn::align::NEURN_ISA {

template <class T>
struct Numbers {
  typedef T Vector __attribute__((vector_size(NEURN_VECTOR_BYTES)));
  typedef T Unaligned
      __attribute__((vector_size(NEURN_VECTOR_BYTES), aligned(alignof(T)), may_alias));
  static constexpr int lanes = NEURN_VECTOR_BYTES / sizeof(T);

  NEURN_INLINE static Vector load(const T* p) { return *reinterpret_cast<const Unaligned*>(p); }
  NEURN_INLINE static void store(T* p, Vector x) { *reinterpret_cast<Unaligned*>(p) = x; }
  NEURN_INLINE static Vector fill(T x) { return Vector{} + x; }
  NEURN_INLINE static Vector larger(Vector a, Vector b) { return a > b ? a : b; }
};

// AVX2's blend takes longer than two logic operations.
template <class Vector, class Mask>
[[gnu::always_inline]] inline Vector choose(Mask mask, Vector yes, Vector no) {
#if defined(__AVX512F__)
  return mask ? yes : no;
#else
  return no ^ ((yes ^ no) & reinterpret_cast<Vector>(mask));
#endif
}

// h is what it is: A - h stays one operation, not A + (v - A above).
template <class Vector>
[[gnu::always_inline]] inline void settle([[maybe_unused]] Vector& h) {
#if defined(__AVX512F__)
  asm("" : "+v"(h));
#elif defined(__x86_64__)
  asm("" : "+x"(h));
#endif
}

// Rows of one pass over the columns: what they hand to the right stays in registers.
template <bool affine>
inline constexpr int number_rows = words == 8 || !affine ? 4 : 2;

// Rows row .. row + R - 1 over all columns. begins: queries may begin in this row or below it.
template <class T, bool affine, bool compare, int R, bool begins>
[[gnu::noinline]] void number_pass(const NumberCall& call, int64_t row) {
  static_assert(R == 1 || !begins);
  using N = Numbers<T>;
  using Vector = typename N::Vector;
  constexpr int lanes = N::lanes, state_vectors = affine ? 2 : 1;
  const Vector open = N::fill(static_cast<T>(call.scoring.open));
  const Vector equal = N::fill(static_cast<T>(call.scoring.equal));
  const Vector unequal = N::fill(static_cast<T>(call.scoring.unequal));
  Vector now = ~Vector{}, before{};
  if (begins) {
    const T* begun = static_cast<const T*>(call.begun);
    if (row < call.ragged) now = N::load(begun + row * lanes);
    if (row > 0) before = N::load(begun + (row - 1) * lanes);
  }
  Vector v[R], x[R], token[R];
  const T* scores[R];
  unroll<R>([&](auto r) NEURN_LAMBDA {
    v[r] = begins && affine ? open & now & ~before : Vector{};
    x[r] = open;
    if constexpr (compare) {
      token[r] = N::load(static_cast<const T*>(call.rows) + (row + r) * lanes);
    } else {
      scores[r] = static_cast<const T*>(call.scores[row + r]);
    }
  });
  const T* column = static_cast<const T*>(call.columns);
  T* state = static_cast<T*>(call.state);
  Vector border = open;
  for (int64_t j = 0; j < call.column_count; ++j) {
    Vector h = N::load(state), y = affine ? N::load(state + lanes) : Vector{};
    Vector shown{};
    if constexpr (compare) shown = N::load(column + j * lanes);
    unroll<R>([&](auto r) NEURN_LAMBDA {
      Vector s;
      if constexpr (compare) {
        s = choose<Vector>(shown == token[r], equal, unequal);
      } else {
        s = N::load(scores[r] + j * lanes);
      }
      if constexpr (affine) {
        const Vector left = x[r] + v[r], up = y + h;
        const Vector best = N::larger(N::larger(s, up), left);
        const Vector down = best - h;
        h = best - v[r];
        settle(h);
        v[r] = down;
        x[r] = N::larger(left - best, open);
        y = N::larger(up - best, open);
      } else {
        const Vector best = N::larger(N::larger(s, h), v[r]);
        const Vector down = best - h;
        h = best - v[r];
        settle(h);
        v[r] = down;
      }
    });
    if constexpr (begins) {
      h = affine ? (h & now) | (border & ~now) : h & now;
      y = (y & now) | (open & ~now);
      border = Vector{};
    }
    N::store(state, h);
    if (affine) N::store(state + lanes, y);
    state += state_vectors * lanes;
  }
}

// Adds up the differences of every lane, and reads a lane's sum at its last column.
template <class T, bool affine>
[[gnu::noinline]] void sum_numbers(const NumberCall& call) {
  constexpr int lanes = Numbers<T>::lanes;
  using Sum = std::conditional_t<sizeof(T) == 4, int64_t, int32_t>;
  // Unsigned, two bytes: up to 2^31, and added modulo 2^32.
  using Count = std::make_unsigned_t<Sum>;
  Count sum[lanes] = {};
  const T* state = static_cast<const T*>(call.state);
  int64_t done = 0;
  for (int64_t j = 0; done < call.count; ++j, state += (affine ? 2 : 1) * lanes) {
    for (int l = 0; l < lanes; ++l) sum[l] += static_cast<Count>(state[l]);
    for (; done < call.count && call.size[done] == j + 1; ++done) {
      const Count here = sum[call.lane[done]];
      call.sum[done] = affine ? int64_t{static_cast<Sum>(here)} : static_cast<int64_t>(here);
    }
  }
}

template <class T, bool affine, bool compare>
[[gnu::noinline]] void run_numbers(const NumberCall& call) {
  constexpr int R = number_rows<affine>;
  int64_t row = 0;
  if (call.first) {
    constexpr int lanes = Numbers<T>::lanes;
    T* state = static_cast<T*>(call.state);
    if (!affine) memset(state, 0, static_cast<size_t>(call.column_count) * NEURN_VECTOR_BYTES);
    if (affine) {
      using Vector = typename Numbers<T>::Vector;
      const Vector open = Numbers<T>::fill(static_cast<T>(call.scoring.open));
      for (int64_t j = 0; j < call.column_count; ++j, state += 2 * lanes) {
        Numbers<T>::store(state, j == 0 ? open : Vector{});
        Numbers<T>::store(state + lanes, open);
      }
    }
    const int64_t begins = affine ? call.ragged + 1 : call.ragged;
    for (; row < begins && row < call.row_count; ++row) {
      number_pass<T, affine, compare, 1, true>(call, row);
    }
  }
  for (; (call.row_count - row) % R != 0; ++row) {
    number_pass<T, affine, compare, 1, false>(call, row);
  }
  for (; row < call.row_count; row += R) {
    number_pass<T, affine, compare, R, false>(call, row);
  }
  if (call.count > 0) sum_numbers<T, affine>(call);
}

}  // namespace neurn::align::NEURN_ISA
