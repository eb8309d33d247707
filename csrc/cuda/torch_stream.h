// A CUDA tensor's device made current, with torch's stream and memory there. For the files that
// register operators.
#pragma once

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "stream.h"

namespace neurn::cuda {

using CurrentStream = AOTITorchError (*)(int32_t device_index, void** stream);

// torch's function for the current stream, or null. It is in torch's CUDA library, which a torch
// without CUDA lacks and which this library therefore does not depend on: neither a strong nor a
// weak reference would find it.
inline CurrentStream current_stream() {
  static const CurrentStream found = []() -> CurrentStream {
    void* library = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
    if (library == nullptr) return nullptr;
    return reinterpret_cast<CurrentStream>(dlsym(library, "aoti_torch_get_current_cuda_stream"));
  }();
  return found;
}

inline void check_runtime(cudaError_t error) {
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string("CUDA error in neurn: ") + cudaGetErrorString(error));
  }
}

inline Device describe_device(int index) {
  static std::mutex mutex;
  static std::map<int, Device> known;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = known.find(index);
  if (found != known.end()) return found->second;
  const auto attribute = [index](cudaDeviceAttr which) {
    int value = 0;
    check_runtime(cudaDeviceGetAttribute(&value, which, index));
    return value;
  };
  const Device device{attribute(cudaDevAttrMultiProcessorCount),
                      attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin),
                      attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor),
                      attribute(cudaDevAttrComputeCapabilityMajor) >= 9 ? 8 : 1};
  return known.emplace(index, device).first->second;
}

// The device of x made current, its current stream, and memory from torch, which keeps what was
// freed for later work on the same stream.
class Launch {
 public:
  explicit Launch(const torch::stable::Tensor& x) : guard_(x.get_device_index()), like_(x) {
    if (current_stream() == nullptr) {
      throw std::runtime_error("this torch was built without CUDA");
    }
    // The CUDA runtime in this library is not torch's, and has a current device of its own.
    check_runtime(cudaSetDevice(x.get_device_index()));
    TORCH_ERROR_CODE_CHECK(current_stream()(x.get_device_index(), &stream_.handle));
    stream_.device = describe_device(x.get_device_index());
    stream_.workspace = {this, [](void* self, int64_t bytes) {
                           return static_cast<Launch*>(self)->allocate(bytes);
                         }};
  }
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;

  const Stream& stream() const { return stream_; }

 private:
  void* allocate(int64_t bytes) {
    kept_.push_back(torch::stable::new_empty(like_, {bytes}, torch::headeronly::ScalarType::Byte));
    return kept_.back().mutable_data_ptr();
  }

  torch::stable::accelerator::DeviceGuard guard_;
  const torch::stable::Tensor& like_;
  std::vector<torch::stable::Tensor> kept_;
  Stream stream_{};
};

}  // namespace neurn::cuda
