// neurn::forward_stats and neurn::backward of CUDA tensors.
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <torch/csrc/stable/accelerator.h>

#include <map>
#include <mutex>
#include <tuple>

#include "../call.h"
#include "kernels.h"

namespace neurn {
namespace {

using CurrentStream = AOTITorchError (*)(int32_t device_index, void** stream);

// torch's function for the current stream, or null. It is in torch's CUDA library, which a torch
// without CUDA lacks and which this library therefore does not depend on: neither a strong nor a
// weak reference would find it.
CurrentStream current_stream() {
  static const CurrentStream found = []() -> CurrentStream {
    void* library = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
    if (library == nullptr) return nullptr;
    return reinterpret_cast<CurrentStream>(dlsym(library, "aoti_torch_get_current_cuda_stream"));
  }();
  return found;
}

void check(cudaError_t error) {
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string("CUDA error in neurn: ") + cudaGetErrorString(error));
  }
}

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, device));
  return value;
}

cuda::Device describe_device(int index) {
  static std::mutex mutex;
  static std::map<int, cuda::Device> known;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = known.find(index);
  if (found != known.end()) return found->second;
  const int major = attribute(cudaDevAttrComputeCapabilityMajor, index);
  const cuda::Device device{attribute(cudaDevAttrMultiProcessorCount, index),
                            attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, index),
                            attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor, index),
                            major >= 9 ? 8 : 1};
  return known.emplace(index, device).first->second;
}

// The device of x made current, its current stream, and memory from torch, which keeps what was
// freed for later work on the same stream.
class Launch {
 public:
  explicit Launch(const Tensor& x) : guard_(x.get_device_index()), like_(x) {
    if (current_stream() == nullptr) {
      throw std::runtime_error("this torch was built without CUDA");
    }
    // The CUDA runtime in this library is not torch's, and has a current device of its own.
    check(cudaSetDevice(x.get_device_index()));
    TORCH_ERROR_CODE_CHECK(current_stream()(x.get_device_index(), &stream_.handle));
    stream_.device = describe_device(x.get_device_index());
    stream_.workspace = {this, [](void* self, int64_t bytes) {
                           return static_cast<Launch*>(self)->allocate(bytes);
                         }};
  }
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;

  const cuda::Stream& stream() const { return stream_; }

 private:
  void* allocate(int64_t bytes) {
    kept_.push_back(empty({bytes}, {1}, ScalarType::Byte, like_));
    return kept_.back().mutable_data_ptr();
  }

  torch::stable::accelerator::DeviceGuard guard_;
  const Tensor& like_;
  std::vector<Tensor> kept_;
  cuda::Stream stream_{};
};

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
      check(cudaMemsetAsync(peaks.value, 0, count * bytes, handle));
      check(cudaMemsetAsync(peaks.index, 0xff, count * sizeof(int64_t), handle));
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
  return neurn::current_stream() != nullptr;
}
