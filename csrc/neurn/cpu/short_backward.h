// Gradient of planes of short rows, as in ShortMoments.
#pragma once

#include "adjoint.h"
#include "ahead.h"
#include "short_row.h"

#if defined(__AVX512F__)

namespace neurn::NEURN_ISA {

// Sums of K neighbours in rows of windows: what each pixel of the row gathers from them, also
// through the padding, which lets it see some windows more than once. (Not circular: there the
// windows of the other end reach it.)
template <int K, int V>
class ShortGather {
 public:
  static constexpr int N = ShortRow<K, V>::N;

  ShortGather(Padding padding, int64_t width) {
    for (Vec<float>& times : times_) times = broadcast(1.0f);
    for (int64_t window = 0; window < K / 2; ++window) {
      fold_padding<Count>(
          width, K, padding, [=](int64_t p) { return Count{p == window ? 1.0f : 0.0f}; },
          [&](int64_t pixel, Count count) {
            add(pixel, window, count.times);
            add(width - 1 - pixel, width - 1 - window, count.times);
          });
    }
    set_scale(1);
  }

  // What sums are multiplied by.
  void set_scale(float scale) {
    for (int i = 0; i < K * V; ++i) scaled_[i] = times_[i] * scale;
  }

  // Lanes of `in` that are no window are 0.
  [[gnu::always_inline]] void sum(const Vec<float>* in, Vec<float>* out) const {
    const Vec<float> none{};
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      const Vec<float> left = v > 0 ? in[v - 1] : none, right = v + 1 < V ? in[v + 1] : none;
      auto term = [&](int t) NEURN_INLINE {
        return ShortRow<K, V>::shifted(left, in[v], right, t) * scaled_[(K / 2 + t) * V + v];
      };
      Vec<float> sum = term(0);
#pragma GCC unroll 4
      for (int t = 1; t <= K / 2; ++t) {
        sum += term(-t);
        sum += term(t);
      }
      out[v] = sum;
    }
  }

 private:
  struct Count {
    float times = 0;
    Count& operator+=(Count other) {
      times += other.times;
      return *this;
    }
  };

  void add(int64_t pixel, int64_t window, float times) {
    const int64_t t = window - pixel;
    if (times != 0) times_[(K / 2 + t) * V + pixel / N][pixel % N] += times;
  }

  Vec<float> times_[K * V], scaled_[K * V];  // of each distance, register by register
};

template <int K, int V>
class ShortBackward {
 public:
  static constexpr int64_t N = ShortRow<K, V>::N;
  static constexpr int R = 4;  // rows that are done together
  static_assert(N % R == 0);

  // Pixels that do not follow each other are for BackwardRows.
  static bool takes(const Problem& p, const Array& x, const Array& dx) {
    return p.k == K && ShortRow<K, V>::fits(p.width) && p.padding != Padding::circular &&
           x.w == 1 && dx.w == 1;
  }

  ShortBackward(const Problem& p, const Blocks& blocks)
      : p_(p),
        blocks_(blocks),
        lead_(p.padding == Padding::valid ? K / 2 : 0),
        moments_(p.rows, p.columns),
        gather_(p.padding, p.width),
        origin_(N),
        grad_copy_(R * V * N),
        summed_(kept * pitch),
        zeros_(pitch) {
    for (int v = 0; v < V; ++v) {
      windows_[v] = ShortRow<K, V>::lanes(v, lead_, lead_ + p.out_width);
      pixels_[v] = ShortRow<K, V>::lanes(v, 0, p.width);
    }
    zeros_.zero();
    summed_.zero();
  }

  // As BackwardSweep::run, without shares.
  bool run(const Array& grad, const Array& x, const Array& dx, int64_t unit, int64_t from,
           int64_t to, const float* scales, double* row_sums, const Share*, int64_t) {
    const int64_t sample = unit / blocks_.count, channel = unit % blocks_.count;
    dx_ = pixels_of<float>(dx, sample, channel);
    x_ = pixels_of<float>(x, sample, channel);
    grad_ = pixels_of<float>(grad, sample, channel);
    row_sums_ = row_sums;
    own_from_ = from * N;
    own_to_ = to * N < p_.height ? to * N : p_.height;
    // Any value near the plane's keeps the products below small; a NaN would spread.
    const float value = *x_.origin, origin = value - value == 0 ? value : 0;
    store(origin_.data(), broadcast(origin));
    gather_.set_scale(scales[0] / float(K));
    const int64_t top = own_from_ + first_window(K, p_.padding);
    int64_t next = (top > 0 ? top : 0) / R * R;
    moments_.start(x_, next, origin_.data());
    bool exact = true;
    // To ask whether digits were lost takes as long as some rows.
    for (int64_t u = own_from_; u < own_to_;) {
      const int64_t end = u + together < own_to_ ? u + together : own_to_;
      const int64_t last = end + first_window(K, p_.padding) + K - 1;
      clear_lost_digits();
      for (; next < last && next < p_.rows.outputs; next += R) spread(next);
      exact = exact && !lost_digits();
      for (; u < end; u += R) gather(u, const_cast<float*>(dx_.origin), dx_.row_stride);
    }
    return exact;
  }

 private:
  static constexpr int64_t pitch = 2 * V * N;
  static constexpr int together = 32;  // rows
  // Rows that their gradient, or what the padding folds into it, may need at once.
  static constexpr int kept = 64;
  static_assert(K - 1 + together + R <= kept);

  // The row's sums of a, and V registers further on those of a * mean.
  float* summed(int64_t row) { return summed_.data() + (row & (kept - 1)) * pitch; }

  // The gradient with respect to a row of windows, the r-th of a block, as if the row started at
  // column 0 of the image.
  const float* grad_row(int64_t row, int r) {
    if (row >= p_.out_height) return zeros_.data();
    const float* const source = grad_.origin + row * grad_.row_stride;
    if (grad_.column_stride == 1) return source - lead_;
    float* const copy = grad_copy_.data() + r * V * N;
    read_run(source, grad_.column_stride, p_.out_width, copy + lead_);
    return copy;
  }

  // a and a * mean of window rows row .. row + R - 1, summed along the columns.
  void spread(int64_t row) {
    const float* grad[R];
    for (int r = 0; r < R; ++r) grad[r] = grad_row(row + r, r);
    __mmask16 windows[V];
    for (int v = 0; v < V; ++v) windows[v] = windows_[v];
    const Ahead<float, R> ahead_of_grad(grad[0] + R * grad_.row_stride, grad_.row_stride, V * N);
    const Ahead<float, R> ahead_of_dx(dx_.origin + row * dx_.row_stride, dx_.row_stride, V * N);
    Vec<float> a[R][V], b[R][V], moved[R]{};
    auto emit = [&](int v, const Vec<float>* squares, const Vec<float>* means) NEURN_INLINE {
      ahead_of_grad.ask(v * N);
      ahead_of_dx.ask(v * N);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const Vec<float> gradient = _mm512_maskz_loadu_ps(windows[v], grad[r] + v * N);
        a[r][v] = _mm512_maskz_mul_ps(windows[v], gradient, inverse_root<float>(squares[r]));
        b[r][v] = _mm512_maskz_mul_ps(windows[v], a[r][v], means[r]);
        // The gradient with respect to the maximum: sum grad k sigma.
        moved[r] = _mm512_mask3_fmadd_ps(a[r][v], squares[r], moved[r], windows[v]);
      }
    };
    moments_.template block<true>(emit);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      Vec<float> sums[2 * V];
      gather_.sum(a[r], sums);
      gather_.sum(b[r], sums + V);
#pragma GCC unroll 4
      for (int v = 0; v < 2 * V; ++v) store(summed(row + r) + v * N, sums[v]);
    }
    if (row_sums_ != nullptr) add_row_sums(row, moved);
  }

  void add_row_sums(int64_t row, const Vec<float>* moved) {
    const int64_t end = own_to_ < p_.out_height ? own_to_ : p_.out_height;
    if (row >= own_from_ && row + R <= end) {
      row_sums_[row] = sum_lanes<float>((moved[0] + moved[1]) + (moved[2] + moved[3]));
      for (int r = 1; r < R; ++r) row_sums_[row + r] = 0;
      return;
    }
    for (int r = 0; r < R; ++r) {
      if (row + r >= own_from_ && row + r < end) row_sums_[row + r] = sum_lanes<float>(moved[r]);
    }
  }

  // Rows u .. u + R - 1 of dx.
  void gather(int64_t u, float* dx, int64_t stride) {
    const float* sums[K - 1 + R];
    for (int t = 0; t < K - 1 + R; ++t) {
      const int64_t row = u + first_window(K, p_.padding) + t;
      sums[t] = row >= 0 && row < p_.rows.outputs ? summed(row) : zeros_.data();
    }
    const int64_t count = own_to_ - u < R ? own_to_ - u : R;
    const bool folded = u <= K / 2 || u + R - 1 >= p_.height - 1 - K / 2;
    const Vec<float> origin = load(origin_.data());
    const float* const x = x_.origin + u * x_.row_stride;
    float* const out = dx + u * stride;
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      const __mmask16 pixels = pixels_[v];
      Vec<float> a[R], b[R];
      sum_rows<float, K, R>(sums, v * N, a);
      sum_rows<float, K, R>(sums, (V + v) * N, b);
      if (__builtin_expect(folded, 0)) {
        fold_rows<float, K, R>(
            p_, u, [=, this](int64_t row) { return load(summed(row) + v * N); }, a);
        fold_rows<float, K, R>(
            p_, u, [=, this](int64_t row) { return load(summed(row) + (V + v) * N); }, b);
      }
      auto write = [&](int r) NEURN_INLINE {
        const Vec<float> pixel = _mm512_maskz_loadu_ps(pixels, x + r * x_.row_stride + v * N);
        _mm512_mask_storeu_ps(out + r * stride + v * N, pixels, (pixel - origin) * a[r] - b[r]);
      };
      if (count == R) {
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) write(r);
      } else {
        for (int r = 0; r < count; ++r) write(r);
      }
    }
  }

  const Problem& p_;
  const Blocks& blocks_;
  const int64_t lead_;
  ShortMoments<K, R, V> moments_;
  ShortGather<K, V> gather_;
  __mmask16 windows_[V], pixels_[V];  // lanes of a row that are windows, and pixels
  Scratch<float> origin_, grad_copy_;
  Scratch<float>
      summed_;  // of the last rows of windows: a, then a * mean, summed along the columns
  Scratch<float> zeros_;
  Pixels<float> x_{}, grad_{}, dx_{};
  double* row_sums_ = nullptr;
  int64_t own_from_ = 0, own_to_ = 0;
};

}  // namespace neurn::NEURN_ISA

#endif
