// Aligned working memory of one thread.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include "simd.h"

namespace neurn::NEURN_ISA {

template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t count) : count_(count), bytes_((count * sizeof(T) + 63) / 64 * 64) {
    data_ = static_cast<T*>(std::aligned_alloc(64, bytes_ > 0 ? bytes_ : 64));
    if (data_ == nullptr) throw std::bad_alloc();
  }
  ~Scratch() { std::free(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  int64_t count() const { return count_; }
  T* data() { return data_; }
  T& operator[](int64_t i) { return data_[i]; }
  void zero() { memset(static_cast<void*>(data_), 0, bytes_); }

 private:
  int64_t count_, bytes_;
  T* data_;
};

}  // namespace neurn::NEURN_ISA
