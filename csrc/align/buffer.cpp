#include "buffer.h"

#include <new>
#include <vector>

namespace neurn::align {
namespace {

constexpr std::align_val_t alignment{4096};  // strip_rows.h
// What a thread keeps at most, and what the sizes of blocks are multiples of.
#if defined(__SANITIZE_ADDRESS__)
// Each block is fresh and as large as was asked for, so that what leaves it is seen.
constexpr size_t most_kept_bytes = 0, granule = 1;
#else
constexpr size_t most_kept_bytes = size_t{1} << 24, granule = 4096;
#endif

struct Block {
  void* at;
  size_t size;
};

void release(const Block& block) { ::operator delete(block.at, alignment); }

// Blocks that wait for their next use.
class Stock {
 public:
  Stock() = default;
  ~Stock() {
    for (const Block& block : blocks_) release(block);
  }
  Stock(const Stock&) = delete;
  Stock& operator=(const Stock&) = delete;

  Block take(size_t bytes) {
    // Not a much larger one, which another buffer may need.
    auto best = blocks_.end();
    for (auto block = blocks_.begin(); block != blocks_.end(); ++block) {
      const bool fits = block->size >= bytes && block->size <= 4 * bytes + granule;
      if (fits && (best == blocks_.end() || block->size < best->size)) best = block;
    }
    if (best == blocks_.end()) {
      const size_t size = (bytes + granule - 1) / granule * granule;
      return {::operator new(size, alignment), size};
    }
    const Block out = *best;
    blocks_.erase(best);
    bytes_ -= out.size;
    return out;
  }

  void give(const Block& block) {
    if (bytes_ + block.size > most_kept_bytes) return release(block);
    blocks_.push_back(block);
    bytes_ += block.size;
  }

 private:
  std::vector<Block> blocks_;
  size_t bytes_ = 0;
};

Stock& stock() {
  thread_local Stock out;
  return out;
}

}  // namespace

void Buffer::grow(size_t bytes) {
  give_back();
  const Block block = stock().take(bytes);
  at_ = block.at;
  size_ = block.size;
}

void Buffer::give_back() {
  if (at_ != nullptr) stock().give({at_, size_});
  at_ = nullptr;
  size_ = 0;
}

}  // namespace neurn::align
