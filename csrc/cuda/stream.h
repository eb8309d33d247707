// Where CUDA work is put, without torch: pointers are the device's, and nothing waits.
#pragma once

#include <cstdint>

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

}  // namespace neurn::cuda
