// The maximum is one patch's deviation, so its pixels move the whole scope: what that adds to the
// gradient, once the sum over the scope is known.
#pragma once

#include "direct.cuh"
#include "peak.cuh"

namespace neurn::cuda {

// Maxima as backward gets them: of any strides.
struct PeakView {
  const void* value;
  const int64_t* index;
  int64_t value_strides[2], index_strides[2];
  int64_t columns;  // scopes are `columns` to a row

  template <class F>
  NEURN_DEVICE F top(int64_t scope) const {
    return static_cast<const F*>(
        value)[scope / columns * value_strides[0] + scope % columns * value_strides[1]];
  }
  NEURN_DEVICE int64_t place(int64_t scope) const {
    return index[scope / columns * index_strides[0] + scope % columns * index_strides[1]];
  }
};

struct PeakPatch {
  bool exists;
  int64_t sample, channel, row, column;  // of the output
};

// A place outside the scope is as good as none.
template <class F>
NEURN_DEVICE PeakPatch peak_patch(const Problem& p, const PeakView& peaks, int64_t scope) {
  if (p.scope == Scope::none) return {false, 0, 0, 0, 0};
  int64_t index = peaks.place(scope);
  const int64_t plane = p.out_height * p.out_width;
  if (!(peaks.top<F>(scope) > F(0)) || index < 0 || index >= scope_planes(p) * plane) {
    return {false, 0, 0, 0, 0};
  }
  const int64_t at = scope * scope_planes(p) + index / plane;
  return {true, at / p.channels, at % p.channels, index % plane / p.out_width, index % p.out_width};
}

// Which of a window's k positions, the window being at output `at`, first shows source position u;
// -1: none.
NEURN_DEVICE int64_t position_in_patch(int64_t at, int64_t u, int64_t size, int64_t k,
                                       Padding padding) {
  const int64_t away = u < at ? at - u : u - at;
  if (away > k && size - away > k) return -1;
  for (int64_t t = 0; t < k; ++t) {
    if (padded_source(at - lead_of(k, padding) + t, size, padding) == u) return t;
  }
  return -1;
}

struct ShareCall {
  Problem p;
  Array x, dx;
  PeakView peaks;
  const double* partial;  // sums of grad sigma, `per_scope` of each scope
  int64_t per_scope;
  // Half precision: the gradient of the patch's pixels before rounding, k x k of each scope.
  const float* unrounded;
};

// The sum of a value over a block, the same for all its threads; always added in the same order.
NEURN_DEVICE double block_sum(double value, double* shared) {
  const Team own = team();
  for (int offset = 16; offset > 0; offset /= 2) value += shuffle_down(value, offset);
  __syncthreads();
  if (own.lane() == 0) shared[own.warp()] = value;
  __syncthreads();
  double sum = 0;
  for (int i = 0; i < own.warps(); ++i) sum += shared[i];
  return sum;
}

// One block for each scope.
template <class T>
__global__ void __launch_bounds__(1024) add_share(const __grid_constant__ ShareCall call) {
  using F = typename Compute<T>::Type;
  const Problem& p = call.p;
  const Team own = team();
  double* shared = reinterpret_cast<double*>(shared_memory());
  const int64_t scope = blockIdx.x;
  const PeakPatch patch = peak_patch<F>(p, call.peaks, scope);
  if (!patch.exists) return;
  double total = 0;
  for (int64_t i = own.thread; i < call.per_scope; i += own.threads) {
    total += call.partial[scope * call.per_scope + i];
  }
  total = block_sum(total, shared);

  const T* x =
      static_cast<const T*>(call.x.data) + patch.sample * call.x.n + patch.channel * call.x.c;
  T* dx = static_cast<T*>(call.dx.data) + patch.sample * call.dx.n + patch.channel * call.dx.c;
  const int64_t lead = lead_of(p.k, p.padding), pixels = p.k * p.k;
  auto row_of = [&](int64_t i) {
    return padded_source(patch.row - lead + i / p.k, p.height, p.padding);
  };
  auto column_of = [&](int64_t i) {
    return padded_source(patch.column - lead + i % p.k, p.width, p.padding);
  };
  auto value = [&](int64_t i) {
    const int64_t u = row_of(i), v = column_of(i);
    return u < 0 || v < 0 ? 0.0 : static_cast<double>(widen(x[u * call.x.h + v * call.x.w]));
  };
  const double middle = value(pixels / 2), count = static_cast<double>(pixels);
  double sum = 0;
  for (int64_t i = own.thread; i < pixels; i += own.threads) sum += value(i) - middle;
  const double mean = block_sum(sum, shared) / count;
  double squares = 0;
  for (int64_t i = own.thread; i < pixels; i += own.threads) {
    const double d = value(i) - middle - mean;
    squares += d * d;
  }
  const double sigma = sqrt(block_sum(squares, shared) / count);
  const double divisor = static_cast<double>(call.peaks.top<F>(scope)) + p.floor;
  const double factor = -total / divisor / divisor / (count * sigma);
  // A pixel that padding shows several times is visited once.
  for (int64_t i = own.thread; i < pixels; i += own.threads) {
    const int64_t u = row_of(i), v = column_of(i);
    if (u < 0 || v < 0) continue;
    int64_t row_times = 0, column_times = 0;
    bool first = true;
    for (int64_t t = 0; t < p.k; ++t) {
      if (row_of(t * p.k) == u) {
        first = first && (row_times > 0 || t == i / p.k);
        ++row_times;
      }
      if (column_of(t) == v) {
        first = first && (column_times > 0 || t == i % p.k);
        ++column_times;
      }
    }
    if (!first) continue;
    T& target = dx[u * call.dx.h + v * call.dx.w];
    double base = static_cast<double>(widen(target));
    if constexpr (sizeof(T) == 2) base = call.unrounded[scope * pixels + i];
    const double added = static_cast<double>(row_times * column_times) * factor;
    assign(target, base + added * (value(i) - middle - mean));
  }
}

}  // namespace neurn::cuda
