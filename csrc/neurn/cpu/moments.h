// Sliding moments of every k x k patch at a cost that does not depend on k.
//
// Raw moments lose the deviation where it is small beside the mean, and running sums carry rounding
// from pixels that left the window. Here every sum is of differences to a pixel inside the window:
//   M = sum_j M_j + (1/k) (sum_j c_j^2 - (sum_j c_j)^2 / k)
// where M_j is the squared deviation within column j of the patch, and c_j its column sum minus
// that of one column of the same patch. Neighbouring windows share a core (rows or columns common
// to all of them), which holds the reference; what they do not share is a prefix or a suffix sum.
// A constant patch gives exactly 0, and a NaN reaches only the patches that contain it.
//
// The vertical half works on rows (lanes are columns); its results are transposed, so that in the
// horizontal half lanes are rows and the windows slide from vector to vector.
#pragma once

#include "../problem.h"
#include "element.h"
#include "scratch.h"

namespace neurn::NEURN_ISA {

// The pixels of a block: `step` channels that lie side by side in memory, or one plane (step 1).
template <class T>
struct Pixels {
  const T* origin;
  int64_t row_stride, column_stride;
};

// Reads padded pixels [first, first + count) of padded row v.
template <class T, class F>
inline void read_padded_row(const Pixels<T>& pixels, const Axis& rows, const Axis& columns,
                            int64_t step, int64_t v, int64_t first, int64_t count, F* out) {
  const int64_t row = rows.source[v];
  if (row < 0) {
    memset(out, 0, count * step * sizeof(F));
    return;
  }
  const T* source = pixels.origin + row * pixels.row_stride;
  const int64_t stride = pixels.column_stride;
  const int64_t end = first + count;
  auto read_mapped = [&](int64_t from, int64_t to) {
    for (int64_t q = from; q < to; ++q) {
      const int64_t column = columns.source[q];
      const T* pixel = source + (column < 0 ? 0 : column) * stride;
      F* target = out + (q - first) * step;
      if (step == 1) {
        *target = column < 0 ? F(0) : static_cast<F>(widen(*pixel));
        continue;
      }
      for (int64_t c = 0; c < step; ++c) {
        target[c] = column < 0 ? F(0) : static_cast<F>(widen(pixel[c]));
      }
    }
  };
  int64_t inner = columns.lead < first ? first : columns.lead;
  inner = inner > end ? end : inner;
  int64_t outer = columns.lead + columns.size;
  outer = outer > end ? end : (outer < inner ? inner : outer);
  read_mapped(first, inner);
  const T* dense = source + (inner - columns.lead) * stride;
  F* target = out + (inner - first) * step;
  if (step == 1) {
    read_run(dense, stride, outer - inner, target);
  } else if (stride == step) {
    read_run(dense, 1, (outer - inner) * step, target);
  } else {
    for (int64_t q = 0; q < outer - inner; ++q) {
      read_run(dense + q * stride, 1, step, target + q * step);
    }
  }
  read_mapped(outer, end);
}

template <class F>
class Moments {
 public:
  static constexpr int64_t N = Simd<F>::lanes;

  // Windows of k over up to `step` interleaved channels, at most max_windows windows a strip.
  Moments(int64_t k, int64_t step, int64_t max_windows, bool with_sum)
      : k_(k),
        pitch_(round_up((max_windows + k - 1) * step, N) + round_up(step, N)),
        slots_(k - 1 + 2 * N),
        ring_(slots_ * pitch_),
        column_sums_(N * pitch_),
        deviation_(N * pitch_),
        difference_(N * pitch_),
        sums_(with_sum ? N * pitch_ : 0),
        suffixes_(4 * k * N),
        row_pointers_(N + k - 1) {
    ring_.zero();
    column_sums_.zero();
  }

  static int64_t round_up(int64_t value, int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
  }

  // Starts a strip of `step` channels at padded column `first`, `windows` windows wide.
  void start(int64_t step, int64_t first, int64_t windows) {
    step_ = step;
    first_ = first;
    windows_ = windows;
    next_row_ = 0;
  }

  // Moments of the windows that start at padded rows o .. o + N - 1 (o never decreases in a strip),
  // emit(window, phase, M, sum) once per window column and channel (phase), lanes being rows. M is
  // k^2 times the variance, `sum` the patch's sum of x - origin (only WithSum). Rows past the axis
  // repeat its last one.
  //
  // hint(x) runs between the vector columns x of the vertical half: the place to ask for memory
  // that is needed next while the arithmetic goes on.
  template <bool WithSum, class T, class Hint, class Emit>
  void tile(const Pixels<T>& pixels, const Axis& rows, const Axis& columns, int64_t o,
            const F* origin, Hint&& hint, Emit&& emit) {
    const int64_t last = rows.padded(k_) - 1;
    const int64_t needed = o + N + k_ - 1 > last + 1 ? last + 1 : o + N + k_ - 1;
    if (next_row_ < o) next_row_ = o;
    for (; next_row_ < needed; ++next_row_) {
      read_padded_row(pixels, rows, columns, step_, next_row_, first_, windows_ + k_ - 1,
                      slot(next_row_));
    }
    clear_lost_digits();
    for (int64_t t = 0; t < N + k_ - 1; ++t) {
      row_pointers_[t] = slot(o + t > last ? last : o + t);
    }
    if (k_ >= 16 && N >= 16) {
      vertical<16, WithSum>(origin, hint);
    } else if (k_ >= 8 && N >= 8) {
      vertical<8, WithSum>(origin, hint);
    } else if (k_ >= 4 && N >= 4) {
      vertical<4, WithSum>(origin, hint);
    } else if (k_ >= 2) {
      vertical<2, WithSum>(origin, hint);
    } else {
      vertical<1, WithSum>(origin, hint);
    }
    for (int64_t phase = 0; phase < step_; ++phase) horizontal<WithSum>(phase, emit);
    exact_ = exact_ && !lost_digits();
  }

  // Whether every square so far was in F's range; what was not has lost digits or all of itself.
  bool exact() const { return exact_; }
  void forget() { exact_ = true; }

 private:
  F* slot(int64_t v) { return ring_.data() + v % slots_ * pitch_; }

  template <int G, bool WithSum, class Hint>
  void vertical(const F* origin, Hint&& hint) {
    constexpr int group = G < N ? G : static_cast<int>(N);
    const F inverse_k = F(1) / F(k_);
    const F* const* rows = row_pointers_.data();
    const int64_t elements = round_up((windows_ + k_ - 1) * step_, N);
    for (int64_t x = 0; x < elements; x += N) {
      hint(x);
      Vec<F> deviation[N];
      for (int64_t g = 0; g < N; g += group) {
        vertical_group<group>(rows + g, x, inverse_k, deviation + g, g);
      }
      transpose<F>(deviation);
#pragma GCC unroll 16
      for (int64_t t = 0; t < N; ++t) store(deviation_.data() + (x + t) * N, deviation[t]);
    }
    for (int64_t x = 0; x < elements; x += N) {
      Vec<F> difference[N];
#pragma GCC unroll 16
      for (int64_t t = 0; t < N; ++t) {
        const F* reference = rows[t / group * group + group - 1] + x;
        const F* sum = column_sums_.data() + t * pitch_ + x;
        difference[t] =
            (load(sum + step_) - load(sum)) + (load(reference + step_) - load(reference)) * F(k_);
      }
      transpose<F>(difference);
#pragma GCC unroll 16
      for (int64_t t = 0; t < N; ++t) store(difference_.data() + (x + t) * N, difference[t]);
    }
    if constexpr (WithSum) {
      for (int64_t x = 0; x < elements; x += N) {
        Vec<F> sum[N];
#pragma GCC unroll 16
        for (int64_t t = 0; t < N; ++t) {
          const F* reference = rows[t / group * group + group - 1] + x;
          sum[t] = load(column_sums_.data() + t * pitch_ + x) +
                   (load(reference) - load(origin + x)) * F(k_);
        }
        transpose<F>(sum);
#pragma GCC unroll 16
        for (int64_t t = 0; t < N; ++t) store(sums_.data() + (x + t) * N, sum[t]);
      }
    }
  }

  // Windows rows[t] .. rows[t + k - 1] for t < G; row G - 1 is in all of them: the reference.
  template <int G>
  [[gnu::always_inline]] void vertical_group(const F* const* rows, int64_t x, F inverse_k,
                                             Vec<F>* deviation, int64_t t0) {
    const Vec<F> reference = load(rows[G - 1] + x);
    Vec<F> left_sum[G], left_square[G];
    // Not a plain 0: a window of one row must show a NaN or an infinity.
    left_sum[G - 1] = left_square[G - 1] = reference - reference;
#pragma GCC unroll 16
    for (int t = G - 2; t >= 0; --t) {
      const Vec<F> d = load(rows[t] + x) - reference;
      left_sum[t] = left_sum[t + 1] + d;
      left_square[t] = left_square[t + 1] + d * d;
    }
    Vec<F> sum{}, square{};
    for (int64_t r = G; r < k_; ++r) {
      const Vec<F> d = load(rows[r] + x) - reference;
      sum += d;
      square += d * d;
    }
#pragma GCC unroll 16
    for (int t = 0; t < G; ++t) {
      if (t > 0) {
        const Vec<F> d = load(rows[k_ - 1 + t] + x) - reference;
        sum += d;
        square += d * d;
      }
      const Vec<F> s = sum + left_sum[t];
      deviation[t] = (square + left_square[t]) - s * s * inverse_k;
      store(column_sums_.data() + (t0 + t) * pitch_ + x, s);
    }
  }

  template <bool WithSum, class Emit>
  [[gnu::always_inline]] void horizontal(int64_t phase, Emit&& emit) {
    const F inverse_k = F(1) / F(k_);
    const F* deviation = deviation_.data() + phase * N;
    const F* difference = difference_.data() + phase * N;
    const F* sums = WithSum ? sums_.data() + phase * N : nullptr;
    const int64_t stride = step_ * N;
    F* left = suffixes_.data();
    const int64_t plane = k_ * N;
    for (int64_t m = 0; m < windows_; m += k_) {
      const int64_t count = windows_ - m < k_ ? windows_ - m : k_;
      const int64_t core = m + count - 1;
      Vec<F> c{}, sum{}, square{}, inside{}, total{};
      for (int64_t t = count - 1;; --t) {
        store(left + t * N, sum);
        store(left + plane + t * N, square);
        store(left + 2 * plane + t * N, inside);
        if constexpr (WithSum) store(left + 3 * plane + t * N, total);
        if (t == 0) break;
        const int64_t at = (m + t - 1) * stride;
        c -= load(difference + at);
        sum += c;
        square += c * c;
        inside += load(deviation + at);
        if constexpr (WithSum) total += load(sums + at);
      }
      c = sum = square = Vec<F>{};
      inside = load(deviation + core * stride);
      if constexpr (WithSum) total = load(sums + core * stride);
      auto advance = [&](int64_t column) {
        c += load(difference + (column - 1) * stride);
        sum += c;
        square += c * c;
        inside += load(deviation + column * stride);
        if constexpr (WithSum) total += load(sums + column * stride);
      };
      for (int64_t column = core + 1; column < m + k_; ++column) advance(column);
      for (int64_t t = 0; t < count; ++t) {
        if (t > 0) advance(m + k_ - 1 + t);
        const Vec<F> s = sum + load(left + t * N);
        const Vec<F> spread = (square + load(left + plane + t * N)) - s * s * inverse_k;
        const Vec<F> within = inside + load(left + 2 * plane + t * N);
        Vec<F> patch_sum{};
        if constexpr (WithSum) patch_sum = total + load(left + 3 * plane + t * N);
        emit(m + t, phase, within + spread * inverse_k, patch_sum);
      }
    }
  }

  const int64_t k_, pitch_, slots_;
  bool exact_ = true;
  int64_t step_ = 1, first_ = 0, windows_ = 0, next_row_ = 0;
  Scratch<F> ring_;         // padded rows
  Scratch<F> column_sums_;  // N rows of column sums, relative to the reference row
  Scratch<F> deviation_;    // transposed: M_j
  Scratch<F> difference_;   // transposed: column sum j + 1 minus column sum j
  Scratch<F> sums_;         // transposed: column sums of x - origin
  Scratch<F> suffixes_;
  Scratch<const F*> row_pointers_;
};

}  // namespace neurn::NEURN_ISA
