// Padding as an index map, for any kernel size and padding.
#pragma once

#include <vector>

#include "problem.h"

namespace neurn {

// The source position that padded position i (counted from source position 0) shows, or -1.
inline int64_t padded_source(int64_t i, int64_t size, Padding padding) {
  if (i >= 0 && i < size) return i;
  switch (padding) {
    case Padding::reflect:
      return i < 0 ? -i : 2 * (size - 1) - i;
    case Padding::replicate:
      return i < 0 ? 0 : size - 1;
    case Padding::circular:
      return ((i % size) + size) % size;
    default:
      return -1;
  }
}

struct OwnedAxis {
  std::vector<int64_t> source;
  Axis axis;

  // `margin` more windows on each side: those that circular padding wraps around to.
  OwnedAxis(int64_t size, int64_t outputs, int64_t k, Padding padding, int64_t margin = 0) {
    const int64_t lead = (padding == Padding::valid ? 0 : k / 2) + margin;
    const int64_t windows = outputs + 2 * margin;
    source.resize(windows + k - 1);
    for (int64_t v = 0; v < windows + k - 1; ++v) {
      source[v] = padded_source(v - lead, size, padding);
    }
    axis = Axis{size, windows, lead, source.data()};
  }
};

}  // namespace neurn
