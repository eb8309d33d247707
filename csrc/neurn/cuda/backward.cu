// Chooses and starts the kernels of neurn::backward.
#include "../../cuda/launch.h"
#include "backward.cuh"
#include "kernels.h"
#include "plain.cuh"
#include "plan.h"

namespace neurn::cuda {
namespace {

constexpr int sum_bytes = 32 * sizeof(double);

PeakView view_of(const StridedPeaks& peaks) {
  return {peaks.peaks.value,
          peaks.peaks.index,
          {peaks.value_strides[0], peaks.value_strides[1]},
          {peaks.index_strides[0], peaks.index_strides[1]},
          peaks.columns};
}

template <class T>
float* allocate_unrounded(const Problem& p, const Stream& stream) {
  if (sizeof(T) != 2 || p.scope == Scope::none) return nullptr;
  return allocate<float>(stream, p.scopes() * p.k * p.k);
}

template <class T>
void run_share(const Problem& p, const Array& x, const StridedPeaks& peaks, const Array& dx,
               const double* partial, int64_t per_scope, const float* unrounded,
               const Stream& stream) {
  const ShareCall call{p, x, dx, view_of(peaks), partial, per_scope, unrounded};
  launch(add_share<T>, {p.scopes(), reducing_threads(per_scope), 1, sum_bytes}, stream, call);
}

template <class T>
void run_plain(const Problem& p, const Array& grad, const Array& x, const StridedPeaks& peaks,
               const Array& dx, const Stream& stream) {
  constexpr int threads = 128;
  const bool normalized = p.scope != Scope::none;
  const int64_t outputs = p.samples * p.channels * p.out_height * p.out_width;
  PlainCall call{};
  call.p = p;
  call.grad = grad;
  call.x = x;
  call.out = dx;
  call.view = view_of(peaks);
  call.scopes = normalized ? p.scopes() : 1;
  call.per_scope = outputs / call.scopes;
  call.blocks_per_scope = ceil_div(call.per_scope, threads);
  const Shape shape{call.scopes * call.blocks_per_scope, threads, 1, sum_bytes};
  call.partial_sums = allocate<double>(stream, shape.blocks);
  call.weights = allocate<double>(stream, 2 * outputs);
  call.unrounded = allocate_unrounded<T>(p, stream);
  launch(plain_weights<T>, shape, stream, call);
  const int64_t pixels = p.samples * p.channels * p.height * p.width;
  launch(plain_gather<T>, {ceil_div(pixels, threads), threads, 1, 0}, stream, call);
  if (!normalized) return;
  run_share<T>(p, x, peaks, dx, call.partial_sums, call.blocks_per_scope, call.unrounded, stream);
}

template <class T, int K>
void run_tiles(const Problem& p, const Array& grad, const Array& x, const StridedPeaks& peaks,
               const Array& dx, const Stream& stream) {
  using F = typename Compute<T>::Type;
  const BackwardPlan plan = plan_backward<F>(p, x, stream.device, together(K));
  if (plan.plain) return run_plain<T>(p, grad, x, peaks, dx, stream);
  BackwardCall call{};
  call.p = p;
  call.grad = grad;
  call.x = x;
  call.dx = dx;
  call.peaks = view_of(peaks);
  call.tiling = plan.tiling;
  call.tiles = p.samples * plan.tiling.tiles;
  call.whole = plan.whole;
  const bool shares = p.scope != Scope::none && !plan.whole;
  if (shares) {
    call.partial = allocate<double>(stream, call.tiles);
    call.unrounded = allocate_unrounded<T>(p, stream);
  }
  launch(backward_tiles<T, K>,
         {ceil_div(call.tiles, plan.groups), plan.threads, plan.groups, plan.shared}, stream, call);
  if (!shares) return;
  run_share<T>(p, x, peaks, dx, call.partial, call.tiles / p.scopes(), call.unrounded, stream);
}

template <class T>
void run(const Problem& p, const Array& grad, const Array& x, const StridedPeaks& peaks,
         const Array& dx, const Stream& stream) {
  switch (p.k) {
    case 1:
      return run_plain<T>(p, grad, x, peaks, dx, stream);
    case 3:
      return run_tiles<T, 3>(p, grad, x, peaks, dx, stream);
    case 5:
      return run_tiles<T, 5>(p, grad, x, peaks, dx, stream);
    case 7:
      return run_tiles<T, 7>(p, grad, x, peaks, dx, stream);
    default:
      return run_tiles<T, 0>(p, grad, x, peaks, dx, stream);
  }
}

}  // namespace

void backward(const Problem& p, const Array& grad, const Array& x, const StridedPeaks& peaks,
              const Array& dx, const Stream& stream) {
  switch (p.dtype) {
    case DType::float16:
      return run<Half>(p, grad, x, peaks, dx, stream);
    case DType::bfloat16:
      return run<BFloat16>(p, grad, x, peaks, dx, stream);
    case DType::float32:
      return run<float>(p, grad, x, peaks, dx, stream);
    case DType::float64:
      return run<double>(p, grad, x, peaks, dx, stream);
  }
}

}  // namespace neurn::cuda
