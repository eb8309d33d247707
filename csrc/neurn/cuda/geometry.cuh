// Where pixels, windows and tiles lie.
#pragma once

#include "../../cuda/device.h"
#include "../problem.h"

namespace neurn::cuda {

// i modulo size; a division of 64 bits is slow, and seldom needed.
NEURN_DEVICE int64_t wrapped(int64_t i, int64_t size) {
  return i >= 0 && i < size ? i : (i % size + size) % size;
}

// The source position that padded position i shows, counted from source position 0; -1: a zero.
// Positions that no window sees show some pixel.
NEURN_DEVICE int64_t padded_source(int64_t i, int64_t size, Padding padding) {
  if (i >= 0 && i < size) return i;
  if (padding == Padding::zeros) return -1;
  if (padding == Padding::circular) return wrapped(i, size);
  if (padding == Padding::reflect) i = i < 0 ? -i : 2 * (size - 1) - i;
  return i < 0 ? 0 : i >= size ? size - 1 : i;
}

// Padded positions before source position 0 in the first window.
NEURN_DEVICE int64_t lead_of(int64_t k, Padding padding) {
  return padding == Padding::valid ? 0 : k / 2;
}

// The first window that sees source position 0 directly; with circular padding windows go on
// past both ends, in circles.
NEURN_DEVICE int64_t first_window(int64_t k, Padding padding) {
  return padding == Padding::valid ? 1 - k : -(k / 2);
}

// The window that position i of the windows' axis is, or -1.
NEURN_DEVICE int64_t window_at(int64_t i, int64_t windows, Padding padding) {
  if (padding == Padding::circular) return wrapped(i, windows);
  return i >= 0 && i < windows ? i : -1;
}

// Positions first, first + 1, .. of an axis: of the pixels, padded, or of the windows.
struct Line {
  int64_t first, size;
  Padding padding;
  bool pads;

  NEURN_DEVICE int64_t at(int i) const {
    return pads ? padded_source(first + i, size, padding) : window_at(first + i, size, padding);
  }
  // Of `count` positions, those from inside_from to inside_to - 1 are on the axis: first + i.
  NEURN_DEVICE int inside_from(int count) const { return limited(-first, count); }
  NEURN_DEVICE int inside_to(int count) const { return limited(size - first, count); }

 private:
  static NEURN_DEVICE int limited(int64_t i, int count) {
    return i < 0 ? 0 : i < count ? static_cast<int>(i) : count;
  }
};

// The windows that see source position u through reflected or replicated padding only:
// visit(window, how often).
template <class Visit>
NEURN_DEVICE void visit_through_padding(int64_t u, int64_t size, int64_t k, Padding padding,
                                        Visit&& visit) {
  const int64_t r = k / 2, mirrored = size - 1 - u;
  if (padding == Padding::reflect) {
    for (int64_t p = 0; u >= 1 && p <= r - u; ++p) visit(p, 1);
    for (int64_t p = 0; mirrored >= 1 && p <= r - mirrored; ++p) visit(size - 1 - p, 1);
  } else if (padding == Padding::replicate) {
    for (int64_t p = 0; u == 0 && p < r && p < size; ++p) visit(p, r - p);
    for (int64_t p = 0; mirrored == 0 && p < r && p < size; ++p) visit(size - 1 - p, r - p);
  }
}

NEURN_DEVICE bool sees_padding(int64_t u, int64_t size, int64_t k, Padding padding) {
  return (padding == Padding::reflect || padding == Padding::replicate) &&
         (u <= k / 2 || size - 1 - u <= k / 2);
}

// Every window that sees source position u: visit(window, how often).
template <class Visit>
NEURN_DEVICE void visit_windows(int64_t u, int64_t size, int64_t windows, int64_t k,
                                Padding padding, Visit&& visit) {
  for (int64_t t = 0; t < k; ++t) {
    const int64_t window = window_at(u + first_window(k, padding) + t, windows, padding);
    if (window >= 0) visit(window, 1);
  }
  visit_through_padding(u, size, k, padding, visit);
}

// How a call is cut into tiles: `rows` x `columns` pixels of `step` channels that lie side by side
// in memory. Sizes are multiples of the rows and columns that a thread computes together.
struct Tiling {
  int rows, columns, step;
  int64_t down, across;  // tiles of a plane
  int64_t slabs;         // groups of channels of a sample
  int64_t tiles;         // of a sample
};

struct Tile {
  int64_t sample, channel;  // of the first channel
  int64_t row, column;      // of the first pixel
  int channels;             // that exist, of `step`
};

NEURN_DEVICE Tile tile_at(const Problem& p, const Tiling& tiling, int64_t number) {
  Tile tile;
  tile.column = number % tiling.across * tiling.columns;
  number /= tiling.across;
  tile.row = number % tiling.down * tiling.rows;
  number /= tiling.down;
  tile.channel = number % tiling.slabs * tiling.step;
  tile.sample = number / tiling.slabs;
  const int64_t left = p.channels - tile.channel;
  tile.channels = static_cast<int>(left < tiling.step ? left : tiling.step);
  return tile;
}

// Tile `within` of a scope of few tiles, of which `first` is the first: divisions of 32 bits.
NEURN_DEVICE Tile tile_of_scope(const Problem& p, const Tiling& tiling, const Tile& first,
                                int within) {
  const unsigned across = static_cast<unsigned>(tiling.across);
  const unsigned down = static_cast<unsigned>(tiling.down);
  unsigned rest = static_cast<unsigned>(within);
  Tile tile = first;
  tile.column = static_cast<int>(rest % across) * tiling.columns;
  rest /= across;
  tile.row = static_cast<int>(rest % down) * tiling.rows;
  tile.channel += static_cast<int>(rest / down) * tiling.step;
  const int64_t left = p.channels - tile.channel;
  tile.channels = static_cast<int>(left < tiling.step ? left : tiling.step);
  return tile;
}

// The scope of a plane, its planes and its first one.
NEURN_DEVICE int64_t scope_of(const Problem& p, int64_t sample, int64_t channel) {
  return p.scope == Scope::image     ? sample
         : p.scope == Scope::channel ? sample * p.channels + channel
                                     : 0;
}
NEURN_DEVICE int64_t scope_planes(const Problem& p) {
  return p.scope == Scope::image     ? p.channels
         : p.scope == Scope::channel ? 1
                                     : p.samples * p.channels;
}

// The flat (C, H, W) position of an output in its scope.
NEURN_DEVICE int64_t scope_index(const Problem& p, int64_t sample, int64_t channel, int64_t row,
                                 int64_t column) {
  const int64_t plane = p.scope == Scope::image     ? channel
                        : p.scope == Scope::channel ? 0
                                                    : sample * p.channels + channel;
  return (plane * p.out_height + row) * p.out_width + column;
}

// The threads that work on a tile together: threadIdx.y counts them in a block.
struct Team {
  int thread, threads;
  NEURN_DEVICE int warp() const { return thread / 32; }
  NEURN_DEVICE int lane() const { return thread % 32; }
  NEURN_DEVICE int warps() const { return threads / 32; }
};

NEURN_DEVICE Team team() {
  return Team{static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x)};
}

NEURN_DEVICE void team_barrier() {
  if (blockDim.y == 1) {
    __syncthreads();
  } else {
    named_barrier(static_cast<int>(threadIdx.y) + 1, static_cast<int>(blockDim.x));
  }
}

}  // namespace neurn::cuda
