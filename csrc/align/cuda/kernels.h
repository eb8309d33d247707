// The aligner's CUDA kernels as the host calls them, without torch: pointers are the device's, work
// is put on a stream.
#pragma once

#include <cstdint>

#include "../../cuda/stream.h"

namespace neurn::align::cuda {

using neurn::cuda::Device;
using neurn::cuda::Stream;

// Pairs of numbers of sequences: a list (count, 2), or every one of `rows` with every one of
// `columns`, row by row.
struct Pairs {
  const int64_t* list;
  const int64_t* rows;
  const int64_t* columns;
  int64_t row_count, column_count;
  int64_t count;
};

// As torch.ops.neurn.nw_scores takes them, one element after the other.
struct Problem {
  const int64_t* tokens;
  int64_t token_count;
  const int64_t* offsets;  // sequences + 1
  int64_t sequences;
  Pairs pairs;
  bool floating;             // what the substitution's elements are: double, else int64_t
  const void* substitution;  // symbols x symbols, or match and mismatch
  int64_t symbols;           // 0: two scores; -1: a table of no symbols
  double gap_open, gap_extend;
};

// Elements of the substitution.
constexpr int64_t scores_of(const Problem& p) {
  return p.symbols > 0 ? p.symbols * p.symbols : p.symbols == 0 ? 2 : 0;
}

// Scores of every pair, int32_t or, where the substitution is floating, double. Where waits is
// false nothing waits for the device: all kinds of kernels are put on the stream, and those that
// the scores on the device do not call for end at once. Returns false where an argument does not
// hold what it must; where nothing waits, scores are then NaN or the least int32_t instead.
// Throws std::runtime_error with one sentence.
bool scores(const Problem& problem, void* out, bool waits, const Stream& stream);
// Memory that long pairs may take for what is between their strips; one pair at least has room.
// Tests give less, so that pairs wait for each other.
extern int64_t most_border_bytes;

// Where the best alignments of pairs go: moves (1 diagonal, 2 up, 4 left) of pair p are
// moves[begins[p] .. starts[p + 1]).
struct Paths {
  void* scores;     // as scores() writes them
  int64_t* starts;  // pairs + 1
  int64_t* begins;  // pairs
  void* context;
  uint8_t* (*moves)(void* context, int64_t count);  // memory for them
};

// The first best alignment of every pair in a list, as ../universal.cpp chooses it, and its score.
// Waits for the device. memory: bytes that it may take beside its results. Returns false and throws
// as scores().
bool paths(const Problem& problem, const Paths& out, int64_t memory, const Stream& stream);

}  // namespace neurn::align::cuda
