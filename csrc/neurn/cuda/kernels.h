// The CUDA kernels as the host calls them, without torch: pointers are the device's, work is put
// on a stream, and nothing waits.
#pragma once

#include "../problem.h"

namespace neurn::cuda {

// What the choice of kernels depends on.
struct Device {
  int processors;
  int64_t shared_block, shared_processor;  // bytes of shared memory
  int cluster;                             // blocks that can share it; 1: none
};

// Device memory that lives until the work on the stream is done.
struct Workspace {
  void* context;
  void* (*allocate)(void* context, int64_t bytes);
};

struct Stream {
  Device device;
  Workspace workspace;
  void* handle;
};

// Maxima of any strides: [scope / columns][scope % columns].
struct StridedPeaks {
  Peaks peaks;
  int64_t value_strides[2], index_strides[2], columns;
};

// Problem::rows and Problem::columns are not used. Both throw std::runtime_error with one sentence.
void forward(const Problem& p, const Array& x, const Array& y, const Peaks& peaks,
             const Stream& stream);
void backward(const Problem& p, const Array& grad, const Array& x, const StridedPeaks& peaks,
              const Array& dx, const Stream& stream);

}  // namespace neurn::cuda
