// The adjoint of padding and window: which windows a pixel's gradient gathers from.
#pragma once

#include "output.h"

namespace neurn::NEURN_ISA {

// The outputs that see source position u through reflected or replicated padding only:
// visit(output, how often).
template <class Visit>
inline void visit_through_padding(int64_t u, int64_t size, int64_t k, Padding padding,
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

// Whether there are any.
inline bool sees_padding(int64_t u, int64_t size, int64_t k, Padding padding) {
  return (padding == Padding::reflect || padding == Padding::replicate) &&
         (u <= k / 2 || size - 1 - u <= k / 2);
}

// The first window, in windows of the axis, that sees source position 0.
inline int64_t first_window(int64_t k, Padding padding) {
  return padding == Padding::circular ? 0 : padding == Padding::valid ? 1 - k : -(k / 2);
}

// What is added to the gradient of one output: the share of the scope whose maximum it is.
struct Share {
  int64_t row, column, channel;  // of the block
  double value;
};

}  // namespace neurn::NEURN_ISA
