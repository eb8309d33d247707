// Numbers in place of values.
#pragma once

#include <cstdint>
#include <vector>

#include "problem.h"

namespace neurn::align {

// Gives each value, at least `low` and below low + range, its rank among the distinct ones, modulo
// 2^16. All are seen, then ranked, then written.
class Ranks {
 public:
  explicit Ranks(int64_t range, int64_t low = 0) : low_(low), rank_(static_cast<size_t>(range)) {}

  template <class T>
  void see(const T* values, int64_t count) {
    Token* const rank = rank_.data();
    for (int64_t i = 0; i < count; ++i) rank[place(values[i])] = 1;
  }

  // Returns the distinct values in order.
  template <class T>
  std::vector<T> ranked() {
    std::vector<T> distinct;
    for (size_t p = 0; p < rank_.size(); ++p) {
      if (rank_[p] == 0) continue;
      rank_[p] = static_cast<Token>(distinct.size());
      distinct.push_back(static_cast<T>(static_cast<uint64_t>(low_) + p));
    }
    if (!distinct.empty()) {
      first_ = place(distinct.front());
      consecutive_ = place(distinct.back()) - first_ + 1 == distinct.size();
    }
    return distinct;
  }

  template <class T>
  void write(const T* values, int64_t count, Token* out) const {
    if (consecutive_) {  // without a look at the table
      for (int64_t i = 0; i < count; ++i) out[i] = static_cast<Token>(place(values[i]) - first_);
    } else {
      const Token* const rank = rank_.data();
      for (int64_t i = 0; i < count; ++i) out[i] = rank[place(values[i])];
    }
  }

 private:
  template <class T>
  size_t place(T value) const {
    return static_cast<size_t>(static_cast<uint64_t>(value) - static_cast<uint64_t>(low_));
  }

  const int64_t low_;
  std::vector<Token> rank_;  // 1 until it is known
  size_t first_ = 0;
  bool consecutive_ = false;
};

}  // namespace neurn::align
