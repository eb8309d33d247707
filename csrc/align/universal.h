// Alignment of one pair under any scoring, by anti-diagonals in strips of rows.
#pragma once

#include <cstdint>
#include <vector>

#include "engine.h"
#include "kernels.h"
#include "problem.h"

namespace neurn::align {

// Keeps its memory from pair to pair. T (int32_t or int64_t) must hold four times the problem's
// bound.
template <class T>
class Universal {
 public:
  Universal(const Scoring& scoring, const Region& region) : scoring_(scoring), region_(region) {}

  int64_t score(Sequence a, Sequence b, const Poll& poll);

  // Scores once, noting every strip's first row and some of its anti-diagonals, then computes again
  // the blocks between those that the path crosses.
  int64_t align(Sequence a, Sequence b, const Poll& poll, std::vector<Move>& path);

 private:
  struct Border {
    int64_t first = 0;
    std::vector<T> best, up;
  };

  bool affine() const { return scoring_.gap_open != 0; }
  void prepare(Sequence a, Sequence b);
  void first_row(Border& border) const;
  void size_border(Border& border, int64_t row) const;
  Strip<T> strip(int64_t top, int64_t rows, const Border& above, Border* below);
  void clear();
  int64_t first_diagonal(const Strip<T>& p) const;
  int64_t end_diagonal(const Strip<T>& p) const;
  void run(const Strip<T>& p, int64_t from, int64_t to, const Poll& poll) const;
  void save(const Strip<T>& p, int64_t t, std::vector<T>& front) const;
  void restore(const Strip<T>& p, int64_t t, const std::vector<T>& front) const;

  const Scoring scoring_;
  const Region region_;
  int64_t n_ = 0, m_ = 0, low_ = 0, high_ = 0, rows_ = 0;
  std::vector<T> a_, b_, front_;
  std::vector<uint8_t> steps_;
};

}  // namespace neurn::align
