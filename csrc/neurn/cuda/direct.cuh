// One window straight from memory, in double: for what single precision cannot hold.
#pragma once

#include "element.cuh"
#include "geometry.cuh"

namespace neurn::cuda {

struct WindowStats {
  double sigma, mean;
};

// Of the window with this output position in a plane of x; exactly 0 where all pixels are equal.
template <class T>
NEURN_APART WindowStats direct_window(const Problem& p, const Array& x, int64_t sample,
                                      int64_t channel, int64_t row, int64_t column) {
  const T* plane = static_cast<const T*>(x.data) + sample * x.n + channel * x.c;
  const int64_t lead = lead_of(p.k, p.padding);
  auto pixel = [&](int64_t i, int64_t j) {
    const int64_t u = padded_source(row - lead + i, p.height, p.padding);
    const int64_t v = padded_source(column - lead + j, p.width, p.padding);
    return u < 0 || v < 0 ? 0.0 : static_cast<double>(widen(plane[u * x.h + v * x.w]));
  };
  const double middle = pixel(p.k / 2, p.k / 2), count = static_cast<double>(p.k) * p.k;
  double sum = 0, squares = 0, remainder = 0;
  for (int64_t i = 0; i < p.k; ++i) {
    for (int64_t j = 0; j < p.k; ++j) sum += pixel(i, j) - middle;
  }
  const double shift = sum / count;
  for (int64_t i = 0; i < p.k; ++i) {
    for (int64_t j = 0; j < p.k; ++j) {
      const double d = (pixel(i, j) - middle) - shift;
      squares += d * d;
      remainder += d;
    }
  }
  // What rounding left in the mean.
  squares -= remainder * remainder / count;
  return {sqrt(squares < 0 ? 0.0 : squares) / static_cast<double>(p.k), middle + shift};
}

}  // namespace neurn::cuda
