#include "universal.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace neurn::align {
namespace {

// Rows of a strip whose anti-diagonals stay in the first-level cache.
template <class T>
constexpr int64_t strip_rows(bool affine) {
  return (affine ? 4096 : 8192) / int64_t(sizeof(T));
}
// Anti-diagonals between two questions whether to stop: some milliseconds. Less work than
// poll_cells is not worth a question.
constexpr int64_t poll_diagonals = 4096;
constexpr int64_t poll_cells = int64_t{1} << 20;
// Bytes of steps that are kept at once rather than computed in blocks.
constexpr int64_t direct_bytes = int64_t{1} << 22;

template <class T>
constexpr T out_of_band = T(-1) << (sizeof(T) * 8 - 2);

void sweep(const Strip<int32_t>& p, int64_t from, int64_t to) { kernels().sweep32(p, from, to); }
void sweep(const Strip<int64_t>& p, int64_t from, int64_t to) { kernels().sweep64(p, from, to); }

// Walks from (n, m) towards (0, 0) and notes its moves, last first.
class Walk {
 public:
  Walk(int64_t n, int64_t m, bool affine, std::vector<Move>& path)
      : i(n), j(m), affine_(affine), path_(path) {}

  int64_t i, j;

  bool inside() const { return i > 0 && j > 0; }

  // Of all best ways on: diagonal, else up, else left. An affine gap may have to go on, to end,
  // or be free to do either.
  void take(uint8_t step) {
    if (may_end_ && (step & step_diagonal)) {
      move(Move::diagonal);
    } else if (gap_ == Move::up || (may_end_ && (step & step_up))) {
      move(Move::up);
      if (affine_) follow(Move::up, step & step_up_opens, step & step_up_extends);
    } else {
      move(Move::left);
      if (affine_) follow(Move::left, step & step_left_opens, step & step_left_extends);
    }
  }

  void finish() {
    while (i > 0) move(Move::up);
    while (j > 0) move(Move::left);
  }

 private:
  void move(Move m) {
    path_.push_back(m);
    if (m != Move::left) --i;
    if (m != Move::up) --j;
    may_end_ = true;
    gap_ = Move::diagonal;
  }
  void follow(Move gap, bool opens, bool extends) {
    may_end_ = opens;
    gap_ = extends ? gap : Move::diagonal;
  }

  const bool affine_;
  bool may_end_ = true;
  Move gap_ = Move::diagonal;  // up or left: that gap may go on
  std::vector<Move>& path_;
};

}  // namespace

template <class T>
void Universal<T>::prepare(Sequence a, Sequence b) {
  n_ = a.size;
  m_ = b.size;
  const int64_t wide = n_ + m_;
  const int64_t band = region_.band < 0 ? wide : std::min(region_.band, wide);
  low_ = std::min<int64_t>(0, m_ - n_) - band;
  high_ = std::max<int64_t>(0, m_ - n_) + band;
  const T times = scoring_.table != nullptr ? T(scoring_.symbols) : T(1);
  a_.resize(n_ + 1);
  for (int64_t i = 0; i < n_; ++i) a_[i + 1] = T(a.data[i] * times);
  b_.resize(m_);
  for (int64_t j = 0; j < m_; ++j) b_[m_ - 1 - j] = T(b.data[j]);
}

template <class T>
void Universal<T>::size_border(Border& border, int64_t row) const {
  border.first = std::max<int64_t>(0, row + low_);
  const int64_t count = std::min(m_, row + high_) - border.first + 1;
  border.best.assign(std::max<int64_t>(count, 0), out_of_band<T>);
  if (affine()) border.up.assign(border.best.size(), out_of_band<T>);
}

template <class T>
void Universal<T>::first_row(Border& border) const {
  size_border(border, 0);
  for (int64_t j = 0; j < int64_t(border.best.size()); ++j) {
    border.best[j] =
        j == 0 || region_.b_begin ? T(0) : T(scoring_.gap_open + j * scoring_.gap_extend);
  }
}

template <class T>
Strip<T> Universal<T>::strip(int64_t top, int64_t rows, const Border& above, Border* below) {
  Strip<T> p{};
  p.top = top;
  p.rows = rows;
  p.columns = m_;
  p.low = low_;
  p.high = high_;
  p.a = a_.data() + top;
  p.b = b_.data();
  p.b_size = m_;
  p.table = scoring_.table;
  p.match = T(scoring_.match);
  p.mismatch = T(scoring_.mismatch);
  p.gap_open = T(scoring_.gap_open);
  p.gap_extend = T(scoring_.gap_extend);
  p.out = out_of_band<T>;
  p.free_first_column = region_.a_begin;
  p.free_row = region_.b_end && top + rows == n_ ? rows : -1;
  p.free_column = region_.a_end ? m_ : -1;
  p.above = {above.first, int64_t(above.best.size()), above.best.data(), above.up.data()};
  if (below != nullptr) {
    size_border(*below, top + rows);
    p.below = {below->first, int64_t(below->best.size()), below->best.data(), below->up.data()};
  }
  // Anti-diagonals of r = -1 .. rows + 1, each from a cache line's start on.
  const int64_t stride = (rows_ + 3 + 15) / 16 * 16;
  front_.resize(stride * (affine() ? 6 : 3));
  T* front = front_.data() + 1;
  for (int k = 0; k < 3; ++k) p.h[k] = front + k * stride;
  if (affine()) {
    p.up[0] = front + 3 * stride;
    p.up[1] = front + 4 * stride;
    p.left = front + 5 * stride;
  }
  return p;
}

template <class T>
void Universal<T>::clear() {
  std::fill(front_.begin(), front_.end(), out_of_band<T>);
}

template <class T>
int64_t Universal<T>::first_diagonal(const Strip<T>& p) const {
  return std::max<int64_t>(0, p.top + low_);
}

template <class T>
int64_t Universal<T>::end_diagonal(const Strip<T>& p) const {
  return 1 + std::min({p.rows + m_, 2 * p.rows + p.top + high_, 2 * m_ - p.top - low_});
}

template <class T>
void Universal<T>::run(const Strip<T>& p, int64_t from, int64_t to, const Poll& poll) const {
  for (int64_t t = from; t < to; t += poll_diagonals) {
    const int64_t end = std::min(to, t + poll_diagonals);
    sweep(p, t, end);
    if (poll && (end - t) * p.rows >= poll_cells && !poll()) throw Stopped{};
  }
}

// What anti-diagonal t is computed from.
template <class T>
void Universal<T>::save(const Strip<T>& p, int64_t t, std::vector<T>& front) const {
  const int64_t count = p.rows + 3;
  front.clear();
  front.reserve(count * (affine() ? 4 : 2));
  for (const T* line : {p.h[(t + 1) % 3], p.h[(t + 2) % 3]}) {
    front.insert(front.end(), line - 1, line - 1 + count);
  }
  if (!affine()) return;
  for (const T* line : {p.up[(t + 1) % 2], p.left}) {
    front.insert(front.end(), line - 1, line - 1 + count);
  }
}

template <class T>
void Universal<T>::restore(const Strip<T>& p, int64_t t, const std::vector<T>& front) const {
  const int64_t lines = affine() ? 4 : 2;
  const int64_t count = int64_t(front.size()) / lines;
  const T* line = front.data();
  T* const to[] = {p.h[(t + 1) % 3], p.h[(t + 2) % 3], p.up[(t + 1) % 2], p.left};
  for (int64_t k = 0; k < lines; ++k, line += count) std::copy(line, line + count, to[k] - 1);
}

template <class T>
int64_t Universal<T>::score(Sequence a, Sequence b, const Poll& poll) {
  prepare(a, b);
  // Strips of equal height: a low last one would have short anti-diagonals only.
  const int64_t most = strip_rows<T>(affine()), strips = (n_ + most - 1) / most;
  rows_ = (n_ + strips - 1) / strips;
  Border above, below;
  first_row(above);
  for (int64_t top = 0; top < n_; top += rows_) {
    const Strip<T> p = strip(top, std::min(rows_, n_ - top), above, &below);
    clear();
    run(p, first_diagonal(p), end_diagonal(p), poll);
    std::swap(above, below);
  }
  return above.best.back();
}

template <class T>
int64_t Universal<T>::align(Sequence a, Sequence b, const Poll& poll, std::vector<Move>& path) {
  prepare(a, b);
  const double side = std::sqrt(double(n_) * double(std::min(m_ + 1, high_ - low_ + 1)));
  rows_ = std::min(n_, std::max(strip_rows<T>(affine()), int64_t(side / 64)));
  const int64_t strips = (n_ + rows_ - 1) / rows_;
  const bool direct = strips == 1 && (n_ + m_ + 1) * (n_ + 1) <= direct_bytes;
  const int64_t block = direct ? n_ + m_ + 1 : std::max<int64_t>(2048, rows_);
  const int64_t stride = rows_ + 1;
  steps_.resize(std::min(block, rows_ + m_ + 1) * stride);

  std::vector<Border> borders(strips + 1);
  std::vector<std::vector<std::vector<T>>> fronts(strips);
  first_row(borders[0]);
  T total = 0;
  for (int64_t k = 0; k < strips; ++k) {
    const int64_t top = k * rows_;
    Strip<T> p = strip(top, std::min(rows_, n_ - top), borders[k], &borders[k + 1]);
    clear();
    const int64_t first = first_diagonal(p), end = end_diagonal(p);
    if (direct) {
      p.steps = steps_.data();
      p.steps_first = first;
      p.steps_stride = stride;
    }
    for (int64_t t = first; t < end; t += block) {
      if (!direct) save(p, t, fronts[k].emplace_back());
      run(p, t, std::min(end, t + block), poll);
    }
    if (k + 1 == strips) total = borders[k + 1].best.back();
  }

  path.clear();
  Walk walk(n_, m_, affine(), path);
  while (walk.inside()) {
    const int64_t k = (walk.i - 1) / rows_, top = k * rows_;
    Strip<T> p = strip(top, std::min(rows_, n_ - top), borders[k], nullptr);
    const int64_t first = first_diagonal(p), t = walk.i - top + walk.j;
    const int64_t from = first + (t - first) / block * block;
    if (!direct) {
      // Only what lies above and left of the path's end can be on it.
      p.rows = walk.i - top;
      p.columns = walk.j;
      p.steps = steps_.data();
      p.steps_first = from;
      p.steps_stride = stride;
      restore(p, from, fronts[k][(from - first) / block]);
      run(p, from, t + 1, poll);
    }
    while (walk.i > top && walk.j > 0) {
      const int64_t r = walk.i - top, at = r + walk.j - from;
      if (at < 0) break;
      walk.take(steps_[at * stride + r]);
    }
  }
  walk.finish();
  std::reverse(path.begin(), path.end());
  return total;
}

template class Universal<int32_t>;
template class Universal<int64_t>;

}  // namespace neurn::align
