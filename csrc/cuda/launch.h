// Starting a kernel.
#pragma once

#include <stdexcept>
#include <string>

#include "device.h"
#include "stream.h"

namespace neurn::cuda {

struct Shape {
  int64_t blocks;
  int threads, groups;
  int64_t shared;
  int cluster = 1;
};

#if defined(__CUDACC__)

inline void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  // What is left over would be told as the error of a later call.
  (void)cudaGetLastError();
  if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction) {
    throw std::runtime_error(
        "neurn's library holds no code for this GPU's architecture: build it "
        "with NEURN_CUDA_ARCHITECTURES set to include it");
  }
  throw std::runtime_error(std::string("CUDA error in neurn: ") + cudaGetErrorString(error));
}

template <class... Parameters>
cudaLaunchConfig_t configuration(void (*kernel)(Parameters...), const Shape& shape,
                                 const Stream& stream, cudaLaunchAttribute* attribute) {
  if (shape.shared > 48 * 1024) {
    // All there is, and not what this call needs: another thread may be between here and its
    // launch.
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(stream.device.shared_block)));
  }
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(shape.blocks));
  config.blockDim = dim3(static_cast<unsigned>(shape.threads), static_cast<unsigned>(shape.groups));
  config.dynamicSmemBytes = static_cast<size_t>(shape.shared);
  config.stream = static_cast<cudaStream_t>(stream.handle);
  if (shape.cluster > 1) {
    attribute->id = cudaLaunchAttributeClusterDimension;
    attribute->val.clusterDim = {static_cast<unsigned>(shape.cluster), 1, 1};
    config.attrs = attribute;
    config.numAttrs = 1;
  }
  return config;
}

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), const Shape& shape, const Stream& stream,
            const Arguments&... arguments) {
  if (shape.blocks > INT32_MAX) {
    throw std::runtime_error(
        "the call has more blocks than one CUDA launch can take: cut the batch");
  }
  cudaLaunchAttribute attribute{};
  const cudaLaunchConfig_t config = configuration(kernel, shape, stream, &attribute);
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...));
}

// Whether the kernel was compiled with clusters, and the device, or the part of it that is ours,
// has room for one.
template <class... Parameters>
bool has_room(void (*kernel)(Parameters...), const Shape& shape, const Stream& stream) {
  if (shape.cluster == 1) return true;
  cudaFuncAttributes compiled{};
  check(cudaFuncGetAttributes(&compiled, kernel));
  if (compiled.ptxVersion < 90) return false;
  cudaLaunchAttribute attribute{};
  const cudaLaunchConfig_t config = configuration(kernel, shape, stream, &attribute);
  int clusters = 0;
  if (cudaOccupancyMaxActiveClusters(&clusters, kernel, &config) != cudaSuccess) {
    (void)cudaGetLastError();
    return false;
  }
  return clusters > 0;
}

#else

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), const Shape& shape, const Stream&,
            const Arguments&... arguments) {
  emulator::launch(shape.blocks, shape.threads, shape.groups, shape.shared, shape.cluster,
                   [&] { kernel(arguments...); });
}

template <class... Parameters>
bool has_room(void (*)(Parameters...), const Shape&, const Stream&) {
  return true;
}

#endif

template <class V>
V* allocate(const Stream& stream, int64_t count) {
  const int64_t bytes = count * static_cast<int64_t>(sizeof(V));
  return static_cast<V*>(stream.workspace.allocate(stream.workspace.context, bytes));
}

}  // namespace neurn::cuda
