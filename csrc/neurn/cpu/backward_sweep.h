// Gradient of one block for any k: transposed tiles, as in Moments.
#pragma once

#include "adjoint.h"

namespace neurn::NEURN_ISA {

// Gradient of one block, in one thread; of the maximum, `shares` only.
template <class T, class F>
class BackwardSweep {
 public:
  static constexpr int64_t N = Simd<F>::lanes;

  BackwardSweep(const Problem& p, const Blocks& blocks)
      : p_(p),
        blocks_(blocks),
        columns_(strip_windows(p.width, p.k, blocks.width)),
        windows_(columns_ + p.k - 1),
        pitch_(Moments<F>::odd_vectors(columns_ * blocks.width)),
        slots_(Moments<F>::power_of_two(p.k - 1 + 3 * N)),
        grad_pitch_(Moments<F>::round_up(windows_ * blocks.width, N)),
        moments_(p.k, p.rows, p.columns, blocks.width, windows_),
        origin_(Moments<F>::round_up(pitch_, blocks.width)),
        grad_(N * grad_pitch_),
        grad_transposed_(N * grad_pitch_),
        spread_a_((windows_ + 2 * p.k) * blocks.width * N),
        spread_b_((windows_ + 2 * p.k) * blocks.width * N),
        gathered_a_(pitch_ * N),
        gathered_b_(pitch_ * N),
        suffixes_(2 * p.k * N),
        rows_a_(slots_ * pitch_),
        rows_b_(slots_ * pitch_),
        zeros_(pitch_),
        pixels_(N * pitch_),
        pointers_a_(N + p.k - 1),
        pointers_b_(N + p.k - 1) {
    grad_.zero();
    zeros_.zero();
    rows_a_.zero();
    rows_b_.zero();
  }

  // Rows of tiles [from, to) of dx. scales[channel] = 1 / D; row_sums[channel * out_height + row],
  // of the rows of the same tiles, takes sum grad k sigma where not null. False: some M is out of
  // F's range.
  bool run(const Array& grad, const Array& x, const Array& dx, int64_t unit, int64_t from,
           int64_t to, const F* scales, double* row_sums, const Share* shares, int64_t count) {
    const int64_t block = unit % blocks_.count, sample = unit / blocks_.count;
    const int64_t channel = blocks_.first_channel(block);
    step_ = blocks_.step(block);
    scales_ = scales;
    row_sums_ = row_sums;
    x_ = pixels_of<T>(x, sample, channel);
    gradient_ = {&p_, pixels_of<T>(grad, sample, channel), grad.c, step_, shares, count};
    own_from_ = from * N;
    own_to_ = to * N < p_.height ? to * N : p_.height;
    moments_.forget();
    for (int64_t c = 0; c < step_; ++c) {
      // Any value near the plane's keeps the products below small; a NaN would spread.
      const F value = static_cast<F>(widen(x_.origin[c]));
      const F origin = value - value == F(0) ? value : F(0);
      for (int64_t i = c; i < origin_.count(); i += step_) origin_[i] = origin;
    }
    for (int64_t first = 0; first < p_.width; first += columns_) {
      start_strip(first);
      const int64_t top = own_from_ + first_window(p_.k, p_.padding);
      int64_t next = (top > 0 ? top : 0) / N;
      for (int64_t tile = from; tile < to; ++tile) {
        const int64_t last = tile * N + N - 1 + first_window(p_.k, p_.padding) + p_.k - 1;
        const int64_t end = last < p_.rows.outputs - 1 ? last : p_.rows.outputs - 1;
        for (; next * N <= end; ++next) spread(next);
        gather(tile, static_cast<T*>(dx.data) + sample * dx.n + channel * dx.c, dx);
      }
    }
    return moments_.exact();
  }

 private:
  void start_strip(int64_t first) {
    // What one plane leaves there the next one overwrites.
    if (first != first_ || step_ != spread_step_) {
      spread_a_.zero();
      spread_b_.zero();
    }
    spread_step_ = step_;
    first_ = first;
    count_ = p_.width - first < columns_ ? p_.width - first : columns_;
    const int64_t from = first + first_window(p_.k, p_.padding);
    const int64_t to = from + count_ + p_.k - 1;
    window_from_ = from > 0 ? from : 0;
    window_to_ = to < p_.columns.outputs ? to : p_.columns.outputs;
    // Windows before window_from_ and from window_to_ on do not exist: zeros stand for them.
    lead_ = window_from_ - from;
    moments_.start(step_, window_from_, window_to_ - window_from_);
  }

  // a and a * mean of a tile of windows, summed along the columns, into the row rings.
  void spread(int64_t tile) {
    read_gradient(tile);
    const F inverse_k = F(1) / F(p_.k), inverse = inverse_k * inverse_k;
    F* a = spread_a_.data() + lead_ * step_ * N;
    F* b = spread_b_.data() + lead_ * step_ * N;
    F* gradient = grad_transposed_.data();
    const F* scales = scales_;
    const int64_t step = step_;
    auto emit = [=](int64_t m, int64_t c, Vec<F> squares, Vec<F> sum) NEURN_INLINE {
      const int64_t at = (m * step + c) * N;
      const Vec<F> direction = load(gradient + at) * inverse_root<F>(squares);
      const Vec<F> weight = direction * (scales[c] * inverse_k);
      store(a + at, weight);
      store(b + at, weight * (sum * inverse));
      // The gradient's place now takes grad k sigma.
      store(gradient + at, direction * squares);
    };
    moments_.template tile<true>(x_, tile * N, origin_.data(), hint_for(tile), emit);
    if (row_sums_ != nullptr) add_row_sums(tile);
    for (int64_t c = 0; c < step_; ++c) {
      sum_columns(spread_a_.data(), spread_b_.data(), c);
    }
    to_rows(gathered_a_.data(), rows_a_.data(), tile);
    to_rows(gathered_b_.data(), rows_b_.data(), tile);
  }

  // Prefetches the rows of x and grad that the next tile reads, in the next plane if need be.
  auto hint_for(int64_t tile) const {
    const Pixels<T>& grad = gradient_.pixels;
    const int64_t x_row = (tile + 1) * N + p_.k - 1 - p_.rows.lead, grad_row = (tile + 1) * N;
    const T* x = x_.origin + x_row * x_.row_stride + window_from_ * x_.column_stride;
    const T* g = grad.origin + grad_row * grad.row_stride + window_from_ * grad.column_stride;
    return [x, g, x_stride = x_.row_stride, stride = grad.row_stride](int64_t at) {
      for (int64_t t = 0; t < N; ++t) {
        __builtin_prefetch(x + t * x_stride + at, 0, 2);
        __builtin_prefetch(g + t * stride + at, 0, 2);
      }
    };
  }

  void read_gradient(int64_t tile) {
    int64_t stride;
    const F* grad = gradient_.template rows<F>(tile * N, N, window_from_, window_to_, grad_.data(),
                                               grad_pitch_, &stride);
    const int64_t elements = (window_to_ - window_from_) * step_;
    for (int64_t from = 0; from < elements; from += N) {
      const int64_t e = from + N <= elements || elements < N ? from : elements - N;
      Vec<F> square[N];
#pragma GCC unroll 16
      for (int64_t t = 0; t < N; ++t) square[t] = load(grad + t * stride + e);
      transpose<F>(square);
#pragma GCC unroll 16
      for (int64_t t = 0; t < N; ++t) store(grad_transposed_.data() + (e + t) * N, square[t]);
    }
  }

  // Each window is counted in the strip and tiles that hold the pixel of the same place.
  void add_row_sums(int64_t tile) {
    const int64_t margin = backward_margin(p_.k, p_.padding);
    int64_t from = first_ + margin, to = first_ + count_ + margin;
    if (to > p_.out_width + margin) to = p_.out_width + margin;
    for (int64_t c = 0; c < step_; ++c) {
      double sums[N] = {};
      for (int64_t m = from - window_from_; m < to - window_from_; ++m) {
        const F* value = grad_transposed_.data() + (m * step_ + c) * N;
        for (int64_t t = 0; t < N; ++t) sums[t] += value[t];
      }
      for (int64_t t = 0; t < N; ++t) {
        const int64_t row = tile * N + t - margin;
        if (row < own_from_ || row >= own_to_ || row >= p_.out_height) continue;
        double& target = row_sums_[c * p_.out_height + row];
        target = (first_ == 0 ? 0 : target) + sums[t];
      }
    }
  }

  // Sums of k neighbours along the columns, for channel c, as in Moments::horizontal.
  void sum_columns(const F* a, const F* b, int64_t c) {
    const int64_t k = p_.k, stride = step_ * N;
    a += c * N;
    b += c * N;
    F* out_a = gathered_a_.data() + c * N;
    F* out_b = gathered_b_.data() + c * N;
    F* left = suffixes_.data();
    for (int64_t m = 0; m < count_; m += k) {
      const int64_t count = count_ - m < k ? count_ - m : k;
      const int64_t core = m + count - 1;
      Vec<F> sum_a{}, sum_b{};
      for (int64_t t = count - 1;; --t) {
        store(left + t * N, sum_a);
        store(left + (k + t) * N, sum_b);
        if (t == 0) break;
        sum_a += load(a + (m + t - 1) * stride);
        sum_b += load(b + (m + t - 1) * stride);
      }
      sum_a = sum_b = Vec<F>{};
      for (int64_t column = core; column < m + k - 1; ++column) {
        sum_a += load(a + column * stride);
        sum_b += load(b + column * stride);
      }
      for (int64_t t = 0; t < count; ++t) {
        sum_a += load(a + (m + k - 1 + t) * stride);
        sum_b += load(b + (m + k - 1 + t) * stride);
        store(out_a + (m + t) * stride, sum_a + load(left + t * N));
        store(out_b + (m + t) * stride, sum_b + load(left + (k + t) * N));
      }
    }
    fold_columns(a, out_a, stride);
    fold_columns(b, out_b, stride);
  }

  // What reaches the pixels near both ends through the padding.
  void fold_columns(const F* in, F* out, int64_t stride) const {
    const int64_t width = p_.width, windows = window_to_ - window_from_;
    auto add = [=, this](int64_t u, Vec<F> sum) NEURN_INLINE {
      if (u < first_ || u >= first_ + count_) return;
      F* target = out + (u - first_) * stride;
      store(target, load(target) + sum);
    };
    if (window_from_ == 0) {
      const F* first = in + lead_ * stride;
      fold_padding<Vec<F>>(
          windows, p_.k, p_.padding, [=](int64_t p) { return load(first + p * stride); }, add);
    }
    if (window_to_ == p_.columns.outputs) {
      const F* last = in + (lead_ + windows - 1) * stride;
      fold_padding<Vec<F>>(
          windows, p_.k, p_.padding, [=](int64_t p) { return load(last - p * stride); },
          [=](int64_t u, Vec<F> sum) { add(width - 1 - u, sum); });
    }
  }

  void to_rows(const F* transposed, F* ring, int64_t tile) {
    for (int64_t e = 0; e < count_ * step_; e += N) {
      Vec<F> square[N];
#pragma GCC unroll 16
      for (int64_t t = 0; t < N; ++t) square[t] = load(transposed + (e + t) * N);
      transpose<F>(square);
      for (int64_t t = 0; t < N; ++t) {
        store(ring + slot(tile * N + t) + e, square[t]);
      }
    }
  }

  int64_t slot(int64_t row) const { return (row & (slots_ - 1)) * pitch_; }

  void gather(int64_t tile, T* out, const Array& dx) {
    const int64_t top = tile * N + first_window(p_.k, p_.padding);
    for (int64_t t = 0; t < N + p_.k - 1; ++t) {
      const int64_t row = top + t;
      const bool exists = row >= 0 && row < p_.rows.outputs;
      pointers_a_[t] = exists ? rows_a_.data() + slot(row) : zeros_.data();
      pointers_b_[t] = exists ? rows_b_.data() + slot(row) : zeros_.data();
    }
    if (p_.k >= 16 && N >= 16) {
      gather_groups<16>(tile, out, dx);
    } else if (p_.k >= 8 && N >= 8) {
      gather_groups<8>(tile, out, dx);
    } else if (p_.k >= 4 && N >= 4) {
      gather_groups<4>(tile, out, dx);
    } else if (p_.k >= 2) {
      gather_groups<2>(tile, out, dx);
    } else {
      gather_groups<1>(tile, out, dx);
    }
  }

  template <int G>
  void gather_groups(int64_t tile, T* out, const Array& dx) {
    constexpr int group = G < N ? G : static_cast<int>(N);
    const int64_t u = tile * N, height = p_.height - u < N ? p_.height - u : N;
    const int64_t elements = count_ * step_;
    const F* x = pixels_.data();
    F* to = pixels_.data();
    int64_t x_stride = pitch_, stride = pitch_;
    if constexpr (Same<T, F>::value) {
      const bool whole = elements >= N && height == N;
      if (whole && x_.column_stride == step_) {
        x = x_.origin + u * x_.row_stride + first_ * step_;
        x_stride = x_.row_stride;
      }
      if (whole && dx.w == step_ && (step_ == 1 || dx.c == 1)) {
        to = out + u * dx.h + first_ * step_;
        stride = dx.h;
      }
    }
    for (int64_t t = 0; t < height && x == pixels_.data(); ++t) {
      read_padded_row(x_, p_.rows, p_.columns, step_, p_.rows.lead + u + t,
                      p_.columns.lead + first_, count_, pixels_.data() + t * pitch_);
    }
    for (int64_t from = 0; from < elements; from += N) {
      // What is in the buffer is read once only; it has room for a whole last vector.
      const int64_t e = from + N <= elements || x == to ? from : elements - N;
      for (int64_t t = 0; t < N; ++t) {
        __builtin_prefetch(to + (N + t) * stride + e, 1, 2);
      }
      Vec<F> a[N], b[N];
      for (int64_t g = 0; g < N; g += group) {
        sum_rows<group>(pointers_a_.data() + g, e, a + g);
        sum_rows<group>(pointers_b_.data() + g, e, b + g);
      }
      fold_rows(rows_a_.data() + e, u, a);
      fold_rows(rows_b_.data() + e, u, b);
      const Vec<F> origin = load(origin_.data() + e);
      for (int64_t t = 0; t < N; ++t) {
        store(to + t * stride + e, (load(x + t * x_stride + e) - origin) * a[t] - b[t]);
      }
    }
    for (int64_t t = 0; t < height && to == pixels_.data(); ++t) {
      write_row(to + t * stride, count_, step_, dx, out + (u + t) * dx.h + first_ * dx.w);
    }
  }

  // Sums of k rows, from each of G on: row G - 1 is in all of them.
  template <int G>
  [[gnu::always_inline]] void sum_rows(const F* const* rows, int64_t x, Vec<F>* sums) const {
    sums[G - 1] = load(rows[G - 1] + x);
#pragma GCC unroll 16
    for (int t = G - 2; t >= 0; --t) sums[t] = sums[t + 1] + load(rows[t] + x);
    Vec<F> below{};
    for (int64_t r = G; r < p_.k; ++r) below += load(rows[r] + x);
#pragma GCC unroll 16
    for (int t = 0; t < G; ++t) {
      if (t > 0) below += load(rows[p_.k - 1 + t] + x);
      sums[t] += below;
    }
  }

  // What reaches rows u .. u + N - 1 through the padding.
  void fold_rows(const F* ring, int64_t u, Vec<F>* sums) const {
    const int64_t last = p_.height - 1;
    auto add = [=](int64_t row, Vec<F> sum) {
      if (row >= u && row < u + N) sums[row - u] += sum;
    };
    if (u <= p_.k / 2) {
      fold_padding<Vec<F>>(
          p_.height, p_.k, p_.padding, [=, this](int64_t p) { return load(ring + slot(p)); }, add);
    }
    if (u + N - 1 >= last - p_.k / 2) {
      fold_padding<Vec<F>>(
          p_.height, p_.k, p_.padding, [=, this](int64_t p) { return load(ring + slot(last - p)); },
          [=](int64_t row, Vec<F> sum) { add(last - row, sum); });
    }
  }

  const Problem& p_;
  const Blocks& blocks_;
  const int64_t columns_, windows_, pitch_, slots_, grad_pitch_;
  Moments<F> moments_;
  Scratch<F> origin_;  // a pixel of the plane, one for each channel of the block, repeated
  Scratch<F> grad_, grad_transposed_;
  Scratch<F> spread_a_, spread_b_;  // transposed: a and a * mean of a tile of windows
  Scratch<F> gathered_a_, gathered_b_;
  Scratch<F> suffixes_;
  Scratch<F> rows_a_, rows_b_;  // rings of rows, summed along the columns
  Scratch<F> zeros_, pixels_;
  Scratch<const F*> pointers_a_, pointers_b_;
  Pixels<T> x_{};
  Gradient<T> gradient_{};
  const F* scales_ = nullptr;
  double* row_sums_ = nullptr;
  int64_t step_ = 1, spread_step_ = 0, first_ = 0, count_ = 0, window_from_ = 0, window_to_ = 0,
          lead_ = 0;
  int64_t own_from_ = 0, own_to_ = 0;
};

}  // namespace neurn::NEURN_ISA
