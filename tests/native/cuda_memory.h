// Device memory where there is no device.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace neurn::cuda {

// Memory of a call, to the byte, and poisoned.
struct Memory {
  std::vector<std::unique_ptr<char[]>> blocks;
  int64_t taken = 0;
  static void* allocate(void* self, int64_t bytes) {
    auto& [blocks, taken] = *static_cast<Memory*>(self);
    taken += bytes;
    blocks.emplace_back(new char[static_cast<size_t>(bytes)]);
    std::memset(blocks.back().get(), 0xff, static_cast<size_t>(bytes));
    return blocks.back().get();
  }
};

}  // namespace neurn::cuda
