// Gradient of one block for small k, in row order, as in RowMoments.
#pragma once

#include "adjoint.h"
#include "row_moments.h"

namespace neurn::NEURN_ISA {

template <class T, class F, int K>
class BackwardRows {
 public:
  static constexpr int64_t N = Simd<F>::lanes;
  static constexpr int R = 4;  // rows that are done together
  static_assert(N % R == 0);

  BackwardRows(const Problem& p, const Blocks& blocks)
      : p_(p),
        blocks_(blocks),
        margin_(backward_margin(K, p.padding)),
        columns_(strip_windows(p.width, K, blocks.width)),
        pitch_(Moments<F>::odd_vectors((columns_ + 2 * K) * blocks.width + N)),
        moments_(p.rows, p.columns, blocks.width, columns_ + K - 1),
        origin_(pitch_),
        scale_(pitch_),
        grad_(R * pitch_),
        moved_(R * pitch_),
        spread_(R * 2 * pitch_),
        summed_(kept * 2 * pitch_),
        zeros_(2 * pitch_),
        pixels_(R * pitch_),
        result_(R * pitch_) {
    grad_.zero();
    zeros_.zero();
    summed_.zero();
  }

  // As BackwardSweep::run.
  bool run(const Array& grad, const Array& x, const Array& dx, int64_t unit, int64_t from,
           int64_t to, const F* scales, double* row_sums, const Share* shares, int64_t count) {
    const int64_t block = unit % blocks_.count, sample = unit / blocks_.count;
    const int64_t channel = blocks_.first_channel(block);
    step_ = blocks_.step(block);
    row_sums_ = row_sums;
    x_ = pixels_of<T>(x, sample, channel);
    gradient_ = {&p_, pixels_of<T>(grad, sample, channel), grad.c, step_, shares, count};
    T* out = static_cast<T*>(dx.data) + sample * dx.n + channel * dx.c;
    own_from_ = from * N;
    own_to_ = to * N < p_.height ? to * N : p_.height;
    for (int64_t c = 0; c < step_; ++c) {
      // Any value near the plane's keeps the products below small; a NaN would spread.
      const F value = static_cast<F>(widen(x_.origin[c]));
      const F origin = value - value == F(0) ? value : F(0), scale = scales[c] / F(K);
      for (int64_t i = c; i < pitch_; i += step_) {
        origin_[i] = origin;
        scale_[i] = scale;
      }
    }
    bool exact = true;
    for (int64_t first = 0; first < p_.width; first += columns_) {
      const int64_t top = own_from_ + first_window(K, p_.padding);
      int64_t next = (top > 0 ? top : 0) / R * R;
      start_strip(first, next);
      for (int64_t u = own_from_; u < own_to_; u += R) {
        const int64_t last = u + R - 1 + first_window(K, p_.padding) + K - 1;
        for (; next <= last && next < p_.rows.outputs; next += R) {
          clear_lost_digits();
          spread(next);
          exact = exact && !lost_digits();
          sum_columns(next);
        }
        gather(u, out, dx);
      }
    }
    return exact;
  }

 private:
  // Rows summed along the columns: a multiple of R, so that R of them lie side by side.
  static constexpr int kept = (K - 1 + 3 * R - 1) / R * R;

  // The row's sums of a, and pitch_ further on those of b.
  F* summed(int64_t row) { return summed_.data() + static_cast<size_t>(row) % kept * 2 * pitch_; }

  void start_strip(int64_t first, int64_t row) {
    first_ = first;
    count_ = p_.width - first < columns_ ? p_.width - first : columns_;
    const int64_t from = first + first_window(K, p_.padding);
    const int64_t to = from + count_ + K - 1;
    window_from_ = from > 0 ? from : 0;
    window_to_ = to < p_.columns.outputs ? to : p_.columns.outputs;
    // Windows before window_from_ and from window_to_ on do not exist: zeros stand for them.
    lead_ = (window_from_ - from) * step_;
    spread_.zero();
    moments_.start(x_, step_, window_from_, window_to_ - window_from_, row, origin_.data());
    // Each window is counted in the strip and the rows that hold the pixel of the same place.
    const int64_t end = first + count_ < p_.out_width ? first + count_ : p_.out_width;
    counted_from_ = (first + margin_ - window_from_) * step_;
    counted_to_ = (end + margin_ - window_from_) * step_;
  }

  // a and a * mean of window rows row .. row + R - 1.
  void spread(int64_t row) {
    int64_t grad_stride;
    const F* const grad = gradient_.template rows<F>(row, R, window_from_, window_to_, grad_.data(),
                                                     pitch_, &grad_stride);
    const F* const scales = scale_.data();
    F* const a = spread_.data() + lead_;
    F* const shares = moved_.data();
    const int64_t pitch = pitch_;
    const bool single = step_ == 1;
    const int64_t counted_from = counted_from_, counted_to = counted_to_ - N;
    const Ahead<F, R> ahead(grad + R * grad_stride, grad_stride,
                            (window_to_ - window_from_) * step_);
    Vec<F> moved[R]{};
    auto emit = [&](int64_t e, int64_t fresh, const Vec<F>* squares,
                    const Vec<F>* means) NEURN_INLINE {
      const bool whole = single && fresh == 0 && e >= counted_from && e <= counted_to;
      const Vec<F> scale = load(scales + e);
      ahead.ask(e);
      Vec<F> direction[R];
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        direction[r] = load(grad + r * grad_stride + e) * inverse_root<F>(squares[r]);
        const Vec<F> weight = direction[r] * scale;
        store(a + 2 * r * pitch + e, weight);
        store(a + (2 * r + 1) * pitch + e, weight * means[r]);
      }
      // The gradient with respect to the maximum: sum grad k sigma.
      if (__builtin_expect(whole, 1)) {
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) moved[r] += direction[r] * squares[r];
      } else if (single) {
        const Bits<F> counts = counted_lanes(e, fresh);
        for (int r = 0; r < R; ++r) {
          moved[r] += (Vec<F>)((Bits<F>)(direction[r] * squares[r]) & counts);
        }
      } else {
        for (int r = 0; r < R; ++r) {
          store(shares + r * pitch + e, direction[r] * squares[r]);
        }
      }
    };
    moments_.template block<true>(emit);
    if (row_sums_ == nullptr) return;
    const Vec<F> totals[R] = {moved[0], moved[1], moved[2], moved[3]};
    add_row_sums(row, totals);
  }

  Bits<F> counted_lanes(int64_t e, int64_t fresh) const {
    const int64_t from = counted_from_ - e > fresh ? counted_from_ - e : fresh;
    const int64_t to = counted_to_ - e < N ? counted_to_ - e : N;
    return row_mask<F>(to > 0 ? to : 0) & ~row_mask<F>(from < N ? from : N);
  }

  void add_row_sums(int64_t row, const Vec<F>* moved) {
    const int64_t end = own_to_ < p_.out_height ? own_to_ : p_.out_height;
    auto add = [&](int64_t r, int64_t c, double sum) {
      double& target = row_sums_[c * p_.out_height + row - margin_ + r];
      target = (first_ == 0 ? 0 : target) + sum;
    };
    if (step_ == 1 && row - margin_ >= own_from_ && row - margin_ + R <= end) {
      add(0, 0, sum_lanes<F>((moved[0] + moved[1]) + (moved[2] + moved[3])));
      for (int64_t r = 1; r < R; ++r) add(r, 0, 0);
      return;
    }
    for (int64_t r = 0; r < R; ++r) {
      if (row - margin_ + r < own_from_ || row - margin_ + r >= end) continue;
      if (step_ == 1) {
        add(r, 0, sum_lanes<F>(moved[r]));
        continue;
      }
      for (int64_t c = 0; c < step_; ++c) {
        double sum = 0;
        for (int64_t e = counted_from_ + c; e < counted_to_; e += step_) {
          sum += moved_[r * pitch_ + e];
        }
        add(r, c, sum);
      }
    }
  }

  // Sums of K neighbours along the columns: what each pixel of the row gathers from these windows.
  void sum_columns(int64_t row) {
    const int64_t elements = count_ * step_, step = step_, pitch = pitch_;
    const F* in = spread_.data();
    F* out = summed(row);
    for (int64_t e = 0; e < elements; e += N) {
#pragma GCC unroll 8
      for (int r = 0; r < 2 * R; ++r) {
        store(out + r * pitch + e, window_sum(in + r * pitch + e, step));
      }
    }
    fold_columns(in, out);
  }

  static Vec<F> window_sum(const F* in, int64_t step) {
    Vec<F> even = load(in) + load(in + 2 * step), odd = load(in + step);
#pragma GCC unroll 4
    for (int t = 3; t < K; t += 2) {
      odd += load(in + t * step);
      even += load(in + (t + 1) * step);
    }
    return even + odd;
  }

  // What reaches the pixels near both ends through the padding.
  void fold_columns(const F* in, F* out) const {
    in += lead_;
    if (first_ == 0) fold(in, step_, out);
    if (first_ + count_ == p_.width) {
      const int64_t last = (count_ - 1) * step_;
      fold(in + (p_.width - 1 - window_from_) * step_, -step_, out + last);
    }
  }

  // `stride` leads away from the end.
  void fold(const F* in, int64_t stride, F* out) const {
    for (int64_t c = 0; c < step_; ++c, ++in, ++out) {
      for (int r = 0; r < 2 * R; ++r) {
        const F* from = in + r * pitch_;
        F* to = out + r * pitch_;
        fold_padding<F>(
            p_.width, K, p_.padding, [=](int64_t p) { return from[p * stride]; },
            [=](int64_t u, F sum) { to[u * stride] += sum; });
      }
    }
  }

  // Rows u .. u + R - 1 of dx.
  void gather(int64_t u, T* out, const Array& dx) {
    const F* sums[K - 1 + R];
    for (int t = 0; t < K - 1 + R; ++t) {
      const int64_t row = u + first_window(K, p_.padding) + t;
      sums[t] = row >= 0 && row < p_.rows.outputs ? summed(row) : zeros_.data();
    }
    const int64_t rows = own_to_ - u < R ? own_to_ - u : R, elements = count_ * step_;
    const bool dense = dx.w == step_ && (step_ == 1 || dx.c == 1);
    const bool whole = Same<T, F>::value && elements >= N && rows == R;
    const F* x = pixels_.data();
    F* to = result_.data();
    int64_t x_stride = pitch_, stride = pitch_;
    if constexpr (Same<T, F>::value) {
      if (whole && x_.column_stride == step_) {
        x = x_.origin + u * x_.row_stride + first_ * step_;
        x_stride = x_.row_stride;
      }
      if (whole && dense) {
        to = out + u * dx.h + first_ * step_;
        stride = dx.h;
      }
    }
    for (int64_t r = 0; r < rows && x == pixels_.data(); ++r) {
      read_padded_row(x_, p_.rows, p_.columns, step_, p_.rows.lead + u + r,
                      p_.columns.lead + first_, count_, pixels_.data() + r * pitch_);
    }
    const bool folded = u <= K / 2 || u + R - 1 >= p_.height - 1 - K / 2;
    const F* const origins = origin_.data();
    const int64_t pitch = pitch_;
    const Ahead<F, R> ahead(to + R * stride, stride, elements);
    for (int64_t e = 0; e < elements; e += N) {
      const int64_t at = e + N <= elements || elements < N ? e : elements - N;
      const Vec<F> origin = load(origins + at);
      ahead.ask(at);
      Vec<F> a[R], b[R];
      sum_rows<F, K, R>(sums, at, a);
      sum_rows<F, K, R>(sums, pitch + at, b);
      if (__builtin_expect(folded, 0)) {
        fold_rows<F, K, R>(p_, u, [=, this](int64_t row) { return load(summed(row) + at); }, a);
        fold_rows<F, K, R>(
            p_, u, [=, this](int64_t row) { return load(summed(row) + pitch + at); }, b);
      }
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        store(to + r * stride + at, (load(x + r * x_stride + at) - origin) * a[r] - b[r]);
      }
    }
    if (to != result_.data()) return;
    for (int64_t r = 0; r < rows; ++r) {
      write_row(to + r * stride, count_, step_, dx, out + (u + r) * dx.h + first_ * dx.w);
    }
  }

  const Problem& p_;
  const Blocks& blocks_;
  const int64_t margin_, columns_, pitch_;
  RowMoments<T, F, K, R> moments_;
  Scratch<F> origin_, scale_;  // a value for each channel of the block, repeated
  Scratch<F> grad_, moved_;    // R rows of windows
  Scratch<F> spread_;          // of R rows of windows: a, then a * mean
  Scratch<F> summed_;          // the same of the last rows, summed along the columns
  Scratch<F> zeros_, pixels_, result_;
  Pixels<T> x_{};
  Gradient<T> gradient_{};
  double* row_sums_ = nullptr;
  int64_t step_ = 1, first_ = 0, count_ = 0, window_from_ = 0, window_to_ = 0, lead_ = 0;
  int64_t counted_from_ = 0, counted_to_ = 0, own_from_ = 0, own_to_ = 0;
};

}  // namespace neurn::NEURN_ISA
