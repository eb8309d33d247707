// What the arrays of a call may hold. Throws std::invalid_argument with one sentence.
#pragma once

#include "problem.h"

namespace neurn::align {

// offsets must rise from >= 0 to at most `tokens`.
void check_offsets(const char* name, const int64_t* offsets, int64_t sequences, int64_t tokens);
// pairs (count, 2) must hold numbers of sequences.
void check_pairs(const int64_t* pairs, int64_t count, int64_t sequences);
// With a table every token must be below its size.
void check_tokens(const char* name, Sequence tokens, const Scoring& scoring);
void check_scoring(const Scoring& scoring);

}  // namespace neurn::align
