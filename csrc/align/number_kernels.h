// Kernels with one pair a lane, in numbers, for any scores and gaps: raw memory in, one table for
// every instruction set.
#pragma once

#include <cstdint>

#include "problem.h"

namespace neurn::align {

// How cpu/numbers.h holds a scoring: differences in numbers of 1, 2 or 4 bytes, unsigned where gaps
// are linear, else signed.
struct NumberScoring {
  int bytes;
  bool affine;
  int64_t open;            // of a gap; 0 where linear
  int64_t shift, least;    // a score s of two tokens stands as max(s + shift, least)
  int64_t equal, unequal;  // these of two scores; where there is no table
};

// Rows of up to vector_bytes / bytes pairs. Numbers and tokens have `bytes` bytes, in vectors of
// lanes, which lie at multiples of vector_bytes where they are to be fast.
struct NumberCall {
  NumberScoring scoring;
  // Of each row: its token's scores with every column's, [column][lane]. Null: tokens are compared,
  const void* const* scores;
  const void* rows;     // [row][lane]
  const void* columns;  // [column][lane]
  int64_t row_count, column_count;
  bool first;  // the first rows; else state is that of the row above
  // Of queries that end with the last row: all bits of the lanes whose query has begun, [row][lane]
  // of the first `ragged` rows.
  const void* begun;
  int64_t ragged;
  void* state;  // [column][horizontal difference; affine: up gap][lane]
  // Sums of differences along the last row up to each lane's last column; lanes in the order of
  // their sizes, which are > 0.
  const int32_t* lane;
  const int64_t* size;
  int64_t count;
  int64_t* sum;
};

// out[i] = row[tokens[i]], numbers of `bytes` bytes, tokens below symbols: of one byte up to 256.
struct LookUpCall {
  int bytes;
  int64_t symbols;
  const void* row;
  const void* tokens;
  int64_t count;  // a multiple of vector_bytes / bytes
  void* out;
};

struct NumberKernels {
  int vector_bytes;
  int64_t quick_symbols;  // up to so many, bytes are looked up in no time
  void (*run)(const NumberCall&);
  void (*look_up)(const LookUpCall&);
};

// Longest row for which sums are exact.
inline constexpr int64_t most_number_columns = int64_t{1} << 15;

// The fastest that this processor runs.
const NumberKernels& number_kernels();

}  // namespace neurn::align
