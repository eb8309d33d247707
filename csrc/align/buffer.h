// Memory for kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace neurn::align {

// Memory that is not cleared before use, grows when asked, losing what it held, and begins where
// vectors should. A thread keeps a few blocks for its next buffers: fresh pages cost more than the
// arithmetic of a short pair.
class Buffer {
 public:
  Buffer() = default;
  ~Buffer() { give_back(); }
  Buffer(Buffer&& other) noexcept
      : at_(std::exchange(other.at_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(size_, other.size_);
    return *this;
  }

  template <class T = uint64_t>
  T* get(int64_t count) {
    const size_t bytes = static_cast<size_t>(count) * sizeof(T);
    if (bytes > size_) grow(bytes);
    return static_cast<T*>(at_);
  }

 private:
  void grow(size_t bytes);
  void give_back();

  void* at_ = nullptr;
  size_t size_ = 0;
};

}  // namespace neurn::align
