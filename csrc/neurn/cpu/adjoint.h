// The adjoint of padding and window: which windows a pixel's gradient gathers from.
#pragma once

#include "output.h"

namespace neurn::NEURN_ISA {

// What the pixels near one end of an axis gather through reflected or replicated padding, from
// window(p), the p-th from the end: add(pixel, sum), pixels being counted from the end, too.
template <class V, class Window, class Add>
[[gnu::always_inline]] inline void fold_padding(int64_t windows, int64_t k, Padding padding,
                                                Window&& window, Add&& add) {
  if (padding != Padding::reflect && padding != Padding::replicate) return;
  V sum{}, total{};
  for (int64_t p = 0; p < k / 2; ++p) {
    if (p < windows) sum += window(p);
    total += sum;
    // The padding of windows 0 .. p shows pixel k / 2 - p.
    if (padding == Padding::reflect) add(k / 2 - p, sum);
  }
  if (padding == Padding::replicate) add(0, total);
}

// The first window, in windows of the axis, that sees source position 0.
inline int64_t first_window(int64_t k, Padding padding) {
  return padding == Padding::circular ? 0 : padding == Padding::valid ? 1 - k : -(k / 2);
}

// Sums of K neighbouring rows, from each of R on: what they have in common is summed once.
template <class F, int K, int R>
[[gnu::always_inline]] inline void sum_rows(const F* const* rows, int64_t e, Vec<F>* sums) {
  static_assert(R == 4);
  if constexpr (K == 3) {
    const Vec<F> upper = load(rows[1] + e) + load(rows[2] + e);
    const Vec<F> lower = load(rows[3] + e) + load(rows[4] + e);
    sums[0] = load(rows[0] + e) + upper;
    sums[1] = upper + load(rows[3] + e);
    sums[2] = load(rows[2] + e) + lower;
    sums[3] = lower + load(rows[5] + e);
  } else {
    // Rows R - 1 .. K - 1 are in all R windows.
    Vec<F> sum = load(rows[R - 1] + e);
#pragma GCC unroll 8
    for (int t = R; t < K; ++t) sum += load(rows[t] + e);
#pragma GCC unroll 4
    for (int r = R - 1; r >= 0; --r) {
      if (r < R - 1) sum += load(rows[r] + e);
      sums[r] = sum;
    }
    Vec<F> below{};
#pragma GCC unroll 4
    for (int r = 1; r < R; ++r) {
      const Vec<F> row = load(rows[K - 1 + r] + e);
      below = r == 1 ? row : below + row;
      sums[r] += below;
    }
  }
}

// What reaches rows u .. u + R - 1 through the padding, from summed(row), a row of windows.
template <class F, int K, int R, class Summed>
[[gnu::always_inline]] inline void fold_rows(const Problem& p, int64_t u, Summed&& summed,
                                             Vec<F>* sums) {
  const int64_t last = p.height - 1;
  auto add = [=](int64_t row, Vec<F> sum) {
    if (row >= u && row < u + R) sums[row - u] += sum;
  };
  if (u <= K / 2) fold_padding<Vec<F>>(p.height, K, p.padding, summed, add);
  if (u + R - 1 >= last - K / 2) {
    fold_padding<Vec<F>>(
        p.height, K, p.padding, [=](int64_t row) { return summed(last - row); },
        [=](int64_t row, Vec<F> sum) { add(last - row, sum); });
  }
}

template <class F>
inline double sum_lanes(Vec<F> v) {
  constexpr int wide = Simd<double>::lanes, parts = Simd<F>::lanes / wide;
  typedef F Part __attribute__((vector_size(sizeof(F) * wide)));
  Part part[parts];
  memcpy(part, &v, sizeof v);
  Vec<double> sums = __builtin_convertvector(part[0], Vec<double>);
  for (int i = 1; i < parts; ++i) sums += __builtin_convertvector(part[i], Vec<double>);
  double lanes[wide];
  memcpy(lanes, &sums, sizeof sums);
  for (int half = wide / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

// What is added to the gradient of one output: the share of the scope whose maximum it is.
struct Share {
  int64_t row, column, channel;  // of the block
  double value;
};

// The gradient with respect to the outputs of one block, told by windows.
template <class T>
struct Gradient {
  const Problem* problem;
  Pixels<T> pixels;
  int64_t channel_stride, step;
  const Share* shares;
  int64_t share_count;

  // Outputs of a row of windows, from one window to another.
  template <class F>
  void read_row(int64_t window_row, int64_t from, int64_t to, F* out) const {
    const Problem& p = *problem;
    const int64_t margin = backward_margin(p.k, p.padding), stride = pixels.column_stride;
    const int64_t row = wrapped(window_row - margin, p.out_height);
    const T* source = pixels.origin + row * pixels.row_stride;
    if (margin == 0 && step == 1) {
      read_run(source + from * stride, stride, to - from, out);
    } else if (margin == 0 && stride == step && channel_stride == 1) {
      read_run(source + from * stride, 1, (to - from) * step, out);
    } else {
      for (int64_t m = from; m < to; ++m) {
        read_run(source + wrapped(m - margin, p.out_width) * stride, channel_stride, step,
                 out + (m - from) * step);
      }
    }
    for (int64_t i = 0; i < share_count; ++i) {
      if (shares[i].row != row) continue;
      for (int64_t m = from; m < to; ++m) {
        if (wrapped(m - margin, p.out_width) != shares[i].column) continue;
        out[(m - from) * step + shares[i].channel] += static_cast<F>(shares[i].value);
      }
    }
  }

  // Rows of windows from window_row on, `stride` apart: where they are, or in `copy`.
  template <class F>
  const F* rows(int64_t window_row, int64_t count, int64_t from, int64_t to, F* copy, int64_t pitch,
                int64_t* stride) const {
    const Problem& p = *problem;
    if constexpr (Same<T, F>::value) {
      if (pixels.column_stride == step && (step == 1 || channel_stride == 1) &&
          backward_margin(p.k, p.padding) == 0 && share_count == 0 &&
          (to - from) * step >= Simd<F>::lanes && window_row + count <= p.rows.outputs) {
        *stride = pixels.row_stride;
        return pixels.origin + window_row * pixels.row_stride + from * step;
      }
    }
    *stride = pitch;
    for (int64_t r = 0; r < count; ++r) {
      if (window_row + r < p.rows.outputs) {
        read_row(window_row + r, from, to, copy + r * pitch);
      } else {
        memset(copy + r * pitch, 0, pitch * sizeof(F));
      }
    }
    return copy;
  }

 private:
  // Circular padding lets windows wrap around.
  static int64_t wrapped(int64_t i, int64_t size) { return (i % size + size) % size; }
};

}  // namespace neurn::NEURN_ISA
