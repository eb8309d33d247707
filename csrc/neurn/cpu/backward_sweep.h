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
        pitch_(Moments<F>::round_up(columns_ * blocks.width, N)),
        slots_(p.k - 1 + 3 * N),
        moments_(p.k, blocks.width, windows_, true),
        origin_(Moments<F>::round_up((windows_ + p.k - 1) * blocks.width, N) + 2 * N),
        grad_(N * Moments<F>::round_up(windows_ * blocks.width, N)),
        grad_transposed_(Moments<F>::round_up(windows_ * blocks.width, N) * N),
        spread_a_((windows_ + 2 * p.k) * blocks.width * N),
        spread_b_((windows_ + 2 * p.k) * blocks.width * N),
        gathered_a_(pitch_ * N),
        gathered_b_(pitch_ * N),
        suffixes_(2 * p.k * N),
        rows_a_(slots_ * pitch_),
        rows_b_(slots_ * pitch_),
        zeros_(pitch_),
        pixels_(pitch_),
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
    for (int64_t i = 0; i < origin_.count(); ++i) {
      // Any value near the plane's keeps the products below small; a NaN would spread.
      const F value = static_cast<F>(widen(x_.origin[i % step_]));
      origin_[i] = value - value == F(0) ? value : F(0);
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
    first_ = first;
    count_ = p_.width - first < columns_ ? p_.width - first : columns_;
    const int64_t from = first + first_window(p_.k, p_.padding);
    const int64_t to = from + count_ + p_.k - 1;
    window_from_ = from > 0 ? from : 0;
    window_to_ = to < p_.columns.outputs ? to : p_.columns.outputs;
    // Windows before window_from_ and from window_to_ on do not exist: zeros stand for them.
    lead_ = window_from_ - from;
    spread_a_.zero();
    spread_b_.zero();
    moments_.start(step_, window_from_, window_to_ - window_from_);
  }

  // a and a * mean of a tile of windows, summed along the columns, into the row rings.
  void spread(int64_t tile) {
    const int64_t windows = window_to_ - window_from_;
    read_gradient(tile, windows);
    const F k = F(p_.k), inverse = F(1) / (k * k);
    const Vec<F> zero{};
    F* a = spread_a_.data() + lead_ * step_ * N;
    F* b = spread_b_.data() + lead_ * step_ * N;
    const F* gradient = grad_transposed_.data();
    const int64_t step = step_;
    moments_.template tile<true>(x_, p_.rows, p_.columns, tile * N, origin_.data(), hint_for(tile),
                                 [&](int64_t m, int64_t c, Vec<F> squares, Vec<F> sum) {
                                   const int64_t at = (m * step + c) * N;
                                   const Vec<F> root = square_root<F>(squares);
                                   const Vec<F> ratio =
                                       load(gradient + at) * scales_[c] / (root * k);
                                   const Vec<F> weight = squares == zero ? zero : ratio;
                                   store(a + at, weight);
                                   store(b + at, weight * (sum * inverse));
                                   // The gradient's place now takes grad k sigma.
                                   store(grad_transposed_.data() + at, load(gradient + at) * root);
                                 });
    if (row_sums_ != nullptr) add_row_sums(tile);
    for (int64_t c = 0; c < step_; ++c) {
      sum_columns(spread_a_.data(), spread_b_.data(), c);
    }
    to_rows(gathered_a_.data(), rows_a_.data(), tile);
    to_rows(gathered_b_.data(), rows_b_.data(), tile);
  }

  // Prefetches the rows of x and grad that the next tile reads.
  auto hint_for(int64_t tile) const {
    const int64_t x_row = (tile + 1) * N + p_.k - 1 - p_.rows.lead, grad_row = (tile + 1) * N;
    const T* x = x_.origin + window_from_ * x_.column_stride;
    const Pixels<T>& grad = gradient_.pixels;
    const T* g = grad.origin + window_from_ * grad.column_stride;
    return [this, x, g, x_row, grad_row, stride = grad.row_stride](int64_t at) {
      for (int64_t t = 0; t < N; ++t) {
        const int64_t i = x_row + t < p_.height ? x_row + t : p_.height - 1;
        const int64_t o = grad_row + t < p_.out_height ? grad_row + t : p_.out_height - 1;
        __builtin_prefetch(x + i * x_.row_stride + at, 0, 2);
        __builtin_prefetch(g + o * stride + at, 0, 2);
      }
    };
  }

  void read_gradient(int64_t tile, int64_t windows) {
    const int64_t pitch = Moments<F>::round_up(windows_ * blocks_.width, N);
    for (int64_t t = 0; t < N && tile * N + t < p_.rows.outputs; ++t) {
      gradient_.read_row(tile * N + t, window_from_, window_to_, grad_.data() + t * pitch);
    }
    for (int64_t e = 0; e < windows * step_; e += N) {
      Vec<F> square[N];
#pragma GCC unroll 16
      for (int64_t t = 0; t < N; ++t) square[t] = load(grad_.data() + t * pitch + e);
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
    const int64_t offset = lead_ - window_from_;
    for (int64_t m = 0; m < count_; ++m) {
      if (!sees_padding(first_ + m, p_.width, k, p_.padding)) continue;
      visit_through_padding(first_ + m, p_.width, k, p_.padding, [&](int64_t p, int64_t times) {
        const int64_t at = (p + offset) * stride;
        F* target_a = out_a + m * stride;
        F* target_b = out_b + m * stride;
        store(target_a, load(target_a) + load(a + at) * F(times));
        store(target_b, load(target_b) + load(b + at) * F(times));
      });
    }
  }

  void to_rows(const F* transposed, F* ring, int64_t tile) {
    for (int64_t e = 0; e < count_ * step_; e += N) {
      Vec<F> square[N];
#pragma GCC unroll 16
      for (int64_t t = 0; t < N; ++t) square[t] = load(transposed + (e + t) * N);
      transpose<F>(square);
      for (int64_t t = 0; t < N; ++t) {
        store(ring + (tile * N + t) % slots_ * pitch_ + e, square[t]);
      }
    }
  }

  void gather(int64_t tile, T* out, const Array& dx) {
    const int64_t top = tile * N + first_window(p_.k, p_.padding);
    for (int64_t t = 0; t < N + p_.k - 1; ++t) {
      const int64_t row = top + t;
      const bool exists = row >= 0 && row < p_.rows.outputs;
      pointers_a_[t] = exists ? rows_a_.data() + row % slots_ * pitch_ : zeros_.data();
      pointers_b_[t] = exists ? rows_b_.data() + row % slots_ * pitch_ : zeros_.data();
    }
    const int64_t height = p_.height - tile * N < N ? p_.height - tile * N : N;
    constexpr int64_t group = N < 4 ? N : 4;
    for (int64_t t = 0; t < height; t += group) {
      const int64_t count = height - t < group ? height - t : group;
      gather_group<group>(tile * N + t, t, count, out, dx);
    }
  }

  // Rows u .. u + count - 1 of dx: what their windows have in common is summed once.
  template <int64_t group>
  void gather_group(int64_t u, int64_t t0, int64_t count, T* out, const Array& dx) {
    const int64_t k = p_.k, elements = count_ * step_;
    for (int64_t x = 0; x < elements; x += N) {
      // Rows are written at the end of the group; asking early hides the wait for them.
      for (int64_t i = 0; i < count; ++i) {
        __builtin_prefetch(out + (u + i) * dx.h + first_ * dx.w + x, 1, 2);
      }
      Vec<F> common_a{}, common_b{};
      for (int64_t t = t0 + group - 1; t < t0 + k; ++t) {
        common_a += load(pointers_a_[t] + x);
        common_b += load(pointers_b_[t] + x);
      }
      for (int64_t i = 0; i < count; ++i) {
        Vec<F> a = common_a, b = common_b;
        // For k < group the windows have less than nothing in common.
        if (k < group) a = b = Vec<F>{};
        const int64_t begin = t0 + i, end = begin + k;
        for (int64_t t = begin; t < (k < group ? end : t0 + group - 1); ++t) {
          a += load(pointers_a_[t] + x);
          b += load(pointers_b_[t] + x);
        }
        for (int64_t t = t0 + k; k >= group && t < end; ++t) {
          a += load(pointers_a_[t] + x);
          b += load(pointers_b_[t] + x);
        }
        if (sees_padding(u + i, p_.height, k, p_.padding)) {
          visit_through_padding(u + i, p_.height, k, p_.padding, [&](int64_t p, int64_t times) {
            a += load(rows_a_.data() + p % slots_ * pitch_ + x) * F(times);
            b += load(rows_b_.data() + p % slots_ * pitch_ + x) * F(times);
          });
        }
        store(gathered_a_.data() + i * pitch_ + x, a);
        store(gathered_b_.data() + i * pitch_ + x, b);
      }
    }
    for (int64_t i = 0; i < count; ++i) {
      F* row = pixels_.data();
      read_padded_row(x_, p_.rows, p_.columns, step_, p_.rows.lead + u + i,
                      p_.columns.lead + first_, count_, row);
      const F* a = gathered_a_.data() + i * pitch_;
      const F* b = gathered_b_.data() + i * pitch_;
      for (int64_t e = 0; e < elements; e += N) {
        store(row + e, (load(row + e) - load(origin_.data() + e)) * load(a + e) - load(b + e));
      }
      write_row(row, count_, step_, dx, out + (u + i) * dx.h + first_ * dx.w);
    }
  }

  const Problem& p_;
  const Blocks& blocks_;
  const int64_t columns_, windows_, pitch_, slots_;
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
  int64_t step_ = 1, first_ = 0, count_ = 0, window_from_ = 0, window_to_ = 0, lead_ = 0;
  int64_t own_from_ = 0, own_to_ = 0;
};

}  // namespace neurn::NEURN_ISA
