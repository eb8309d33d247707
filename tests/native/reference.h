// The operator straight from its definition, in double; the gradient by the chain rule, patch by
// patch.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "neurn/axis.h"

namespace neurn {

struct Case {
  int64_t n, c, h, w, k;
  Padding padding;
  Scope scope;
  double floor;

  int64_t out_h() const { return h - (padding == Padding::valid ? k - 1 : 0); }
  int64_t out_w() const { return w - (padding == Padding::valid ? k - 1 : 0); }
  int64_t outputs() const { return n * c * out_h() * out_w(); }
  // Outputs that share a maximum.
  int64_t scope_size() const {
    return scope == Scope::image     ? c * out_h() * out_w()
           : scope == Scope::channel ? out_h() * out_w()
                                     : outputs();
  }
  int64_t scopes() const { return scope == Scope::none ? 0 : outputs() / scope_size(); }
};

struct Reference {
  std::vector<double> sigma, y, dx;
};

// x and grad are contiguous. `index`: the place of each scope's maximum, where not empty.
inline Reference reference(const Case& t, const std::vector<double>& x,
                           const std::vector<double>& grad,
                           const std::vector<int64_t>& index = {}) {
  const double n = double(t.k * t.k);
  const int64_t lead = t.padding == Padding::valid ? 0 : t.k / 2;
  const int64_t out_h = t.out_h(), out_w = t.out_w(), plane = out_h * out_w;
  auto row_of = [&](int64_t p, int64_t a) {
    return padded_source(p / out_w % out_h + a - lead, t.h, t.padding);
  };
  auto column_of = [&](int64_t p, int64_t b) {
    return padded_source(p % out_w + b - lead, t.w, t.padding);
  };
  auto at = [&](int64_t p, int64_t i, int64_t j) { return (p / plane * t.h + i) * t.w + j; };
  auto value = [&](int64_t p, int64_t a, int64_t b) {
    const int64_t i = row_of(p, a), j = column_of(p, b);
    return i < 0 || j < 0 ? 0.0 : x[at(p, i, j)];
  };
  std::vector<double> sigma(t.outputs()), mean(t.outputs());
  for (int64_t p = 0; p < t.outputs(); ++p) {
    // Relative to one pixel of the patch: a constant patch is exactly 0.
    const double near = value(p, t.k / 2, t.k / 2);
    double sum = 0, squares = 0;
    for (int64_t a = 0; a < t.k; ++a)
      for (int64_t b = 0; b < t.k; ++b) sum += value(p, a, b) - near;
    for (int64_t a = 0; a < t.k; ++a)
      for (int64_t b = 0; b < t.k; ++b) {
        const double d = value(p, a, b) - near - sum / n;
        squares += d * d;
      }
    mean[p] = near + sum / n;
    sigma[p] = std::sqrt(squares / n);
  }
  Reference r{sigma, sigma, std::vector<double>(t.n * t.c * t.h * t.w)};
  const int64_t size = t.scope_size();
  std::vector<double> weight(sigma.size());
  for (int64_t from = 0; from < t.outputs(); from += size) {
    const auto begin = sigma.begin() + from;
    int64_t top = std::max_element(begin, begin + size) - sigma.begin();
    if (!index.empty()) top = from + index[from / size];
    const double d = t.scope == Scope::none ? 1 : sigma[top] + t.floor;
    double total = 0;
    for (int64_t p = from; p < from + size; ++p) {
      r.y[p] = d > 0 ? sigma[p] / d : 0;
      weight[p] = d > 0 ? grad[p] / d : 0;
      total += d > 0 ? grad[p] * sigma[p] / (d * d) : 0;
    }
    if (t.scope != Scope::none) weight[top] -= total;
  }
  for (int64_t p = 0; p < t.outputs(); ++p) {
    if (sigma[p] == 0) continue;
    for (int64_t a = 0; a < t.k; ++a)
      for (int64_t b = 0; b < t.k; ++b) {
        const int64_t i = row_of(p, a), j = column_of(p, b);
        if (i < 0 || j < 0) continue;
        r.dx[at(p, i, j)] += weight[p] * (x[at(p, i, j)] - mean[p]) / (n * sigma[p]);
      }
  }
  return r;
}

}  // namespace neurn
