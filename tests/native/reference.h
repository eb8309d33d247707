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
  // Of each output row and each place in its windows: the image's row; columns likewise.
  const auto sources = [&](int64_t outputs, int64_t size) {
    std::vector<int64_t> out;
    for (int64_t i = 0; i < outputs; ++i)
      for (int64_t a = 0; a < t.k; ++a) out.push_back(padded_source(i + a - lead, size, t.padding));
    return out;
  };
  const std::vector<int64_t> rows = sources(out_h, t.h), columns = sources(out_w, t.w);
  const auto rows_of = [&](int64_t p) { return rows.data() + p / out_w % out_h * t.k; };
  const auto columns_of = [&](int64_t p) { return columns.data() + p % out_w * t.k; };
  const auto first_of = [&](int64_t p) { return p / plane * t.h * t.w; };
  std::vector<double> sigma(t.outputs()), mean(t.outputs());
  for (int64_t p = 0; p < t.outputs(); ++p) {
    const int64_t *row = rows_of(p), *column = columns_of(p);
    const double* image = x.data() + first_of(p);
    const auto value = [&](int64_t a, int64_t b) {
      return row[a] < 0 || column[b] < 0 ? 0.0 : image[row[a] * t.w + column[b]];
    };
    // Relative to one pixel of the patch: a constant patch is exactly 0.
    const double near = value(t.k / 2, t.k / 2);
    double sum = 0, squares = 0;
    for (int64_t a = 0; a < t.k; ++a)
      for (int64_t b = 0; b < t.k; ++b) sum += value(a, b) - near;
    for (int64_t a = 0; a < t.k; ++a)
      for (int64_t b = 0; b < t.k; ++b) {
        const double d = value(a, b) - near - sum / n;
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
    const int64_t *row = rows_of(p), *column = columns_of(p);
    const double share = weight[p] / (n * sigma[p]);
    for (int64_t a = 0; a < t.k; ++a)
      for (int64_t b = 0; b < t.k; ++b) {
        if (row[a] < 0 || column[b] < 0) continue;
        const int64_t at = first_of(p) + row[a] * t.w + column[b];
        r.dx[at] += share * (x[at] - mean[p]);
      }
  }
  return r;
}

}  // namespace neurn
