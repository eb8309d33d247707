// dL/dx = sum over the patches p around x of a_p (x - mean_p) / D, with a_p = grad_p / (k^2
// sigma_p) and D = max sigma + floor; and the share of the patch that is the maximum (share.cuh).
//
// A tile of pixels computes a and a mean of all patches around it and gathers: sums along the rows,
// then down the columns, by the adjoint of window and padding. x and grad are read once, dx is
// written once. Where a tile is a whole scope, the share goes into a itself.
#pragma once

#include "moments.cuh"
#include "share.cuh"

namespace neurn::cuda {

struct BackwardCall {
  Problem p;
  Array grad, x, dx;
  PeakView peaks;
  Tiling tiling;
  int64_t tiles;     // of all samples
  bool whole;        // each tile is a scope
  double* partial;   // of each tile: sum of grad sigma (not whole)
  float* unrounded;  // as ShareCall::unrounded (not whole, half precision)
};

template <class F>
struct BackwardShared {
  static constexpr int header = 32 * sizeof(double) + 8 * sizeof(double);

  static constexpr int rounded(int count, int multiple) {
    return (count + multiple - 1) / multiple * multiple;
  }
  static constexpr int64_t team_bytes(const Tiling& t, int k, int R) {
    const int64_t rows = rounded(t.rows + k - 1, R), columns = rounded(t.columns + k - 1, R);
    const int64_t pitch = (columns + k - 1) * t.step | 1, window_pitch = columns * t.step | 1;
    return (pitch * (rows + k - 1) + 2 * pitch * rows + 2 * window_pitch * rows) *
           int64_t{sizeof(F)};
  }
};

// For R pixels side by side, the sum over the k windows t = i .. i + k - 1 of each:
//   sum_a[i] = sum a(t) and sum_b[i] = sum b(t) + a(t) (pixel(i) - near(t)).
// What they share is added once, relative to a pixel that all windows of the share hold: however
// far apart pixels of the tile are, no term is larger than its window's own gradient makes it.
template <int R, class F, class A, class B, class Near, class Pixel>
NEURN_DEVICE void gather(int k, A&& a, B&& b, Near&& near, Pixel&& pixel, F* sum_a, F* sum_b) {
  const F first = pixel(0), last = pixel(R - 1);
  F core_a = nothing<F>, core_b = nothing<F>;
  NEURN_UNROLL
  for (int t = R - 1; t < k; ++t) {
    const F weight = a(t);
    core_a += weight;
    core_b += b(t) + weight * (first - near(t));
  }
  F before_a[R], before_b[R];
  before_a[R - 1] = before_b[R - 1] = nothing<F>;
  NEURN_UNROLL
  for (int i = R - 2; i >= 0; --i) {
    const F weight = a(i);
    before_a[i] = before_a[i + 1] + weight;
    before_b[i] = before_b[i + 1] + (b(i) + weight * (first - near(i)));
  }
  F after_a = nothing<F>, after_b = nothing<F>;
  NEURN_UNROLL
  for (int i = 0; i < R; ++i) {
    const F held = core_a + before_a[i], here = pixel(i);
    F moved = core_b + before_b[i] + held * (here - first);
    if (i > 0) {
      const int t = k - 1 + i;
      const F weight = a(t);
      after_a += weight;
      after_b += b(t) + weight * (last - near(t));
      moved += after_b + after_a * (here - last);
    }
    sum_a[i] = held + after_a;
    sum_b[i] = moved;
  }
}

// What windows give to their pixels: a, in the place of the incoming gradient, and
// b = a (near - mean), near being the pixel that window_moments takes.
template <class F>
struct Spread {
  F *a, *b;
  int pitch, step;
  F per_pixel;  // 1 / k^2
  // Windows of the region that the tile is the one to count: those in the place of its pixels.
  int row_from, row_to, column_from, column_to;
  // Where a tile is a scope: the maximum's window of the region (else -1), and its patch's mean.
  int patch_row, patch_column;
  double* peak_mean;

  // In b: that a still holds the gradient.
  static NEURN_DEVICE F marked() { return -infinity<F>(); }

  NEURN_DEVICE int place(int row, int column, int channel) const {
    return row * pitch + column * step + channel;
  }

  // Returns grad sigma of a window that counts.
  NEURN_DEVICE double window(int row, int column, int channel, F sigma, F near, F shift) const {
    const int at = place(row, column, channel);
    const F grad = a[at];
    const F weight = sigma == F(0) ? F(0) : grad * per_pixel / sigma;
    a[at] = weight;
    b[at] = -(weight * shift);
    if (row < row_from || row >= row_to || column < column_from || column >= column_to) return 0;
    if (row == patch_row && column == patch_column) {
      *peak_mean = static_cast<double>(near) + static_cast<double>(shift);
    }
    return sigma == F(0) ? 0 : static_cast<double>(grad * sigma);
  }
};

// What the parts of a tile's work share. They are functions of their own, each with all registers.
template <class F>
struct BackwardTile {
  Tile tile;
  Region region;  // the windows around its pixels
  Moments<F> m;
  Spread<F> spread;
  PeakPatch patch;

  NEURN_DEVICE Line rows(const Problem& p) const {
    return {region.first_row, p.out_height, p.padding, false};
  }
  NEURN_DEVICE Line columns(const Problem& p) const {
    return {region.first_column, p.out_width, p.padding, false};
  }
};

// Windows of this thread that are marked in b.
template <class T, int K, class F>
NEURN_APART double spread_apart(const BackwardCall& call, const BackwardTile<F>& part) {
  const Problem& p = call.p;
  const Region& region = part.region;
  const Spread<F>& spread = part.spread;
  const int k = static_cast<int>(p.k);
  double moved = 0;
  own_windows<together(K)>(region, [&](int row, int column, int channel) {
    if (spread.b[spread.place(row, column, channel)] != Spread<F>::marked()) return;
    const WindowStats stats = direct_window<T>(p, call.x, region.sample, region.channel + channel,
                                               part.rows(p).at(row), part.columns(p).at(column));
    const F near = near_pixel<together(K)>(part.m, k, row, column, region.step, channel);
    moved += spread.window(row, column, channel, static_cast<F>(stats.sigma), near,
                           static_cast<F>(stats.mean - static_cast<double>(near)));
  });
  return moved;
}

// a and b of every window of the region; returns this thread's sum of grad sigma.
template <class T, int K, class F>
NEURN_APART double spread_windows(const BackwardCall& call, const BackwardTile<F>& part) {
  const Problem& p = call.p;
  const Region& region = part.region;
  const int k = K > 0 ? K : static_cast<int>(p.k);
  Spread<F> spread = part.spread;
  spread.a = in_shared(spread.a);
  spread.b = in_shared(spread.b);
  const Moments<F> m{in_shared(part.m.x), in_shared(part.m.c), in_shared(part.m.q), part.m.pitch};
  // With circular padding every window of the region is one of the image.
  const bool circles = p.padding == Padding::circular;
  const Line rows = part.rows(p), columns = part.columns(p);
  const int row_from = circles ? 0 : rows.inside_from(region.rows);
  const int row_to = circles ? region.rows : rows.inside_to(region.rows);
  const int column_from = circles ? 0 : columns.inside_from(region.columns);
  const int column_to = circles ? region.columns : columns.inside_to(region.columns);
  double moved = 0;
  const bool apart = window_moments<K>(
      region, k, m, [&](int row, int column, int channel, F sigma, F near, F shift) {
        const int at = spread.place(row, column, channel);
        if (row < row_from || row >= row_to || column < column_from || column >= column_to ||
            channel >= region.channels) {
          spread.a[at] = spread.b[at] = F(0);
        } else if (sigma == F(-1)) {
          spread.b[at] = Spread<F>::marked();
        } else {
          moved += spread.window(row, column, channel, sigma, near, shift);
        }
      });
  return apart ? moved + spread_apart<T, K>(call, part) : moved;
}

// What each pixel of a tile's columns gathers from one row of windows, relative to the pixel of
// its column in the row that holds near: in the place of c and q.
template <int K, class F>
NEURN_APART void gather_rows(const BackwardCall& call, const BackwardTile<F>& part) {
  constexpr int R = together(K);
  const Problem& p = call.p;
  const Team own = team();
  const int k = K > 0 ? K : static_cast<int>(p.k), step = part.region.step;
  const int columns = call.tiling.columns, pitch = odd(columns * step);
  const int window_rows = call.tiling.rows + k - 1, window_pitch = part.spread.pitch;
  const F* const a = in_shared(part.spread.a);
  const F* const b = in_shared(part.spread.b);
  const F* const pixels = in_shared(part.m.x);
  F* const row_a = in_shared(part.m.c);
  F* const row_b = in_shared(part.m.q);
  const int64_t width = p.width, first_column = part.tile.column;
  const int64_t window_column = part.region.first_column;
  const Padding padding = p.padding;
  for (int row = own.lane(); row < window_rows; row += 32) {
    for (int run = own.warp(); run < columns / R * step; run += own.warps()) {
      const int first = step == 1 ? run : run / step, channel = run - first * step;
      const F* in_a = a + row * window_pitch + first * R * step + channel;
      const F* in_b = b + row * window_pitch + first * R * step + channel;
      // The first window's first pixel, in the row of near.
      const F* x = pixels + near_at<R>(k, row) * part.m.pitch + first * R * step + channel;
      F sums_a[R], sums_b[R];
      auto pixel = [&](int i) { return x[(k - 1 + i) * step]; };
      auto near = [&](int t) { return x[near_at<R>(k, t) * step]; };
      gather<R>(
          k, [&](int t) { return in_a[t * step]; }, [&](int t) { return in_b[t * step]; }, near,
          pixel, sums_a, sums_b);
      NEURN_UNROLL
      for (int i = 0; i < R; ++i) {
        const int64_t v = first_column + first * R + i;
        if (v < width && sees_padding(v, width, k, padding)) {
          visit_through_padding(v, width, k, padding, [&](int64_t window, int64_t times) {
            const int t = static_cast<int>(window - window_column) - first * R;
            const F weight = in_a[t * step] * F(times);
            sums_a[i] += weight;
            sums_b[i] += in_b[t * step] * F(times) + weight * (pixel(i) - near(t));
          });
        }
        const int at = row * pitch + (first * R + i) * step + channel;
        row_a[at] = sums_a[i];
        row_b[at] = sums_b[i];
      }
    }
  }
}

// And from all rows of windows.
template <class T, int K, class F>
NEURN_APART void gather_columns(const BackwardCall& call, const BackwardTile<F>& part, F divisor) {
  constexpr int R = together(K);
  const Problem& p = call.p;
  const Team own = team();
  const Tile tile = part.tile;
  const PeakPatch& patch = part.patch;
  const int64_t width = p.width, height = p.height, window_row = part.region.first_row;
  const Padding padding = p.padding;
  const int k = K > 0 ? K : static_cast<int>(p.k), step = part.region.step;
  const int elements = call.tiling.columns * step, pitch = odd(elements), x_pitch = part.m.pitch;
  const int runs = call.tiling.rows / R;
  const F* const pixels = in_shared(part.m.x);
  const F* const row_a = in_shared(part.m.c);
  const F* const row_b = in_shared(part.m.q);
  const Array dx = call.dx;
  T* out = static_cast<T*>(dx.data) + tile.sample * dx.n + tile.channel * dx.c;
  const bool keeps = sizeof(T) == 2 && !call.whole && patch.exists && patch.sample == tile.sample &&
                     patch.channel >= tile.channel && patch.channel < tile.channel + tile.channels;
  for (int run = own.warp(); run < runs; run += own.warps()) {
    for (int e = own.lane(); e < elements; e += 32) {
      const int column = step == 1 ? e : e / step, channel = e - column * step;
      const int64_t v = tile.column + column;
      if (v >= width || channel >= tile.channels) continue;
      const F* in_a = row_a + run * R * pitch + e;
      const F* in_b = row_b + run * R * pitch + e;
      // The column of the pixel, from the first row of the first window.
      const F* x = pixels + run * R * x_pitch + (k - 1) * step + e;
      T* to = out + (tile.row + run * R) * dx.h + v * dx.w + channel * dx.c;
      F sums_a[R], sums_b[R];
      auto near = [&](int t) { return x[near_at<R>(k, t) * x_pitch]; };
      auto pixel = [&](int i) { return x[(k - 1 + i) * x_pitch]; };
      gather<R>(
          k, [&](int t) { return in_a[t * pitch]; }, [&](int t) { return in_b[t * pitch]; }, near,
          pixel, sums_a, sums_b);
      NEURN_UNROLL
      for (int i = 0; i < R; ++i) {
        const int64_t u = tile.row + run * R + i;
        if (u >= height) continue;
        if (sees_padding(u, height, k, padding)) {
          visit_through_padding(u, height, k, padding, [&](int64_t window, int64_t times) {
            const int t = static_cast<int>(window - window_row) - run * R;
            sums_b[i] += (in_b[t * pitch] + in_a[t * pitch] * (pixel(i) - near(t))) * F(times);
          });
        }
        const F value = normalized(sums_b[i], divisor);
        assign(to[i * dx.h], value);
        if constexpr (sizeof(T) == 2) {
          if (keeps && tile.channel + channel == patch.channel) {
            const int64_t at = position_in_patch(patch.row, u, height, k, padding);
            const int64_t from =
                at < 0 ? -1 : position_in_patch(patch.column, v, width, k, padding);
            if (from >= 0) {
              const int64_t scope = scope_of(p, tile.sample, tile.channel);
              call.unrounded[(scope * k + at) * k + from] = value;
            }
          }
        }
      }
    }
  }
}

template <class T, int K>
__global__ void __launch_bounds__(most_threads, blocks_at_once<T, K>())
    backward_tiles(const __grid_constant__ BackwardCall call) {
  using F = typename Compute<T>::Type;
  using Shared = BackwardShared<F>;
  constexpr int R = together(K);
  const Problem& p = call.p;
  const Tiling& tiling = call.tiling;
  const Team own = team();
  const int k = K > 0 ? K : static_cast<int>(p.k), step = tiling.step;
  const int group = static_cast<int>(threadIdx.y), groups = static_cast<int>(blockDim.y);
  const int64_t number = static_cast<int64_t>(blockIdx.x) * groups + group;
  if (number >= call.tiles) return;
  double* sums = reinterpret_cast<double*>(shared_memory()) + group * own.warps();
  const int first = static_cast<int>(first_window(k, p.padding));
  BackwardTile<F> part;
  const Tile& tile = part.tile = tile_at(p, tiling, number);
  const Region& region = part.region = {Shared::rounded(tiling.rows + k - 1, R),
                                        Shared::rounded(tiling.columns + k - 1, R),
                                        step,
                                        tile.sample,
                                        tile.channel,
                                        tile.row + first,
                                        tile.column + first,
                                        tile.channels};
  const int64_t scope = scope_of(p, tile.sample, tile.channel);
  const PeakPatch& patch = part.patch = peak_patch<F>(p, call.peaks, scope);
  Moments<F>& m = part.m;
  m.pitch = Moments<F>::pitch_of(region.columns, step, k);
  m.x = reinterpret_cast<F*>(shared_memory() + Shared::header +
                             group * Shared::team_bytes(tiling, k, R));
  m.c = m.x + m.pitch * (region.rows + k - 1);
  m.q = m.c + m.pitch * region.rows;
  Spread<F>& spread = part.spread;
  spread.pitch = odd(region.columns * step);
  spread.step = step;
  spread.a = m.q + m.pitch * region.rows;  // grad, then a
  spread.b = spread.a + spread.pitch * region.rows;
  spread.per_pixel = F(1) / (F(k) * F(k));
  const int64_t down = p.out_height - tile.row, across = p.out_width - tile.column;
  spread.row_from = spread.column_from = -first;
  spread.row_to = static_cast<int>(down < tiling.rows ? down : tiling.rows) - first;
  spread.column_to = static_cast<int>(across < tiling.columns ? across : tiling.columns) - first;
  spread.patch_row = call.whole ? static_cast<int>(patch.row) - first : -1;
  spread.patch_column = call.whole ? static_cast<int>(patch.column) - first : -1;
  spread.peak_mean = reinterpret_cast<double*>(shared_memory()) + 32 + group;

  load_pixels<T>(p, call.x, region, k, m);
  load<T>(call.grad, region, part.rows(p), part.columns(p), region.rows, region.columns, spread.a,
          spread.pitch);
  copies_done();
  team_barrier();
  column_moments<K>(region, k, m);
  team_barrier();
  double moved = spread_windows<T, K>(call, part);

  if (p.scope != Scope::none) {
    for (int offset = 16; offset > 0; offset /= 2) moved += shuffle_down(moved, offset);
    if (own.lane() == 0) sums[own.warp()] = moved;
    team_barrier();
    double total = 0;
    for (int i = 0; i < own.warps(); ++i) total += sums[i];
    if (!call.whole) {
      if (own.thread == 0) call.partial[number] = total;
    } else if (patch.exists) {
      const double top = static_cast<double>(call.peaks.top<F>(scope));
      const double count = static_cast<double>(p.k) * static_cast<double>(p.k);
      const F share = static_cast<F>(-total / (top + p.floor) / (count * top));
      // Circular padding shows a window in several places.
      for (int row = own.thread; row < region.rows; row += own.threads) {
        if (part.rows(p).at(row) != patch.row) continue;
        for (int column = 0; column < region.columns; ++column) {
          if (part.columns(p).at(column) != patch.column) continue;
          const int at = spread.place(row, column, 0);
          const double near = near_pixel<R>(m, k, row, column, 1, 0);
          spread.a[at] += share;
          spread.b[at] += share * static_cast<F>(near - *spread.peak_mean);
        }
      }
    }
  }
  team_barrier();
  gather_rows<K>(call, part);
  team_barrier();
  F divisor = F(1);
  if (p.scope != Scope::none) divisor = divisor_of(call.peaks.top<F>(scope), p.floor);
  gather_columns<T, K>(call, part, divisor);
}

}  // namespace neurn::cuda
