// Bit planes: vector bit l of planes 0 .. B - 1 is a number of lane l, and one logic operation
// works on hundreds of cells.
//
// Scores are shifted, H'[i][j] = H[i][j] - G (i + j) with G the gap score: gaps then cost nothing,
// the borders are 0, and the differences v = H'[i][j] - H'[i-1][j] and h = H'[i][j] - H'[i][j-1] of
// any cell lie in 0 .. max(equal, unequal), where equal = match - 2 G and unequal = mismatch - 2 G:
// nothing can overflow at any length. A cell is
//   A = max(s, v, h),  v <- A - h,  h <- A - v,
// and H = G (n + m) + the sum of h along the last row.
//
// For whoever has Bits, a vector of bits; logic(f, a, b, c), which is f bit by bit, fastest where a
// is there last (bit_networks.h); ternary_logic: whether that is one operation; broadcast(word);
// and what functions and lambdas are to be: NEURN_INLINE, NEURN_LAMBDA.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "bit_networks.h"

namespace neurn::align::NEURN_ISA {

template <int n, class F>
NEURN_INLINE void unroll(F&& f) {
  [&]<int... k>(std::integer_sequence<int, k...>) NEURN_LAMBDA {
    (f(std::integral_constant<int, k>()), ...);
  }(std::make_integer_sequence<int, n>());
}

// Carry of a + b + c; the borrow of a - b - c is that of ~a.
template <class T>
NEURN_INLINE constexpr T majority(T a, T b, T c) {
  return (a & b) | (c & (a | b));
}

constexpr int planes_for(int64_t largest) {
  return largest < 1 ? 1 : std::bit_width(static_cast<uint64_t>(largest));
}

// The cell of the published scores.
template <bool ternary = ternary_logic>
struct PublishedCell {
  static constexpr int64_t equal = 5, unequal = 2;
  static constexpr int planes = 3;

  NEURN_INLINE PublishedCell(int64_t, int64_t) {}

  // differ: lanes whose tokens differ. diagonal, up: lanes where that step is optimal.
  template <bool trace>
  NEURN_INLINE void step(Bits* v, Bits* h, Bits differ, Bits* diagonal, Bits* up) const {
    if constexpr (trace) {
      *diagonal = logic([](auto p, auto q, auto d) NEURN_LAMBDA { return ~(d & (p | q)); },
                        above_unequal(h), above_unequal(v), differ);
    }
    if constexpr (ternary) {
      published_ternary(v, h, differ);
    } else {
      published_binary(v, h, differ);
    }
    if constexpr (trace) {
      *up =
          logic([](auto x, auto y, auto z) NEURN_LAMBDA { return ~(x | y | z); }, v[2], v[1], v[0]);
    }
  }

 private:
  NEURN_INLINE static Bits above_unequal(const Bits* a) {
    return logic([](auto x, auto y, auto z) NEURN_LAMBDA { return x | (y & z); }, a[2], a[1], a[0]);
  }
};

// The cell of any scoring whose differences fit in B planes.
template <int B, bool ternary = ternary_logic>
struct AnyCell {
  static constexpr int planes = B;
  Bits equal[B], unequal[B];
  // Below 0, two gaps are better: s counts as 0, which they give, but is never optimal.
  Bits equal_optimal, unequal_optimal;

  NEURN_INLINE AnyCell(int64_t when_equal, int64_t when_unequal) {
    equal_optimal = fill(when_equal >= 0);
    unequal_optimal = fill(when_unequal >= 0);
    for (int k = 0; k < B; ++k) {
      equal[k] = fill(when_equal >= 0 && (when_equal >> k & 1) != 0);
      unequal[k] = fill(when_unequal >= 0 && (when_unequal >> k & 1) != 0);
    }
  }

  template <bool trace>
  NEURN_INLINE void step(Bits* v, Bits* h, Bits differ, Bits* diagonal, Bits* up) const {
    Bits s[B];
    unroll<B>([&](auto k) NEURN_LAMBDA { s[k] = select(differ, unequal[k], equal[k]); });
    if constexpr (trace) {
      const Bits optimal = select(differ, unequal_optimal, equal_optimal);
      *diagonal = logic([](auto p, auto q, auto r) NEURN_LAMBDA { return ~p & ~q & r; }, less(s, h),
                        less(s, v), optimal);
    }
    if constexpr (B == 1) {
      const Bits old = v[0];
      v[0] =
          logic([](auto x, auto y, auto z) NEURN_LAMBDA { return ~x & (y | z); }, h[0], s[0], v[0]);
      h[0] =
          logic([](auto x, auto y, auto z) NEURN_LAMBDA { return ~z & (y | x); }, h[0], s[0], old);
    } else if constexpr (B == 2 && ternary) {
      two_planes_ternary(v, h, s);
    } else if constexpr (B == 2) {
      two_planes_binary(v, h, s);
    } else if constexpr (B == 3 && ternary) {
      three_planes_ternary(v, h, s);
    } else {
      advance(v, h, s);
    }
    if constexpr (trace) {
      Bits some = v[0];
      for (int k = 1; k < B; ++k) some |= v[k];
      *up = ~some;
    }
  }

 private:
  NEURN_INLINE static Bits fill(bool one) { return broadcast(one ? ~uint64_t{0} : 0); }
  // where ? a : b
  NEURN_INLINE static Bits select(Bits where, Bits a, Bits b) {
    return logic([](auto w, auto p, auto q) NEURN_LAMBDA { return (w & p) | (~w & q); }, where, a,
                 b);
  }
  NEURN_INLINE static Bits less(const Bits* a, const Bits* b) {
    Bits out = ~a[0] & b[0];
    for (int k = 1; k < B; ++k) {
      out = logic([](auto c, auto p, auto q) NEURN_LAMBDA { return majority(~p, q, c); }, out, a[k],
                  b[k]);
    }
    return out;
  }
  NEURN_INLINE static void larger(const Bits* a, const Bits* b, Bits* out) {
    const Bits smaller = less(a, b);
    for (int k = 0; k < B; ++k) out[k] = select(smaller, b[k], a[k]);
  }

  NEURN_INLINE static void advance(Bits* v, Bits* h, const Bits* s) {
    Bits best[B], new_v[B];
    larger(s, v, best);
    larger(best, h, best);
    subtract(best, h, new_v);
    subtract(best, v, h);
    for (int k = 0; k < B; ++k) v[k] = new_v[k];
  }

  NEURN_INLINE static void subtract(const Bits* a, const Bits* b, Bits* out) {
    Bits borrow = ~a[0] & b[0];
    out[0] = a[0] ^ b[0];
    for (int k = 1; k < B; ++k) {
      out[k] =
          logic([](auto c, auto p, auto q) NEURN_LAMBDA { return p ^ q ^ c; }, borrow, a[k], b[k]);
      borrow = logic([](auto c, auto p, auto q) NEURN_LAMBDA { return majority(~p, q, c); }, borrow,
                     a[k], b[k]);
    }
  }
};

}  // namespace neurn::align::NEURN_ISA
