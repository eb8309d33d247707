// Scratch memory that items of work hand on to each other.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "problem.h"

namespace neurn::align {

template <class T>
class ScratchPool {
 public:
  std::unique_ptr<T> take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (idle_.empty()) return std::make_unique<T>();
    std::unique_ptr<T> out = std::move(idle_.back());
    idle_.pop_back();
    return out;
  }

  void give(std::unique_ptr<T> scratch) {
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(scratch));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<T>> idle_;
};

// Scores of the pairs of which one sequence has no tokens.
inline void write_gaps_only(int64_t gap, const Sequences& a, const Sequences& b, bool symmetric,
                            int64_t* out, int64_t stride, int64_t open = 0) {
  const auto write = [&](int64_t i, int64_t j) {
    const int64_t size = a[i].size + b[j].size;
    out[i * stride + j] = size == 0 ? 0 : open + gap * size;
    if (symmetric) out[j * stride + i] = out[i * stride + j];
  };
  for (int64_t i = 0; i < a.count; ++i) {
    if (a[i].size > 0) continue;
    for (int64_t j = 0; j < b.count; ++j) write(i, j);
  }
  for (int64_t j = 0; j < b.count; ++j) {
    if (b[j].size > 0) continue;
    for (int64_t i = 0; i < a.count; ++i) write(i, j);
  }
}

}  // namespace neurn::align
