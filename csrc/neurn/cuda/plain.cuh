// Any window on any image, one thread a window or a pixel, in double: for windows that are larger
// than shared memory has room for. The work grows with k^2.
#pragma once

#include "backward.cuh"
#include "forward.cuh"

namespace neurn::cuda {

struct PlainCall {
  Problem p;
  Array grad, x, out;                           // y or dx
  Peaks peaks;                                  // forward
  PeakView view;                                // backward
  int64_t scopes, per_scope, blocks_per_scope;  // outputs of a scope; all, where scope is none
  Peak* partial_peaks;                          // of each block
  double* partial_sums;                         // of each block
  double* weights;                              // of each output: a, mean
  float* unrounded;
};

struct Output {
  int64_t scope, flat;  // flat: in contiguous (N, C, H, W) order
  int64_t sample, channel, row, column;
  bool exists;
};

// Blocks do not reach from one scope into another.
NEURN_DEVICE Output output_of_thread(const PlainCall& call) {
  const Problem& p = call.p;
  Output o;
  o.scope = blockIdx.x / call.blocks_per_scope;
  const int64_t within =
      blockIdx.x % call.blocks_per_scope * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  o.exists = within < call.per_scope;
  o.flat = o.scope * call.per_scope + within;
  int64_t rest = o.flat;
  o.column = rest % p.out_width;
  rest /= p.out_width;
  o.row = rest % p.out_height;
  rest /= p.out_height;
  o.channel = rest % p.channels;
  o.sample = rest / p.channels;
  return o;
}

template <class T>
__global__ void plain_forward(const __grid_constant__ PlainCall call, bool writes) {
  using F = typename Compute<T>::Type;
  const Problem& p = call.p;
  const Team own = team();
  const Output o = output_of_thread(call);
  F sigma = 0;
  if (o.exists) {
    sigma = static_cast<F>(direct_window<T>(p, call.x, o.sample, o.channel, o.row, o.column).sigma);
  }
  if (writes) {
    if (!o.exists) return;
    if (p.scope != Scope::none) {
      const F top = static_cast<const F*>(call.peaks.value)[o.scope];
      sigma = normalized(sigma, divisor_of(top, p.floor));
    }
    T* y = static_cast<T*>(call.out.data);
    assign(y[o.sample * call.out.n + o.channel * call.out.c + o.row * call.out.h +
             o.column * call.out.w],
           sigma);
    return;
  }
  Peak* shared = reinterpret_cast<Peak*>(shared_memory());
  Peak best = no_peak();
  if (o.exists) best = {peak_bits(sigma), o.flat - o.scope * call.per_scope};
  best = warp_peak(best);
  if (own.lane() == 0) shared[own.warp()] = best;
  __syncthreads();
  if (own.thread == 0) call.partial_peaks[blockIdx.x] = largest(shared, own.warps());
}

// a and mean of every window.
template <class T>
__global__ void plain_weights(const __grid_constant__ PlainCall call) {
  const Problem& p = call.p;
  const Output o = output_of_thread(call);
  double moved = 0;
  if (o.exists) {
    const WindowStats stats = direct_window<T>(p, call.x, o.sample, o.channel, o.row, o.column);
    const T* grad = static_cast<const T*>(call.grad.data);
    const double g = widen(grad[o.sample * call.grad.n + o.channel * call.grad.c +
                                o.row * call.grad.h + o.column * call.grad.w]);
    const double count = static_cast<double>(p.k) * static_cast<double>(p.k);
    call.weights[2 * o.flat] = stats.sigma == 0 ? 0 : g / (count * stats.sigma);
    call.weights[2 * o.flat + 1] = stats.mean;
    moved = g * stats.sigma;
  }
  const double total = block_sum(moved, reinterpret_cast<double*>(shared_memory()));
  if (threadIdx.x == 0) call.partial_sums[blockIdx.x] = total;
}

// Every pixel gathers from its windows.
template <class T>
__global__ void plain_gather(const __grid_constant__ PlainCall call) {
  using F = typename Compute<T>::Type;
  const Problem& p = call.p;
  const int64_t flat = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (flat >= p.samples * p.channels * p.height * p.width) return;
  const int64_t column = flat % p.width, row = flat / p.width % p.height;
  const int64_t plane = flat / p.width / p.height;
  const int64_t sample = plane / p.channels, channel = plane % p.channels;
  const double x = widen(static_cast<const T*>(
      call.x.data)[sample * call.x.n + channel * call.x.c + row * call.x.h + column * call.x.w]);
  const double* weights = call.weights + 2 * plane * p.out_height * p.out_width;
  double sum = 0;
  visit_windows(row, p.height, p.out_height, p.k, p.padding, [&](int64_t i, int64_t row_times) {
    visit_windows(
        column, p.width, p.out_width, p.k, p.padding, [&](int64_t j, int64_t column_times) {
          const double* window = weights + 2 * (i * p.out_width + j);
          if (window[0] != 0) {
            sum += static_cast<double>(row_times * column_times) * window[0] * (x - window[1]);
          }
        });
  });
  const int64_t scope = scope_of(p, sample, channel);
  double divisor = 1;
  if (p.scope != Scope::none) {
    divisor = divisor_of(static_cast<double>(call.view.top<F>(scope)), p.floor);
  }
  sum = normalized(sum, divisor);
  T* dx = static_cast<T*>(call.out.data);
  assign(dx[sample * call.out.n + channel * call.out.c + row * call.out.h + column * call.out.w],
         sum);
  if constexpr (sizeof(T) == 2) {
    const PeakPatch patch = peak_patch<F>(p, call.view, scope);
    if (!patch.exists || patch.sample != sample || patch.channel != channel) return;
    const int64_t at = position_in_patch(patch.row, row, p.height, p.k, p.padding);
    const int64_t to = position_in_patch(patch.column, column, p.width, p.k, p.padding);
    if (at >= 0 && to >= 0) {
      call.unrounded[(scope * p.k + at) * p.k + to] = static_cast<float>(sum);
    }
  }
}

}  // namespace neurn::cuda
