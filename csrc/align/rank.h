// Numbers in place of values.
#pragma once

#include <cstdint>
#include <vector>

#include "problem.h"

namespace neurn::align {

// Gives each value, at least `low` and below low + range, its rank among the distinct ones, modulo
// 2^16; returns these in order.
template <class T>
std::vector<T> rank(const T* values, int64_t count, T low, int64_t range, Token* out) {
  std::vector<Token> place(static_cast<size_t>(range));
  const auto at = [&](int64_t i) {
    return static_cast<size_t>(static_cast<uint64_t>(values[i]) - static_cast<uint64_t>(low));
  };
  for (int64_t i = 0; i < count; ++i) place[at(i)] = 1;
  std::vector<T> distinct;
  for (size_t p = 0; p < place.size(); ++p) {
    if (place[p] == 0) continue;
    place[p] = static_cast<Token>(distinct.size());
    distinct.push_back(static_cast<T>(low + static_cast<T>(p)));
  }
  for (int64_t i = 0; i < count; ++i) out[i] = place[at(i)];
  return distinct;
}

}  // namespace neurn::align
