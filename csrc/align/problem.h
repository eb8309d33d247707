// What an alignment call is, independent of torch, Python and the instruction set. Functions here
// are always inlined: an out-of-line copy could be one that another instruction set's unit made.
#pragma once

#include <cstdint>

namespace neurn::align {

using Token = uint16_t;

struct Sequence {
  const Token* data;
  int64_t size;
};

// Sequences one after the other: sequence i is tokens[offsets[i] .. offsets[i + 1]).
struct Sequences {
  const Token* tokens;
  const int64_t* offsets;
  int64_t count;
  [[gnu::always_inline]] Sequence operator[](int64_t i) const {
    return {tokens + offsets[i], offsets[i + 1] - offsets[i]};
  }
};

// Whole-number scores. A gap of length L costs gap_open + L * gap_extend; both are <= 0.
struct Scoring {
  int64_t match, mismatch;  // where table is null
  const int32_t* table;     // symbols x symbols, row-major: [a * symbols + b]
  int64_t symbols;          // every token is below it
  int64_t gap_open, gap_extend;
  [[gnu::always_inline]] int64_t operator()(Token a, Token b) const {
    if (table != nullptr) return table[a * symbols + b];
    return a == b ? match : mismatch;
  }
};

// What of the matrix a path may use. A free end costs nothing: a_begin leaves leading tokens of a
// unaligned, and so on. band < 0: none; else only cells with
// min(0, m - n) - band <= j - i <= max(0, m - n) + band, where n and m are the lengths of a and b.
struct Region {
  bool a_begin = false, a_end = false, b_begin = false, b_end = false;
  int64_t band = -1;
};

// One step of a path. up consumes a token of a, left a token of b.
enum class Move : uint8_t { diagonal = 1, up = 2, left = 4 };

// Runs body(context, i) for each i in [0, count), on several threads. Between two of its own items
// the calling thread calls poll; where that says false, no new item begins and run returns false.
struct Parallel {
  int64_t threads;
  bool (*run)(const Parallel&, int64_t count, void* context, void (*body)(void*, int64_t));
  bool (*poll)(void* context, int64_t done, int64_t count);
  void* poll_context;
};

}  // namespace neurn::align
