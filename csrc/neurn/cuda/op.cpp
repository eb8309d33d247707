// neurn::forward_stats and neurn::backward of CUDA tensors.
#include <tuple>

#include "../../cuda/torch_stream.h"
#include "../call.h"
#include "kernels.h"

namespace neurn {
namespace {

using cuda::check_runtime;
using cuda::Launch;

std::tuple<Tensor, Tensor, Tensor> forward_stats(const Tensor& x, int64_t kernel_size,
                                                 std::string padding, std::string scope,
                                                 double floor) {
  const Problem p = describe(x, kernel_size, padding, scope, floor);
  const Launch launch(x);
  Stats stats(x, p);
  const Peaks peaks = stats.peaks();
  if (is_empty(p)) {
    const auto handle = static_cast<cudaStream_t>(launch.stream().handle);
    const size_t count = static_cast<size_t>(stats.peak.numel());
    const size_t bytes = p.dtype == DType::float64 ? sizeof(double) : sizeof(float);
    if (count > 0) {
      check_runtime(cudaMemsetAsync(peaks.value, 0, count * bytes, handle));
      check_runtime(cudaMemsetAsync(peaks.index, 0xff, count * sizeof(int64_t), handle));
    }
  } else {
    cuda::forward(p, array_of(x), array_of(stats.y, true), peaks, launch.stream());
  }
  return {stats.y, stats.peak, stats.index};
}

Tensor backward(const Tensor& grad, const Tensor& x, const Tensor& peak, const Tensor& index,
                int64_t kernel_size, std::string padding, std::string scope, double floor) {
  const Problem p = describe(x, kernel_size, padding, scope, floor);
  check_backward(p, grad, x, peak, index);
  for (const Tensor* other : {&grad, &peak, &index}) {
    check_same(other->is_cuda() && other->get_device_index() == x.get_device_index(),
               "grad, peak and index", "the device of x");
  }
  const Launch launch(x);
  Tensor dx = empty_image(x, p.height, p.width);
  if (is_empty(p)) return dx;
  const bool is_table = peak.dim() == 2;
  const cuda::StridedPeaks peaks{
      {const_cast<void*>(peak.const_data_ptr()),
       const_cast<int64_t*>(static_cast<const int64_t*>(index.const_data_ptr()))},
      {is_table ? peak.stride(0) : 0, peak.stride(is_table ? 1 : 0)},
      {is_table ? index.stride(0) : 0, index.stride(is_table ? 1 : 0)},
      is_table ? peak.size(1) : (peak.numel() > 0 ? peak.numel() : 1)};
  cuda::backward(p, array_of(grad), array_of(x), peaks, array_of(dx, true), launch.stream());
  return dx;
}

}  // namespace
}  // namespace neurn

STABLE_TORCH_LIBRARY_IMPL(neurn, CUDA, m) {
  m.impl("forward_stats", TORCH_BOX(&neurn::forward_stats));
  m.impl("backward", TORCH_BOX(&neurn::backward));
}

// Whether the current stream of a CUDA device can be asked for; a torch that is loaded later is not
// seen.
extern "C" [[gnu::visibility("default")]] int neurn_finds_cuda_stream() {
  return neurn::cuda::current_stream() != nullptr;
}
