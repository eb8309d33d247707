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
// For whoever has Bits, a vector of bits; logic(f, a, b, c), which is f bit by bit;
// broadcast(word); and what functions and lambdas are to be: NEURN_INLINE, NEURN_LAMBDA.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>
#include <utility>

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

// The cell of one scoring, known when compiled: equal >= unequal, and every operation that these
// two numbers make superfluous is left out.
template <int equal, int unequal>
struct FixedCell {
  static_assert(equal >= unequal && unequal > 0);
  static constexpr int planes = planes_for(equal);
  static_assert(planes <= 3, "a comparison is one operation on at most three planes");

  NEURN_INLINE FixedCell(int64_t, int64_t) {}

  // differ: lanes whose tokens differ. diagonal, up: lanes where that step is optimal.
  template <bool trace>
  NEURN_INLINE void step(Bits* v, Bits* h, Bits differ, Bits* diagonal, Bits* up) const {
    Bits over_v[planes], over_h[planes], new_v[planes], new_h[planes];
    raise(v, differ, over_v);
    raise(h, differ, over_h);
    if constexpr (trace) {
      const Bits above = above_unequal(v) | above_unequal(h);
      *diagonal = ~(differ & above);
    }
    subtract(over_v, h, new_v);
    subtract(over_h, v, new_h);
    if constexpr (trace) {
      Bits some = new_v[0];
      for (int k = 1; k < planes; ++k) some |= new_v[k];
      *up = ~some;
    }
    for (int k = 0; k < planes; ++k) v[k] = new_v[k], h[k] = new_h[k];
  }

 private:
  static constexpr bool bit(int number, int k) { return number >> k & 1; }

  // The highest plane that tells plane k of every number in unequal .. equal, perhaps inverted.
  struct Source {
    int plane;
    bool inverted;
  };
  static constexpr Source source(int k) {
    for (int other = planes - 1; other > k; --other) {
      for (const bool inverted : {false, true}) {
        bool holds = true;
        for (int number = unequal; number <= equal; ++number) {
          holds &= (bit(number, k) == bit(number, other)) != inverted;
        }
        if (holds) return {other, inverted};
      }
    }
    return {k, false};
  }

  template <class T>
  NEURN_INLINE static constexpr T at_least(T a0, T a1, T a2) {
    T carry = ~T{};  // of the planes so far: at least as large
    carry = bit(unequal, 0) ? a0 : carry;
    if (planes > 1) carry = bit(unequal, 1) ? (a1 & carry) : (a1 | carry);
    if (planes > 2) carry = bit(unequal, 2) ? (a2 & carry) : (a2 | carry);
    return carry;
  }
  template <class T>
  NEURN_INLINE static constexpr T greater(T a0, T a1, T a2) {
    T carry = T{};
    carry = bit(unequal, 0) ? carry : a0;
    if (planes > 1) carry = bit(unequal, 1) ? (a1 & carry) : (a1 | carry);
    if (planes > 2) carry = bit(unequal, 2) ? (a2 & carry) : (a2 | carry);
    return carry;
  }

  NEURN_INLINE static Bits above_unequal(const Bits* a) {
    return logic([](auto x, auto y, auto z) NEURN_LAMBDA { return greater(x, y, z); }, a[0],
                 a[planes > 1 ? 1 : 0], a[planes > 2 ? 2 : 0]);
  }

  // max(a, s), in the planes that tell it.
  NEURN_INLINE static void raise(const Bits* a, Bits differ, Bits* out) {
    const Bits enough = logic([](auto x, auto y, auto z) NEURN_LAMBDA { return at_least(x, y, z); },
                              a[0], a[planes > 1 ? 1 : 0], a[planes > 2 ? 2 : 0]);
    unroll<planes>([&](auto index) NEURN_LAMBDA {
      constexpr int k = decltype(index)::value;
      if constexpr (source(k).plane == k) {
        out[k] = logic(
            [](auto x, auto wins, auto ne) NEURN_LAMBDA {
              const auto larger = bit(unequal, k) ? (x | ~wins) : (x & wins);
              return bit(equal, k) ? (larger | ~ne) : (larger & ne);
            },
            a[k], enough, differ);
      }
    });
  }

  // a - b where a >= b, else 0; a as raise() left it.
  NEURN_INLINE static void subtract(const Bits* a, const Bits* b, Bits* out) {
    Bits borrow[planes];
    unroll<planes>([&](auto index) NEURN_LAMBDA {
      constexpr int k = decltype(index)::value;
      const Bits x = a[source(k).plane];
      if constexpr (k == 0) {
        borrow[0] = logic([](auto p, auto q, auto)
                              NEURN_LAMBDA { return (source(k).inverted ? p : ~p) & q; },
                          x, b[0], b[0]);
      } else {
        borrow[k] = logic([](auto p, auto q, auto c)
                              NEURN_LAMBDA { return majority(source(k).inverted ? p : ~p, q, c); },
                          x, b[k], borrow[k - 1]);
      }
    });
    constexpr int top = planes - 1;
    unroll<planes>([&](auto index) NEURN_LAMBDA {
      constexpr int k = decltype(index)::value;
      const Bits x = a[source(k).plane];
      if constexpr (k == top && k == 0) {
        out[k] = x & ~b[k];
      } else if constexpr (k == top) {
        out[k] = logic([](auto p, auto q, auto c) NEURN_LAMBDA { return p & ~q & ~c; }, x, b[k],
                       borrow[k - 1]);
      } else if constexpr (k == 0) {
        out[k] = logic(
            [](auto p, auto q, auto c) NEURN_LAMBDA {
              return (p ^ q ^ (source(k).inverted ? ~decltype(p){} : decltype(p){})) & ~c;
            },
            x, b[k], borrow[top]);
      } else {
        const Bits sum = logic(
            [](auto p, auto q, auto c) NEURN_LAMBDA {
              return p ^ q ^ c ^ (source(k).inverted ? ~decltype(p){} : decltype(p){});
            },
            x, b[k], borrow[k - 1]);
        out[k] = sum & ~borrow[top];
      }
    });
  }
};

// The cell of any scoring whose differences fit in B planes.
template <int B>
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
    Bits s[B], best[B], new_v[B], new_h[B];
    unroll<B>([&](auto k) NEURN_LAMBDA {
      s[k] = logic([](auto ne, auto n, auto e) NEURN_LAMBDA { return (ne & n) | (~ne & e); },
                   differ, unequal[k], equal[k]);
    });
    larger(s, v, best);
    larger(best, h, best);
    subtract(best, h, new_v);
    subtract(best, v, new_h);
    if constexpr (trace) {
      Bits apart = best[0] ^ s[0], some = new_v[0];
      for (int k = 1; k < B; ++k) {
        apart = logic([](auto p, auto q, auto r) NEURN_LAMBDA { return p | (q ^ r); }, apart,
                      best[k], s[k]);
        some |= new_v[k];
      }
      *diagonal =
          ~apart & logic([](auto ne, auto n, auto e) NEURN_LAMBDA { return (ne & n) | (~ne & e); },
                         differ, unequal_optimal, equal_optimal);
      *up = ~some;
    }
    for (int k = 0; k < B; ++k) v[k] = new_v[k], h[k] = new_h[k];
  }

 private:
  NEURN_INLINE static Bits fill(bool one) { return broadcast(one ? ~uint64_t{0} : 0); }
  NEURN_INLINE static void larger(const Bits* a, const Bits* b, Bits* out) {
    Bits less = ~a[0] & b[0];
    for (int k = 1; k < B; ++k) {
      less = logic([](auto p, auto q, auto c) NEURN_LAMBDA { return majority(~p, q, c); }, a[k],
                   b[k], less);
    }
    for (int k = 0; k < B; ++k) {
      out[k] = logic([](auto p, auto q, auto c) NEURN_LAMBDA { return (p & ~c) | (q & c); }, a[k],
                     b[k], less);
    }
  }

  NEURN_INLINE static void subtract(const Bits* a, const Bits* b, Bits* out) {
    Bits borrow = ~a[0] & b[0];
    out[0] = a[0] ^ b[0];
    for (int k = 1; k < B; ++k) {
      out[k] =
          logic([](auto p, auto q, auto c) NEURN_LAMBDA { return p ^ q ^ c; }, a[k], b[k], borrow);
      borrow = logic([](auto p, auto q, auto c) NEURN_LAMBDA { return majority(~p, q, c); }, a[k],
                     b[k], borrow);
    }
  }
};

}  // namespace neurn::align::NEURN_ISA
