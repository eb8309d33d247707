// dL/dx = sum over the patches p around x of a_p (x - mean_p), with a_p = grad_p / (k^2 sigma_p D)
// and D = max sigma + floor; and, for the patch that is the maximum, - (sum grad sigma) / D^2 more.
//
// a and a * mean are spread back by window sums again: the adjoint of padding and window. A pixel
// gathers from its window, from windows that reach it through the padding, and writes once.
#pragma once

#include "forward.h"

namespace neurn::NEURN_ISA {

// The outputs that see source position u through reflected or replicated padding only:
// visit(output, how often).
template <class Visit>
inline void visit_through_padding(int64_t u, int64_t size, int64_t k, Padding padding,
                                  Visit&& visit) {
  const int64_t r = k / 2, mirrored = size - 1 - u;
  if (padding == Padding::reflect) {
    for (int64_t p = 0; u >= 1 && p <= r - u; ++p) visit(p, 1);
    for (int64_t p = 0; mirrored >= 1 && p <= r - mirrored; ++p) visit(size - 1 - p, 1);
  } else if (padding == Padding::replicate) {
    for (int64_t p = 0; u == 0 && p < r && p < size; ++p) visit(p, r - p);
    for (int64_t p = 0; mirrored == 0 && p < r && p < size; ++p) visit(size - 1 - p, r - p);
  }
}

// Whether there are any.
inline bool sees_padding(int64_t u, int64_t size, int64_t k, Padding padding) {
  return (padding == Padding::reflect || padding == Padding::replicate) &&
         (u <= k / 2 || size - 1 - u <= k / 2);
}

// The first window, in windows of the axis, that sees source position 0.
inline int64_t first_window(int64_t k, Padding padding) {
  return padding == Padding::circular ? 0 : padding == Padding::valid ? 1 - k : -(k / 2);
}

// What is added to the gradient of one output: the share of the scope whose maximum it is.
struct Share {
  int64_t row, column, channel;  // of the block
  double value;
};

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
    shares_ = shares;
    share_count_ = count;
    x_ = pixels_of<T>(x, sample, channel);
    grad_data_ = static_cast<const T*>(grad.data) + sample * grad.n + channel * grad.c;
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
        for (; next * N <= end; ++next) spread(grad, next);
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
  void spread(const Array& grad, int64_t tile) {
    const int64_t windows = window_to_ - window_from_;
    read_gradient(grad, tile, windows);
    const F k = F(p_.k), inverse = F(1) / (k * k);
    const Vec<F> zero{};
    F* a = spread_a_.data() + lead_ * step_ * N;
    F* b = spread_b_.data() + lead_ * step_ * N;
    const F* gradient = grad_transposed_.data();
    const int64_t step = step_;
    moments_.template tile<true>(
        x_, p_.rows, p_.columns, tile * N, origin_.data(), hint_for(grad, tile),
        [&](int64_t m, int64_t c, Vec<F> squares, Vec<F> sum) {
          const int64_t at = (m * step + c) * N;
          const Vec<F> root = square_root<F>(squares);
          const Vec<F> ratio = load(gradient + at) * scales_[c] / (root * k);
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
  auto hint_for(const Array& grad, int64_t tile) const {
    const int64_t x_row = (tile + 1) * N + p_.k - 1 - p_.rows.lead, grad_row = (tile + 1) * N;
    const T* x = x_.origin + window_from_ * x_.column_stride;
    const T* g = grad_data_ + window_from_ * grad.w;
    return [this, x, g, x_row, grad_row, &grad](int64_t at) {
      for (int64_t t = 0; t < N; ++t) {
        const int64_t i = x_row + t < p_.height ? x_row + t : p_.height - 1;
        const int64_t o = grad_row + t < p_.out_height ? grad_row + t : p_.out_height - 1;
        __builtin_prefetch(x + i * x_.row_stride + at, 0, 2);
        __builtin_prefetch(g + o * grad.h + at, 0, 2);
      }
    };
  }

  void read_gradient(const Array& grad, int64_t tile, int64_t windows) {
    const int64_t pitch = Moments<F>::round_up(windows_ * blocks_.width, N);
    const int64_t margin = backward_margin(p_.k, p_.padding);
    for (int64_t t = 0; t < N && tile * N + t < p_.rows.outputs; ++t) {
      int64_t row = tile * N + t - margin;
      row = (row % p_.out_height + p_.out_height) % p_.out_height;
      const T* source = grad_data_ + row * grad.h;
      F* target = grad_.data() + t * pitch;
      auto column_of = [&](int64_t m) {
        const int64_t column = window_from_ + m - margin;
        return (column % p_.out_width + p_.out_width) % p_.out_width;
      };
      if (step_ == 1 && margin == 0) {
        read_run(source + window_from_ * grad.w, grad.w, windows, target);
      } else {
        for (int64_t m = 0; m < windows; ++m) {
          read_run(source + column_of(m) * grad.w, grad.c, step_, target + m * step_);
        }
      }
      for (int64_t i = 0; i < share_count_; ++i) {
        if (shares_[i].row != row) continue;
        for (int64_t m = 0; m < windows; ++m) {
          if (column_of(m) != shares_[i].column) continue;
          target[m * step_ + shares_[i].channel] += static_cast<F>(shares_[i].value);
        }
      }
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
      T* target = out + (u + i) * dx.h + first_ * dx.w;
      if (dx.w == step_ && (step_ == 1 || dx.c == 1)) {
        write_run(row, 1, elements, target);
      } else {
        for (int64_t m = 0; m < count_; ++m) {
          write_run(row + m * step_, dx.c, step_, target + m * dx.w);
        }
      }
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
  const T* grad_data_ = nullptr;
  const F* scales_ = nullptr;
  double* row_sums_ = nullptr;
  const Share* shares_ = nullptr;
  int64_t share_count_ = 0;
  int64_t step_ = 1, first_ = 0, count_ = 0, window_from_ = 0, window_to_ = 0, lead_ = 0;
  int64_t own_from_ = 0, own_to_ = 0;
};

template <class T>
class Backward {
 public:
  Backward(const Problem& p, const Array& grad, const Array& x, const Peaks& peaks, const Array& dx)
      : p_(p), grad_(grad), x_(x), peaks_(peaks), dx_(dx), blocks_(p, x, dx) {}

  void run(const Parallel& pool) {
    Scratch<double> row_sums(p_.samples * p_.channels * p_.out_height);
    const int64_t units = p_.samples * blocks_.count;
    // The cut into parts follows the image alone, so that any number of threads gives the same
    // bits.
    const int64_t rows = Simd<double>::lanes * 8;
    const int64_t parts = units >= 4 * pool.threads ? 1 : (p_.height + rows - 1) / rows;
    Scratch<int> wide(units);
    for (int64_t unit = 0; unit < units; ++unit) wide[unit] = !in_float(unit);
    parallel(pool, units * parts, [&](int64_t begin, int64_t end) {
      Worker<float> worker(*this);
      for (int64_t job = begin; job < end; ++job) {
        const int64_t from = job % parts * rows, unit = job / parts;
        if (__atomic_load_n(&wide[unit], __ATOMIC_RELAXED)) continue;
        if (!worker.run(unit, parts == 1 ? 0 : from, parts == 1 ? p_.height : from + rows,
                        row_sums.data())) {
          __atomic_store_n(&wide[unit], 1, __ATOMIC_RELAXED);
        }
      }
    });
    parallel(pool, units, [&](int64_t begin, int64_t end) {
      bool any = false;
      for (int64_t unit = begin; unit < end; ++unit) any |= wide[unit] != 0;
      if (!any) return;
      Worker<double> worker(*this);
      for (int64_t unit = begin; unit < end; ++unit) {
        if (wide[unit]) worker.run(unit, 0, p_.height, row_sums.data());
      }
    });
    if (p_.scope == Scope::none) return;
    Scratch<Peak> peaks(p_.scopes());
    parallel(pool, p_.scopes(), [&](int64_t begin, int64_t end) {
      for (int64_t scope = begin; scope < end; ++scope) {
        peaks[scope] = find_peak(scope, row_sums.data());
        if (!rounds_once && peaks[scope].plane >= 0) add_peak(peaks[scope]);
      }
    });
    if (!rounds_once) return;
    parallel(pool, units, [&](int64_t begin, int64_t end) {
      Worker<float> narrow(*this);
      Worker<double> exact(*this);
      for (int64_t unit = begin; unit < end; ++unit) {
        if (wide[unit]) {
          repeat_with_peaks(exact, unit, peaks.data());
        } else {
          repeat_with_peaks(narrow, unit, peaks.data());
        }
      }
    });
  }

 private:
  // Adding to what was rounded to half precision would round twice: rows that see a maximum are
  // computed again instead.
  static constexpr bool rounds_once = sizeof(T) == 2;

  struct Peak {
    int64_t plane;  // sample * channels + channel; -1: none
    int64_t row, column;
    double share;  // of the gradient with respect to this output: - sum grad sigma / D
  };

  template <class F>
  struct Worker {
    const Backward& call;
    BackwardSweep<T, F> sweep;
    Scratch<F> scales;

    explicit Worker(const Backward& b) : call(b), sweep(b.p_, b.blocks_), scales(b.blocks_.width) {}

    // Rows [from, to) of a unit's gradient.
    bool run(int64_t unit, int64_t from, int64_t to, double* row_sums,
             const Share* shares = nullptr, int64_t count = 0) {
      constexpr int64_t N = Simd<F>::lanes;
      const int64_t plane = call.first_plane(unit);
      for (int64_t c = 0; c < call.blocks_.step(unit % call.blocks_.count); ++c) {
        scales[c] = static_cast<F>(call.scale(plane + c));
      }
      if (to > call.p_.height) to = call.p_.height;
      return sweep.run(
          call.grad_, call.x_, call.dx_, unit, from / N, (to + N - 1) / N, scales.data(),
          row_sums == nullptr ? nullptr : row_sums + plane * call.p_.out_height, shares, count);
    }
  };

  int64_t first_plane(int64_t unit) const {
    return unit / blocks_.count * p_.channels + blocks_.first_channel(unit % blocks_.count);
  }

  // Whether float keeps k x k squares' digits and holds the scale; else the unit takes double.
  bool in_float(int64_t unit) const {
    if (Same<T, double>::value || p_.k > 31) return false;
    for (int64_t c = 0; c < blocks_.step(unit % blocks_.count); ++c) {
      const double size = scale(first_plane(unit) + c);
      if (size != 0 && !(size > 1e-15 && size < 1e15)) return false;
    }
    return true;
  }

  double peak(int64_t slot) const {
    return p_.dtype == DType::float64 ? static_cast<const double*>(peaks_.value)[slot]
                                      : static_cast<const float*>(peaks_.value)[slot];
  }

  // 1 / D of a plane (sample * channels + channel), 0 where nothing deviates.
  double scale(int64_t plane) const {
    if (p_.scope == Scope::none) return 1;
    const double top = peak(p_.scope == Scope::channel ? plane
                            : p_.scope == Scope::image ? plane / p_.channels
                                                       : 0);
    return top == 0 ? 0 : 1 / (top + p_.floor);
  }

  // The maximum is one patch's deviation: its pixels move the whole scope.
  Peak find_peak(int64_t scope, const double* row_sums) const {
    const double top = peak(scope);
    int64_t index = peaks_.index[scope];
    if (index < 0 || !(top > 0)) return {-1, 0, 0, 0};
    const int64_t planes = p_.scope == Scope::image     ? p_.channels
                           : p_.scope == Scope::channel ? 1
                                                        : p_.samples * p_.channels;
    double total = 0;
    const int64_t first = scope * planes;
    for (int64_t i = first * p_.out_height; i < (first + planes) * p_.out_height; ++i) {
      total += row_sums[i];
    }
    const int64_t column = index % p_.out_width;
    index /= p_.out_width;
    return {first + index / p_.out_height, index % p_.out_height, column,
            -total / double(p_.k) / (top + p_.floor)};
  }

  template <class Worker>
  void repeat_with_peaks(Worker& worker, int64_t unit, const Peak* peaks) const {
    const int64_t first = first_plane(unit), step = blocks_.step(unit % blocks_.count);
    const int64_t margin = backward_margin(p_.k, p_.padding);
    Share shares[16];
    int64_t count = 0, from = p_.height, to = 0;
    for (int64_t c = 0; c < step; ++c) {
      const Peak& found = peaks[p_.scope == Scope::channel ? first + c
                                : p_.scope == Scope::image ? unit / blocks_.count
                                                           : 0];
      if (found.plane != first + c) continue;
      shares[count++] = {found.row, found.column, c, found.share};
      for (int64_t v = found.row + margin; v < found.row + margin + p_.k; ++v) {
        const int64_t row = p_.rows.source[v];
        if (row >= 0 && row < from) from = row;
        if (row >= to) to = row + 1;
      }
    }
    if (count > 0 && from < to) worker.run(unit, from, to, nullptr, shares, count);
  }

  // How often each of k source positions comes, told at the first of them (0 at the others).
  void count_times(const int64_t* source, int64_t* times) const {
    for (int64_t i = 0; i < p_.k; ++i) {
      times[i] = 1;
      for (int64_t before = 0; before < i; ++before) {
        if (source[before] != source[i] || times[before] == 0) continue;
        ++times[before];
        times[i] = 0;
        break;
      }
    }
  }

  void add_peak(const Peak& found) const {
    const int64_t margin = backward_margin(p_.k, p_.padding);
    const int64_t row = found.row + margin, column = found.column + margin;
    const int64_t sample = found.plane / p_.channels, channel = found.plane % p_.channels;
    const T* x = static_cast<const T*>(x_.data) + sample * x_.n + channel * x_.c;
    T* dx = static_cast<T*>(dx_.data) + sample * dx_.n + channel * dx_.c;
    // A pixel that padding shows several times is visited once: visit(row, column, times).
    Scratch<int64_t> row_times(p_.k), column_times(p_.k);
    count_times(p_.rows.source + row, row_times.data());
    count_times(p_.columns.source + column, column_times.data());
    auto each = [&](auto&& visit) {
      for (int64_t i = 0; i < p_.k; ++i) {
        for (int64_t j = 0; row_times[i] > 0 && j < p_.k; ++j) {
          const int64_t times = row_times[i] * column_times[j];
          if (times > 0) {
            visit(p_.rows.source[row + i], p_.columns.source[column + j], double(times));
          }
        }
      }
    };
    auto value = [&](int64_t i, int64_t j) {
      return i < 0 || j < 0 ? 0.0 : double(widen(x[i * x_.h + j * x_.w]));
    };
    const double n = double(p_.k) * double(p_.k);
    double mean = 0, squares = 0;
    each([&](int64_t i, int64_t j, double times) { mean += times * value(i, j); });
    mean /= n;
    each([&](int64_t i, int64_t j, double times) {
      squares += times * (value(i, j) - mean) * (value(i, j) - mean);
    });
    const double factor = found.share * scale(found.plane) / (n * __builtin_sqrt(squares / n));
    each([&](int64_t i, int64_t j, double times) {
      if (i < 0 || j < 0) return;
      T& target = dx[i * dx_.h + j * dx_.w];
      target = Narrow<T>::from(double(widen(target)) + times * factor * (value(i, j) - mean));
    });
  }

  const Problem& p_;
  const Array& grad_;
  const Array& x_;
  const Peaks& peaks_;
  const Array& dx_;
  const Blocks blocks_;
};

template <class T>
inline void backward(const Problem& p, const Array& grad, const Array& x, const Peaks& peaks,
                     const Array& dx, const Parallel& pool) {
  Backward<T>(p, grad, x, peaks, dx).run(pool);
}

}  // namespace neurn::NEURN_ISA
