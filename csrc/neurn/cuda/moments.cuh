// Deviations of every window of a region, from pixels in shared memory.
//
// As on the CPU, all sums are of differences to a pixel inside the window, in two steps. With k
// rows of a column: c = sum (x - ref), q = k sum (x - ref)^2 - c^2, k^2 times their variance. With
// k columns, relative to one of them: D_j = k (ref_j - ref) + c_j - c, and
//   V = k sum q_j + k sum D_j^2 - (sum D_j)^2 = k^4 sigma^2,
// exact where pixels are small integers. R windows side by side share a core of k - R + 1 rows (or
// columns), which holds the reference; a window adds only pixels of its own, so that a constant
// window gives exactly 0 and a NaN reaches its windows alone.
//
// Down the columns, lanes are columns; along the rows, lanes are rows: with an odd pitch, every
// lane finds a bank of its own.
#pragma once

#include "direct.cuh"

namespace neurn::cuda {

// Windows that a thread computes together; at most k.
constexpr int together(int k) { return k == 3 ? 2 : k == 5 || k == 7 ? 4 : 8; }

// Windows first_row .. first_row + rows - 1, and the same of columns, of `step` channels.
struct Region {
  int rows, columns, step;
  int64_t sample, channel, first_row, first_column;
  int channels;
};

NEURN_DEVICE constexpr int odd(int count) { return count | 1; }

// What one team keeps of a region.
template <class F>
struct Moments {
  F* x;  // rows + k - 1 rows of pixels
  F* c;  // rows
  F* q;
  int pitch;

  static NEURN_DEVICE constexpr int pitch_of(int columns, int step, int k) {
    return odd((columns + k - 1) * step);
  }
};

template <class T, class F>
NEURN_DEVICE void load_pixels(const Problem& p, const Array& x, const Region& region, int k, F* out,
                              int pitch) {
  constexpr int batch = 4;  // loads under way at once
  const Team own = team();
  const int elements = (region.columns + k - 1) * region.step, rows = region.rows + k - 1;
  const int warps = own.warps();
  const int64_t lead = lead_of(p.k, p.padding);
  const int64_t top = region.first_row - lead, left = region.first_column - lead;
  const bool inside = top >= 0 && top + rows <= p.height;
  const T* origin = static_cast<const T*>(x.data) + region.sample * x.n + region.channel * x.c;
  for (int e = own.lane(); e < elements; e += 32) {
    const int pixel = region.step == 1 ? e : e / region.step;
    const int channel = e - pixel * region.step;
    const int64_t column = padded_source(left + pixel, p.width, p.padding);
    const bool exists = column >= 0 && channel < region.channels;
    const T* in = origin + (exists ? column * x.w + channel * x.c : 0);
    for (int r = own.warp(); r < rows; r += batch * warps) {
      F values[batch];
      NEURN_UNROLL
      for (int i = 0; i < batch; ++i) {
        const int row = r + i * warps;
        values[i] = F(0);
        if (row >= rows || !exists) continue;
        const int64_t source = inside ? top + row : padded_source(top + row, p.height, p.padding);
        if (source >= 0) values[i] = widen(in[source * x.h]);
      }
      NEURN_UNROLL
      for (int i = 0; i < batch; ++i) {
        const int row = r + i * warps;
        if (row < rows) out[row * pitch + e] = values[i];
      }
    }
  }
}

template <int K, class F>
NEURN_DEVICE void column_moments(const Region& region, int k, const Moments<F>& m) {
  constexpr int R = together(K);
  if constexpr (K > 0) k = K;
  const Team own = team();
  const int elements = (region.columns + k - 1) * region.step, pitch = m.pitch;
  for (int group = own.warp(); group < region.rows / R; group += own.warps()) {
    for (int e = own.lane(); e < elements; e += 32) {
      const F* in = m.x + group * R * pitch + e;
      const F reference = in[(k + R - 2) / 2 * pitch];
      F sum = 0, squares = 0;
      NEURN_UNROLL
      for (int t = R - 1; t < k; ++t) {
        const F d = in[t * pitch] - reference;
        sum += d;
        squares += d * d;
      }
      F before[R], before_squares[R];
      before[R - 1] = before_squares[R - 1] = 0;
      NEURN_UNROLL
      for (int i = R - 2; i >= 0; --i) {
        const F d = in[i * pitch] - reference;
        before[i] = before[i + 1] + d;
        before_squares[i] = before_squares[i + 1] + d * d;
      }
      F after = 0, after_squares = 0;
      NEURN_UNROLL
      for (int i = 0; i < R; ++i) {
        if (i > 0) {
          const F d = in[(k - 1 + i) * pitch] - reference;
          after += d;
          after_squares += d * d;
        }
        const F c = sum + before[i] + after, square = squares + before_squares[i] + after_squares;
        F q = F(k) * square - c * c;
        if (Range<F>::guarded && square < Range<F>::least_square) {
          // Nothing, or squares that were lost: infinity sends the windows the slow way.
          bool differs = false;
          for (int t = 0; t < k; ++t) differs |= in[(i + t) * pitch] != reference;
          q = differs ? infinity<F>() : F(0);
        }
        m.c[(group * R + i) * pitch + e] = c;
        m.q[(group * R + i) * pitch + e] = q;
      }
    }
  }
}

// emit(row, column, channel, sigma, near, shift) for every window of the region, its mean being
// near + shift. direct(row, column, channel) gives the WindowStats of what F cannot hold.
template <int K, class F, class Direct, class Emit>
NEURN_DEVICE void window_moments(const Region& region, int k, const Moments<F>& m, Direct&& direct,
                                 Emit&& emit) {
  constexpr int R = together(K);
  if constexpr (K > 0) k = K;
  const Team own = team();
  const int pitch = m.pitch, step = region.step, groups = region.columns / R * step;
  const int middle = (k + R - 2) / 2;
  const F count = F(k), per_pixel = F(1) / (F(k) * F(k));
  for (int row = own.lane(); row < region.rows; row += 32) {
    for (int group = own.warp(); group < groups; group += own.warps()) {
      const int first = step == 1 ? group : group / step, channel = group - first * step;
      const int e = first * R * step + channel;
      const F* x = m.x + (row / R * R + middle) * pitch + e;
      const F* c = m.c + row * pitch + e;
      const F* q = m.q + row * pitch + e;
      const F near = x[middle * step], c_near = c[middle * step];
      auto relative = [&](int t) { return count * (x[t * step] - near) + (c[t * step] - c_near); };
      F sum = 0, squares = 0, inner = 0;
      NEURN_UNROLL
      for (int t = R - 1; t < k; ++t) {
        const F d = relative(t);
        sum += d;
        squares += d * d;
        inner += q[t * step];
      }
      F before[R], before_squares[R], before_inner[R];
      before[R - 1] = before_squares[R - 1] = before_inner[R - 1] = 0;
      NEURN_UNROLL
      for (int i = R - 2; i >= 0; --i) {
        const F d = relative(i);
        before[i] = before[i + 1] + d;
        before_squares[i] = before_squares[i + 1] + d * d;
        before_inner[i] = before_inner[i + 1] + q[i * step];
      }
      F after = 0, after_squares = 0, after_inner = 0;
      NEURN_UNROLL
      for (int i = 0; i < R; ++i) {
        if (i > 0) {
          const F d = relative(k - 1 + i);
          after += d;
          after_squares += d * d;
          after_inner += q[(k - 1 + i) * step];
        }
        const F d = sum + before[i] + after, d2 = squares + before_squares[i] + after_squares;
        const F variance = count * (inner + before_inner[i] + after_inner) + (count * d2 - d * d);
        F sigma, shift = (c_near + d / count) / count;
        if (variance >= Range<F>::low && variance < Range<F>::high) {
          sigma = square_root(variance) * per_pixel;
        } else if constexpr (!Range<F>::guarded) {
          sigma = variance < Range<F>::high ? F(0) : not_a_number<F>();
        } else {
          bool constant = variance == F(0);
          for (int t = 0; constant && t < k; ++t) constant = relative(i + t) == F(0);
          if (constant) {
            sigma = F(0);
          } else {
            const WindowStats stats = direct(row, first * R + i, channel);
            sigma = static_cast<F>(stats.sigma);
            shift = static_cast<F>(stats.mean - static_cast<double>(near));
          }
        }
        emit(row, first * R + i, channel, sigma, near, shift);
      }
    }
  }
}

}  // namespace neurn::cuda
