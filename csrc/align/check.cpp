#include "check.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace neurn::align {
namespace {

[[noreturn]] void refuse(const std::string& sentence) { throw std::invalid_argument(sentence); }

}  // namespace

void check_offsets(const char* name, const int64_t* offsets, int64_t sequences, int64_t tokens) {
  int64_t before = 0;
  for (int64_t i = 0; i <= sequences; ++i) {
    if (offsets[i] < before || offsets[i] > tokens) {
      refuse(std::string(name) + " must rise from 0 to the number of tokens, " +
             std::to_string(tokens) + ", got " + std::to_string(offsets[i]) + " at position " +
             std::to_string(i));
    }
    before = offsets[i];
  }
}

void check_pairs(const int64_t* pairs, int64_t count, int64_t sequences) {
  for (int64_t i = 0; i < 2 * count; ++i) {
    if (pairs[i] < 0 || pairs[i] >= sequences) {
      refuse("pairs must hold numbers of sequences, 0 to " + std::to_string(sequences - 1) +
             ", got " + std::to_string(pairs[i]));
    }
  }
}

void check_tokens(const char* name, Sequence tokens, const Scoring& scoring) {
  if (scoring.table == nullptr || tokens.size == 0) return;
  const Token largest = *std::max_element(tokens.data, tokens.data + tokens.size);
  if (largest >= scoring.symbols) {
    refuse(std::string(name) + " must be below the substitution table's size, " +
           std::to_string(scoring.symbols) + ", got " + std::to_string(largest));
  }
}

void check_scoring(const Scoring& scoring) {
  if (scoring.gap_open > 0 || scoring.gap_extend > 0) {
    const bool opens = scoring.gap_open > 0;
    refuse(std::string(opens ? "gap_open" : "gap_extend") + " must be <= 0, got " +
           std::to_string(opens ? scoring.gap_open : scoring.gap_extend));
  }
}

}  // namespace neurn::align
