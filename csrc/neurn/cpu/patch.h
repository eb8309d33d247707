// Moments of K x K patches from those of their rows, for small K: R patches, one below the other,
// in every lane. What they share stays in registers.
//
// Every sum is of differences to a pixel inside the window: within a row to the window's middle,
// across rows to a row that all windows of a group share.
#pragma once

#include "output.h"

namespace neurn::NEURN_ISA {

template <class F, int K, int R>
struct Patch {
  static constexpr int64_t N = Simd<F>::lanes;
  static constexpr int64_t state_size = 3 * (K - 1) * N;
  static_assert(K > 1 && K - 1 <= 2 * R);

  // Of K pixels in a row: the middle one, the sum of the differences to it, K times the squared
  // deviation (K = 3: one and a half times).
  struct Across {
    Vec<F> middle, sum, within;
  };

  // pixel(t) is t pixels right of the middle.
  template <class Pixel>
  [[gnu::always_inline]] static Across across(Pixel&& pixel) {
    const Vec<F> middle = pixel(0);
    if constexpr (K == 3) {
      const Vec<F> before = middle - pixel(-1), after = pixel(1) - middle;
      return {middle, after - before, before * before + after * (before + after)};
    }
    // Two chains, which the processor runs side by side.
    const Vec<F> first = pixel(-(K / 2)) - middle, last = pixel(K / 2) - middle;
    Vec<F> before = first, after = last;
    Vec<F> square_before = first * first, square_after = last * last;
#pragma GCC unroll 4
    for (int t = 1; t < K / 2; ++t) {
      const Vec<F> left = pixel(t - K / 2) - middle;
      const Vec<F> right = pixel(K / 2 - t) - middle;
      before += left;
      after += right;
      square_before += left * left;
      square_after += right * right;
    }
    const Vec<F> sum = before + after;
    return {middle, sum, (square_before + square_after) * F(K) - sum * sum};
  }

  static Across kept(const F* state, int j) {
    const F* at = state + j * 3 * N;
    return {load(at), load(at + N), load(at + 2 * N)};
  }

  static void keep(F* state, int j, const Across& row) {
    F* at = state + j * 3 * N;
    store(at, row.middle);
    store(at + N, row.sum);
    store(at + 2 * N, row.within);
  }

  // M and the mean of x - origin (only WithMean) of R patches. `state` holds the K - 1 rows before
  // the R that next(r) returns, and then the last K - 1 of all.
  template <bool WithMean, class Next>
  [[gnu::always_inline]] static void down(Next&& next, F* state, const F* origin, Vec<F>* squares,
                                          Vec<F>* means) {
    if constexpr (K == 3) {
      down3<WithMean>(next, state, origin, squares, means);
    } else {
      down_shared<WithMean>(next, state, origin, squares, means);
    }
  }

 private:
  // The sum of K pixels in a row, less that of another row.
  static Vec<F> rise(const Across& from, const Across& to) {
    return (to.sum - from.sum) + (to.middle - from.middle) * F(K);
  }

  // The mean of a patch of x - origin, from its rows' sums less that of the row `reference`.
  static Vec<F> patch_mean(const Across& reference, Vec<F> sum, const F* origin) {
    const Vec<F> row = reference.sum + sum * (F(1) / F(K));
    return (reference.middle - load(origin)) + row * (F(1) / F(K));
  }

  template <bool WithMean, class Next>
  [[gnu::always_inline]] static void down3(Next&& next, F* state, const F* origin, Vec<F>* squares,
                                           Vec<F>* means) {
    Across first = kept(state, 0), second = kept(state, 1);
    Vec<F> above = rise(first, second);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Across third = next(r);
      const Vec<F> below = rise(second, third);
      const Vec<F> between = above * above + below * (above + below);
      const Vec<F> within = first.within + second.within + third.within;
      squares[r] = (within + between * (F(1) / F(3))) * (F(2) / F(3));
      if constexpr (WithMean) means[r] = patch_mean(second, below - above, origin);
      above = below;
      first = second;
      second = third;
    }
    keep(state, 0, first);
    keep(state, 1, second);
  }

  // Row R - 1 is in all R windows: the reference, from which rows rise or fall. Suffix sums, of the
  // rows from some shared row up, meet prefix sums of the rows below it.
  template <bool WithMean, class Next>
  [[gnu::always_inline]] static void down_shared(Next&& next, F* state, const F* origin,
                                                 Vec<F>* squares, Vec<F>* means) {
    static_assert(K > R);
    Across rows[K - 1 + R];
#pragma GCC unroll 8
    for (int j = 0; j < K - 1; ++j) rows[j] = kept(state, j);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) rows[K - 1 + r] = next(r);
#pragma GCC unroll 8
    for (int j = 0; j < K - 1; ++j) keep(state, j, rows[j + R]);
    constexpr int turn = K - (K - R) / 2;  // where the rows below start
    const F inverse = F(1) / F(K);
    const Across& reference = rows[R - 1];
    Vec<F> sum_above[R], spread_above[R];
    Vec<F> sum, spread;  // of the rises, and K times the squared deviation but for their sum
    auto begin = [&](int j) NEURN_INLINE {
      sum = rise(reference, rows[j]);
      spread = rows[j].within + sum * sum;
    };
    auto add = [&](int j) NEURN_INLINE {
      const Vec<F> d = rise(reference, rows[j]);
      sum += d;
      spread += rows[j].within;
      spread += d * d;
    };
    auto finish = [&](int r, Vec<F> s, Vec<F> all) NEURN_INLINE {
      squares[r] = (all - s * s * inverse) * inverse;
      if constexpr (WithMean) means[r] = patch_mean(reference, s, origin);
    };
    begin(R);
    spread += reference.within;
#pragma GCC unroll 8
    for (int j = R + 1; j < turn; ++j) add(j);
#pragma GCC unroll 4
    for (int r = R - 1; r >= 0; --r) {
      if (r < R - 1) add(r);
      sum_above[r] = sum;
      spread_above[r] = spread;
    }
    if (turn == K) finish(0, sum, spread);
#pragma GCC unroll 8
    for (int j = turn; j < K + R - 1; ++j) {
      if (j == turn) {
        begin(j);
      } else {
        add(j);
      }
      const int r = j - K + 1;
      if (r >= 0) finish(r, sum + sum_above[r], spread + spread_above[r]);
    }
  }
};

}  // namespace neurn::NEURN_ISA
