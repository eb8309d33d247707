// Kernels on bit planes, for linear gaps and two scores: raw memory in, one table for every
// instruction set.
#pragma once

#include <cstdint>

#include "problem.h"

namespace neurn::align {

// equal and unequal of cpu/bits.h. Differences need `planes` bits, tokens `token_planes`.
struct BitScoring {
  int64_t equal, unequal;
  int planes, token_planes;
};

inline constexpr int most_planes = 4, most_words = 8;

// Numbers of token planes that kernels are compiled for, in order. The sanitizers' builds have
// fewer: each takes long to compile there.
#if defined(NEURN_FEW_KERNELS)
inline constexpr int token_plane_counts[] = {16};
#else
inline constexpr int token_plane_counts[] = {3, 5, 8, 16};
#endif

enum class SweepKind {
  set,       // targets begin inside, selected rows
  long_set,  // besides, borders: a query has more rows than a strip
  begin,     // borders, a target and queries begin
  middle,    // borders
  join,      // borders, a target begins, and with it other rows, of which no query begins: those
             // before end below
  trace_begin,
  trace_middle  // as begin and middle, and traces
};

// What cpu/strip.h says, in words.
struct StripCall {
  BitScoring scoring;
  SweepKind kind;
  const uint64_t* column_token;
  int64_t column_stride;
  const uint64_t* column_starts;
  const uint64_t* rows;  // token[vectors of a strip][token_planes], keep, selected
  // join: the rows before, what they are shown, and 1 from the target's beginning on.
  const uint64_t *rows_before, *column_before, *column_started;
  uint64_t* state;  // v[vectors of a strip][planes], h[planes]
  // Where the state goes before those steps keep_at, keep_at + keep_every .. that are neither the
  // call's first nor behind its last, one behind the other; or null.
  uint64_t* kept;
  int64_t keep_at, keep_every;
  int64_t begin, end;               // steps
  uint8_t* selected;                // 4 bytes for each vector and step
  uint64_t *border, *border_below;  // Borders of strip_rows.h
  int64_t border_stride;
  uint64_t* trace;
};

// What cpu/windows.h says: steps of parts of a strip's lanes, all of them begun.
inline constexpr int windows_at_once = 4;
struct Window {
  const uint64_t* state;  // before step `begin`, of all lanes
  int64_t begin, first_lane;
};
struct WindowsCall {
  BitScoring scoring;
  const uint64_t* column_token;
  int64_t column_stride;
  const uint64_t* rows;
  Window windows[windows_at_once];
  // By plane, a vector with what comes to each window's first lane, where it is there; words from
  // one step's to the next.
  const uint64_t* above;
  int64_t above_stride;
  int64_t steps;  // a multiple of a vector's words; as many words behind the last are read
  // As a strip's, with lanes where cpu/windows.h puts them.
  uint64_t* trace;
};

// What cpu/lanes.h says: a pair a lane, `words` words of lanes. Queries end with the last row.
struct LaneCall {
  BitScoring scoring;
  bool shared;              // columns have one word, which stands for all
  const uint64_t* rows;     // [row][token plane][word]
  const uint64_t* columns;  // [column][token plane][word, or one]
  int64_t row_count, column_count;
  const uint64_t* begun;  // [row][word] for the first `ragged` rows: queries that have begun
  int64_t ragged;
  uint64_t* difference;  // [column][plane][word], scratch
  // Sums of differences along the last row: copy c of entry e goes to sum[c * count + e], that of
  // lane lane[e] + c * copy_lanes up to its last column. Entries in the order of size, > 0.
  const int32_t* lane;
  const int64_t* size;
  int64_t count, copies, copy_lanes;
  int64_t* sum;
};

// Token planes of 64 sequences: word[position * position_stride + k * plane_stride], bit l is
// sequence l's, at position - first[l].
struct PackCall {
  const Token* const* sequence;
  const int64_t* size;
  const int64_t* first;
  int count;
  int64_t positions;
  int token_planes;
  uint64_t* word;
  int64_t position_stride, plane_stride;
};
// Of a sequence of at least as many tokens they are read fastest.
inline constexpr int packed_at_once = 16;

struct BitKernels {
  int words;        // of a vector
  int strip_depth;  // a strip has as many vectors of 64 * words rows
  void (*run_strip)(const StripCall&);
  // Of two, both `middle` or both `set`, as many steps as the first has: faster than one after the
  // other. Null where it is not.
  void (*run_two_strips)(const StripCall&, const StripCall&);
  // Traces windows of one strip side by side. Null where there is nothing to gain.
  void (*trace_windows)(const WindowsCall&);
  // Planes 0 .. token_planes - 1 of size columns, and `after` more words behind them; `words`
  // words before each plane are zeros.
  void (*fill_columns)(const Token* tokens, int64_t size, int64_t after, int token_planes,
                       uint64_t* planes, int64_t stride);
  // Sum over steps of the differences of selected word w of vector u.
  int64_t (*sum_selected)(const uint8_t* selected, int64_t steps, int u, int w, int planes);
  // The number whose bits are bit 63 of the planes' words, added up over count <= 64 columns; bit c
  // of bits[plane] is that of column c.
  int64_t (*sum_border)(const uint64_t* border, int64_t stride, int planes, int64_t count,
                        uint64_t* bits);
  // Bits from `first` on, of bit_words words that are so far apart, to bit 63 of at least count
  // words, which is all that a sweep reads of them; up to a vector's words are written before and
  // behind. Behind all bits are zeros.
  void (*unpack_border)(const uint64_t* bits, int64_t bit_words, int64_t apart, int64_t first,
                        int64_t count, uint64_t* border);
  // Token planes [row][plane][word] of in_word sequences for each word, with a share of its lanes
  // each: those of word w are sequence[w * in_word ..].
  void (*fill_rows)(const Token* const* sequence, int64_t in_word, int64_t rows, int token_planes,
                    uint64_t* planes);
  void (*run_lanes)(const LaneCall&);
  void (*pack)(const PackCall&);
};

// The fastest that this processor runs.
const BitKernels& bit_kernels();

}  // namespace neurn::align
