// The memory of a strip, laid out as cpu/strip.h reads it.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include "bit_kernels.h"
#include "buffer.h"

namespace neurn::align {

// All numbers are powers of two: a division would take longer than a cell.
struct StripShape {
  int words, depth;

  explicit StripShape(const BitKernels& kernels)
      : words(kernels.words),
        depth(kernels.strip_depth),
        words_bits_(std::countr_zero(static_cast<unsigned>(words))),
        depth_bits_(std::countr_zero(static_cast<unsigned>(depth))) {}
  int64_t lanes() const { return 64 * words; }
  int64_t rows() const { return lanes() * depth; }
  // Of a strip's state.
  int64_t state_words(int planes) const { return (depth + 1) * words * planes; }
  int64_t lane_of(int64_t row) const { return row >> depth_bits_; }
  int vector_of(int64_t row) const { return static_cast<int>(row & (depth - 1)); }
  int word_of(int64_t row) const {
    return words - 1 - static_cast<int>(lane_of(row) & (words - 1));
  }
  int bit_of(int64_t row) const { return static_cast<int>(lane_of(row) >> words_bits_); }

 private:
  int words_bits_, depth_bits_;
};

// Tokens and marks of a strip's rows.
class StripRows {
 public:
  StripRows(const BitKernels& kernels, int token_planes)
      : kernels_(&kernels),
        shape_(kernels),
        planes_(token_planes),
        tokens_(static_cast<size_t>(shape_.rows() + packed_at_once)),
        words_(static_cast<size_t>(shape_.depth) * shape_.words * (token_planes + 2)) {
    clear();
  }

  void clear() {
    const size_t keep = static_cast<size_t>(shape_.depth) * shape_.words * planes_;
    std::fill(tokens_.begin(), tokens_.end(), 0);
    std::fill(words_.begin(), words_.end(), 0);
    std::fill_n(words_.begin() + static_cast<std::ptrdiff_t>(keep), shape_.depth * shape_.words,
                ~uint64_t{0});
  }

  void place(Sequence query, int64_t first_row) {
    const int depth = shape_.depth;
    for (int64_t i = 0; i < std::min<int64_t>(depth, query.size); ++i) {
      const int64_t row = first_row + i;
      Token* to = tokens_.data() + shape_.vector_of(row) * shape_.lanes() + shape_.lane_of(row);
      for (int64_t j = i; j < query.size; j += depth) *to++ = query.data[j];
    }
  }

  void begin_at(int64_t row) { mark(0, row) &= ~(uint64_t{1} << shape_.bit_of(row)); }
  void select(int64_t row) { mark(1, row) |= uint64_t{1} << shape_.bit_of(row); }

  // What has been placed becomes data.
  void pack() {
    const int words = shape_.words;
    for (int u = 0; u < shape_.depth; ++u) {
      // Each bit's lanes, one for each word, are a sequence; the last word has the first.
      const Token* sequence[64];
      int64_t size[64], first[64] = {};
      for (int bit = 0; bit < 64; ++bit) {
        sequence[bit] = tokens_.data() + u * shape_.lanes() + bit * words;
        size[bit] = packed_at_once;
      }
      uint64_t* own = words_.data() + u * planes_ * words;
      kernels_->pack({sequence, size, first, 64, words, planes_, own + words - 1, -1, words});
    }
  }
  const uint64_t* data() const { return words_.data(); }
  const std::vector<uint64_t>& words() const { return words_; }

 private:
  uint64_t& mark(int which, int64_t row) {
    const int vector = shape_.depth * (planes_ + which) + shape_.vector_of(row);
    return words_[static_cast<size_t>(vector * shape_.words + shape_.word_of(row))];
  }

  const BitKernels* kernels_;
  StripShape shape_;
  int planes_;
  std::vector<Token> tokens_;  // vector after vector
  std::vector<uint64_t> words_;
};

// Loads and stores of a sweep move on by a word a step. A load whose address ends in the same 12
// bits as that of an earlier store waits for it on some processors, and the store for the whole
// step: where each begins within the same 12 bits is chosen so that none catches up with another.
inline constexpr int64_t same_place = 512;

constexpr int64_t next_place(int64_t from, int64_t place) {
  return from + ((place - from) % same_place + same_place) % same_place;
}

// What columns show to rows: planes of numbers, with room before and after for every lane.
class ColumnPlanes {
 public:
  void fill(const BitKernels& kernels, const Token* numbers, int64_t size, int planes) {
    const StripShape shape(kernels);
    const int64_t before = same_place + shape.words, after = shape.lanes();
    stride_ = next_place(before + size + after, shape.words);
    first_ = memory_.get(stride_ * planes) + before;
    for (int k = 0; k < planes; ++k) std::fill_n(first_ + k * stride_ - before, before, 0);
    kernels.fill_columns(numbers, size, after, planes, first_, stride_);
  }

  const uint64_t* first() const { return first_; }
  int64_t stride() const { return stride_; }

 private:
  Buffer memory_;
  uint64_t* first_ = nullptr;
  int64_t stride_ = 0;
};

// Two borders, of which a strip reads one and writes the other, with room before for every lane.
class Borders {
 public:
  void get(int64_t lanes, int64_t columns, int planes) {
    stride_ = next_place(lanes + columns + lanes, 16);
    // A strip writes lanes - 1 columns behind the one it reads.
    const int64_t first = next_place(lanes, read_from + lanes);
    const int64_t second = next_place(first + stride_ * planes, read_from + lanes + 80);
    uint64_t* memory = memory_.get(second + stride_ * planes);
    at_[0] = memory + first;
    at_[1] = memory + second;
  }

  // Column 0 of the border above strip `strip`, and below the one before it.
  uint64_t* above(int64_t strip) const { return at_[strip & 1]; }
  int64_t stride() const { return stride_; }

 private:
  static constexpr int64_t read_from = 176;

  Buffer memory_;
  uint64_t* at_[2] = {};
  int64_t stride_ = 0;
};

}  // namespace neurn::align
