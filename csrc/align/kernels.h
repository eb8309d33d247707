// What every instruction set's kernels are given and do. No functions here with a body: an
// out-of-line copy could be one that another instruction set's unit made.
#pragma once

#include <cstdint>

namespace neurn::align {

// A row of scores: that of column j stands at [j - first]. Outside it: out of the band.
template <class T>
struct Row {
  int64_t first, count;
  T* best;
  T* up;  // of paths that end in an up gap; affine gaps only
};

// What a cell's byte says of the paths that reach it; Move's diagonal and up come first. Gaps that
// open or extend are noted where they are affine.
enum Step : uint8_t {
  step_diagonal = 1,
  step_up = 2,
  step_up_opens = 8,
  step_up_extends = 16,
  step_left_opens = 32,
  step_left_extends = 64
};

// A strip of a matrix, rows top + 1 .. top + rows, computed anti-diagonal by anti-diagonal:
// cell (top + r, j) lies on anti-diagonal t = r + j. T holds every score, and `out`, which stands
// for a cell out of the band, is below every score after any addition.
template <class T>
struct Strip {
  int64_t top, rows, columns;
  int64_t low, high;  // only cells with low <= j - i <= high
  const T* a;         // token of row top + r: a[r]; times the number of symbols for a table
  const T* b;         // token of column j: b[b_size - j]
  int64_t b_size;
  const int32_t* table;    // score of two tokens: table[a + b]; or null
  T match, mismatch;       // where there is no table
  T gap_open, gap_extend;  // a gap of length L costs gap_open + L * gap_extend
  T out;
  bool free_first_column;         // up moves in column 0 cost nothing
  int64_t free_row, free_column;  // r and j where gaps cost nothing; -1: none
  Row<const T> above;             // row top
  Row<T> below;                   // row top + rows, written where count > 0
  // Scores of the last anti-diagonals, r = -1 .. rows + 1: t is h[t % 3], up[t % 2], left. All
  // `out` before the first one. up and left: affine gaps only.
  T* h[3];
  T* up[2];
  T* left;
  // Bytes of Step flags, [(t - steps_first) * steps_stride + r]; or null.
  uint8_t* steps;
  int64_t steps_first, steps_stride;
};

struct Kernels {
  const char* name;
  // Anti-diagonals from .. to - 1 of a strip.
  void (*sweep32)(const Strip<int32_t>&, int64_t from, int64_t to);
  void (*sweep64)(const Strip<int64_t>&, int64_t from, int64_t to);
};

// The fastest kernels this processor runs.
const Kernels& kernels();

}  // namespace neurn::align
