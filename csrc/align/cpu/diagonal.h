// Any scoring, anti-diagonal by anti-diagonal: cells of one do not depend on each other, and with b
// reversed all that they read is contiguous.
#pragma once

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "../kernels.h"

#ifndef NEURN_ISA
#define NEURN_ISA baseline
#endif

namespace neurn::align::NEURN_ISA {

template <class T>
[[gnu::always_inline]] inline T larger(T x, T y) {
  return x > y ? x : y;
}

template <class T>
[[gnu::always_inline]] inline T smaller(T x, T y) {
  return x < y ? x : y;
}

// Halves, rounded towards minus infinity.
[[gnu::always_inline]] inline int64_t half(int64_t x) { return x >> 1; }

template <class T>
[[gnu::always_inline]] inline T at(const Row<const T>& row, const T* values, int64_t j, T out) {
  return j >= row.first && j - row.first < row.count ? values[j - row.first] : out;
}

template <class T>
struct Cell {
  T diagonal, up, left, best;
};

template <bool affine, class T>
[[gnu::always_inline]] inline uint8_t step_of(const Cell<T>& c, T above, T up_above, T beside,
                                              T left_beside, T open, T extend) {
  uint8_t step =
      uint8_t(c.diagonal == c.best ? step_diagonal : 0) | uint8_t(c.up == c.best ? step_up : 0);
  if (affine) {
    step |= uint8_t(c.up == T(above + open) ? step_up_opens : 0) |
            uint8_t(c.up == T(up_above + extend) ? step_up_extends : 0) |
            uint8_t(c.left == T(beside + open) ? step_left_opens : 0) |
            uint8_t(c.left == T(left_beside + extend) ? step_left_extends : 0);
  }
  return step;
}

// Cells whose scores are looked up at a time.
inline constexpr int64_t looked_up = 256;

// out[k] = table[a[k] + b[k]]: gathered where the processor can, as the compiler would not.
[[gnu::always_inline]] inline void look_up(const int32_t* table, const int32_t* a, const int32_t* b,
                                           int64_t count, int32_t* out) {
  int64_t k = 0;
#if defined(__AVX512F__)
  for (; k + 16 <= count; k += 16) {
    const __m512i place = _mm512_add_epi32(_mm512_loadu_si512(a + k), _mm512_loadu_si512(b + k));
    _mm512_storeu_si512(out + k, _mm512_i32gather_epi32(place, table, 4));
  }
#elif defined(__AVX2__)
  for (; k + 8 <= count; k += 8) {
    const __m256i place =
        _mm256_add_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(a + k)),
                         _mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(b + k)));
    _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(out + k),
                        _mm256_i32gather_epi32(table, place, 4));
  }
#endif
  for (; k < count; ++k) out[k] = table[a[k] + b[k]];
}

[[gnu::always_inline]] inline void look_up(const int32_t* table, const int64_t* a, const int64_t* b,
                                           int64_t count, int64_t* out) {
  for (int64_t k = 0; k < count; ++k) out[k] = table[a[k] + b[k]];
}

// Cells begin .. end - 1 of one anti-diagonal. Pointers stand where r = 0.
template <class T, bool affine, bool table, bool traced>
[[gnu::always_inline]] inline void sweep_cells(
    const Strip<T>& p, int64_t begin, int64_t end, const T* __restrict a, const T* __restrict b,
    const T* __restrict h2, const T* __restrict h1, T* __restrict h0, const T* __restrict up1,
    T* __restrict up0, T* __restrict left, uint8_t* __restrict steps, const T* __restrict scores) {
  const T match = p.match, mismatch = p.mismatch, extend = p.gap_extend;
  const T open = p.gap_open + p.gap_extend;
  for (int64_t r = begin; r < end; ++r) {
    T s;
    if (table) {
      s = scores[r - begin];
    } else {
      s = a[r] == b[r] ? match : mismatch;
    }
    Cell<T> c;
    c.diagonal = h2[r - 1] + s;
    const T above = h1[r - 1], beside = h1[r];
    T up_above = 0, left_beside = 0;
    if (affine) {
      up_above = up1[r - 1];
      left_beside = left[r];
      c.up = larger<T>(above + open, up_above + extend);
      c.left = larger<T>(beside + open, left_beside + extend);
    } else {
      c.up = above + extend;
      c.left = beside + extend;
    }
    c.best = larger(c.diagonal, larger(c.up, c.left));
    if (traced)
      steps[r] = step_of<affine, T>(c, above, up_above, beside, left_beside, open, extend);
    if (affine) {
      up0[r] = c.up;
      left[r] = c.left;
    }
    h0[r] = c.best;
  }
}

template <class T, bool affine, bool table, bool traced>
[[gnu::always_inline]] inline void sweep_diagonal(const Strip<T>& p, int64_t begin, int64_t end,
                                                  const T* a, const T* b, const T* h2, const T* h1,
                                                  T* h0, const T* up1, T* up0, T* left,
                                                  uint8_t* steps) {
  if constexpr (table) {
    T scores[looked_up];
    for (int64_t r = begin; r < end; r += looked_up) {
      const int64_t stop = smaller<int64_t>(r + looked_up, end);
      look_up(p.table, a + r, b + r, stop - r, scores);
      sweep_cells<T, affine, table, traced>(p, r, stop, a, b, h2, h1, h0, up1, up0, left, steps,
                                            scores);
    }
  } else {
    sweep_cells<T, affine, table, traced>(p, begin, end, a, b, h2, h1, h0, up1, up0, left, steps,
                                          nullptr);
  }
}

// Where a gap in the last row or column costs nothing, it is at least as good as one that does;
// leaving it at once is always among the best ways on.
template <class T, bool affine, bool table, bool traced>
[[gnu::always_inline]] inline void free_gap(const Strip<T>& p, int64_t r, const T* a, const T* b,
                                            const T* h2, const T* h1, T* h0, T* up0, T* left,
                                            uint8_t* steps, bool free_up, bool free_left) {
  Cell<T> c;
  const int64_t s = table ? p.table[a[r] + b[r]] : a[r] == b[r] ? p.match : p.mismatch;
  c.diagonal = T(h2[r - 1] + s);
  c.up = h1[r - 1];
  c.left = h1[r];
  T best = h0[r];
  if (free_up) best = larger(best, c.up);
  if (free_left) best = larger(best, c.left);
  if (traced) {
    uint8_t step = steps[r];
    // A paid gap that reached h0[r] stays the best one only where no free gap is better.
    const uint8_t up_flags = step_up | step_up_opens | step_up_extends;
    const uint8_t left_flags = step_left_opens | step_left_extends;
    if (best > h0[r]) step &= uint8_t(~step_up);
    step = uint8_t((step & ~step_diagonal) | (c.diagonal == best ? step_diagonal : 0));
    if (free_up) {
      step = uint8_t((step & ~up_flags) | (c.up == best ? step_up : 0) | step_up_opens);
    }
    if (free_left) step = uint8_t((step & ~left_flags) | step_left_opens);
    steps[r] = step;
  }
  h0[r] = best;
  if (affine && free_up) up0[r] = c.up;
  if (affine && free_left) left[r] = c.left;
}

template <class T, bool affine, bool table, bool traced>
void sweep_any(const Strip<T>& p, int64_t from, int64_t to) {
  for (int64_t t = from; t < to; ++t) {
    T* h0 = p.h[t % 3];
    const T* h1 = p.h[(t + 2) % 3];
    const T* h2 = p.h[(t + 1) % 3];
    T* up0 = affine ? p.up[t % 2] : nullptr;
    const T* up1 = affine ? p.up[(t + 1) % 2] : nullptr;
    const T* b = p.b + (p.b_size - t);
    uint8_t* steps = traced ? p.steps + (t - p.steps_first) * p.steps_stride : nullptr;

    const int64_t offset = t - p.top;
    const int64_t first =
        larger<int64_t>(larger<int64_t>(0, t - p.columns), half(offset - p.high + 1));
    const int64_t last = smaller<int64_t>(smaller<int64_t>(p.rows, t), half(offset - p.low));
    h0[first - 1] = h0[last + 1] = p.out;
    if (affine) up0[first - 1] = up0[last + 1] = p.out;
    int64_t begin = first, end = last + 1;
    if (begin == 0 && end > 0) {
      h0[0] = at(p.above, p.above.best, t, p.out);
      if (affine) up0[0] = at(p.above, p.above.up, t, p.out);
      begin = 1;
    }
    if (last == t && t > 0) {
      h0[t] = p.free_first_column ? 0 : T(p.gap_open + (p.top + t) * p.gap_extend);
      if (affine) up0[t] = p.out;
      end = t;
    }
    sweep_diagonal<T, affine, table, traced>(p, begin, end, p.a, b, h2, h1, h0, up1, up0, p.left,
                                             steps);
    const int64_t in_column = p.free_column < 0 ? -1 : t - p.free_column;
    if (in_column >= begin && in_column < end) {
      free_gap<T, affine, table, traced>(p, in_column, p.a, b, h2, h1, h0, up0, p.left, steps, true,
                                         in_column == p.free_row);
    }
    if (p.free_row >= begin && p.free_row < end && p.free_row != in_column) {
      free_gap<T, affine, table, traced>(p, p.free_row, p.a, b, h2, h1, h0, up0, p.left, steps,
                                         false, true);
    }
    if (last == p.rows && p.below.count > 0) {
      const int64_t j = t - p.rows - p.below.first;
      p.below.best[j] = h0[p.rows];
      if (affine) p.below.up[j] = up0[p.rows];
    }
  }
}

template <class T, bool affine, bool table>
void sweep_scored(const Strip<T>& p, int64_t from, int64_t to) {
  if (p.steps != nullptr) {
    sweep_any<T, affine, table, true>(p, from, to);
  } else {
    sweep_any<T, affine, table, false>(p, from, to);
  }
}

template <class T>
void sweep_strip(const Strip<T>& p, int64_t from, int64_t to) {
  if (p.gap_open != 0) {
    if (p.table != nullptr) {
      sweep_scored<T, true, true>(p, from, to);
    } else {
      sweep_scored<T, true, false>(p, from, to);
    }
  } else {
    if (p.table != nullptr) {
      sweep_scored<T, false, true>(p, from, to);
    } else {
      sweep_scored<T, false, false>(p, from, to);
    }
  }
}

}  // namespace neurn::align::NEURN_ISA
