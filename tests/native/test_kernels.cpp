// Runs every kernel on awkward sizes against a brute-force reference in double, for the sanitizers
// to watch: arrays are exactly as large as the images, so that a read or write past them is seen.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "neurn/axis.h"
#include "neurn/check.h"
#include "neurn/problem.h"

namespace neurn {
namespace baseline {
extern const Kernels table;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Kernels table;
}
namespace avx512 {
extern const Kernels table;
}
#endif

namespace {

int failures = 0;

struct Case {
  int64_t n, c, h, w, k;
  Padding padding;
  Scope scope;
  double floor;
  bool channels_last;
};

// Two threads, each taking a share, as torch's pool would.
Parallel pool(int64_t threads) {
  return {threads, [](int64_t count, void* context, void (*body)(void*, int64_t, int64_t)) {
            const int64_t half = count / 2;
            std::thread other([=] { body(context, 0, half); });
            body(context, half, count);
            other.join();
          }};
}

template <class T>
struct Image {
  std::vector<T> values;
  Array array;

  Image(int64_t n, int64_t c, int64_t h, int64_t w, bool channels_last) : values(n * c * h * w) {
    array = channels_last ? Array{values.data(), c * h * w, 1, w * c, c}
                          : Array{values.data(), c * h * w, h * w, w, 1};
  }
  T& at(int64_t n, int64_t c, int64_t i, int64_t j) {
    return values[n * array.n + c * array.c + i * array.h + j * array.w];
  }
};

struct Reference {
  std::vector<double> y, dx;  // contiguous
};

// Straight from the definition; the gradient by the chain rule, patch by patch.
template <class T>
Reference reference(const Case& t, Image<T>& x, Image<T>& grad, int64_t out_h, int64_t out_w) {
  const double n = double(t.k * t.k);
  const int64_t lead = t.padding == Padding::valid ? 0 : t.k / 2, plane = out_h * out_w;
  auto source = [&](int64_t i, int64_t size) { return padded_source(i, size, t.padding); };
  auto value = [&](int64_t s, int64_t c, int64_t i, int64_t j) {
    return i < 0 || j < 0 ? 0.0 : double(x.at(s, c, i, j));
  };
  std::vector<double> sigma(t.n * t.c * plane), mean(t.n * t.c * plane);
  for (int64_t s = 0; s < t.n; ++s)
    for (int64_t c = 0; c < t.c; ++c)
      for (int64_t i = 0; i < out_h; ++i)
        for (int64_t j = 0; j < out_w; ++j) {
          double sum = 0, squares = 0;
          for (int pass = 0; pass < 2; ++pass)
            for (int64_t a = 0; a < t.k; ++a)
              for (int64_t b = 0; b < t.k; ++b) {
                const double v = value(s, c, source(i + a - lead, t.h), source(j + b - lead, t.w));
                if (pass == 0) sum += v;
                if (pass == 1) squares += (v - sum / n) * (v - sum / n);
              }
          const int64_t at = ((s * t.c + c) * out_h + i) * out_w + j;
          mean[at] = sum / n;
          sigma[at] = std::sqrt(squares / n);
        }
  Reference r{sigma, std::vector<double>(t.n * t.c * t.h * t.w)};
  const int64_t size = t.scope == Scope::image     ? t.c * plane
                       : t.scope == Scope::channel ? plane
                                                   : t.n * t.c * plane;
  std::vector<double> weight(sigma.size());
  for (int64_t from = 0; from < int64_t(sigma.size()); from += size) {
    const auto top = std::max_element(sigma.begin() + from, sigma.begin() + from + size);
    const double d = t.scope == Scope::none ? 1 : *top + t.floor;
    double total = 0;
    for (int64_t p = from; p < from + size; ++p) {
      const int64_t s = p / (t.c * plane), c = p / plane % t.c;
      const double g = double(grad.at(s, c, p / out_w % out_h, p % out_w));
      r.y[p] = d > 0 ? sigma[p] / d : 0;
      weight[p] = d > 0 ? g / d : 0;
      total += d > 0 ? g * sigma[p] / (d * d) : 0;
    }
    if (t.scope != Scope::none) weight[top - sigma.begin()] -= total;
  }
  for (int64_t p = 0; p < int64_t(sigma.size()); ++p) {
    if (sigma[p] == 0) continue;
    const int64_t s = p / (t.c * plane), c = p / plane % t.c;
    for (int64_t a = 0; a < t.k; ++a)
      for (int64_t b = 0; b < t.k; ++b) {
        const int64_t i = source(p / out_w % out_h + a - lead, t.h);
        const int64_t j = source(p % out_w + b - lead, t.w);
        if (i < 0 || j < 0) continue;
        r.dx[((s * t.c + c) * t.h + i) * t.w + j] +=
            weight[p] * (double(x.at(s, c, i, j)) - mean[p]) / (n * sigma[p]);
      }
  }
  return r;
}

template <class T>
void run(const Kernels& kernels, const Case& t, DType dtype, double tolerance) {
  const int64_t lost = t.padding == Padding::valid ? t.k - 1 : 0;
  const int64_t out_h = t.h - lost, out_w = t.w - lost;
  Image<T> x(t.n, t.c, t.h, t.w, t.channels_last), dx(t.n, t.c, t.h, t.w, t.channels_last);
  Image<T> y(t.n, t.c, out_h, out_w, t.channels_last);
  Image<T> grad(t.n, t.c, out_h, out_w, t.channels_last);
  std::mt19937 random(1);
  std::uniform_real_distribution<double> uniform(-1, 1);
  for (T& v : x.values) v = T(100 + uniform(random));
  for (T& v : grad.values) v = T(uniform(random));
  const Reference expected = reference(t, x, grad, out_h, out_w);

  for (const int64_t threads : {1, 2}) {
    Problem p{dtype, t.n, t.c, t.h, t.w, out_h, out_w, t.k, t.padding, t.scope, t.floor, {}, {}};
    std::vector<double> peak(p.scopes());
    std::vector<int64_t> index(p.scopes());
    const Peaks peaks{peak.data(), index.data()};
    OwnedAxis rows(t.h, out_h, t.k, t.padding), columns(t.w, out_w, t.k, t.padding);
    p.rows = rows.axis;
    p.columns = columns.axis;
    kernels.forward(p, x.array, y.array, peaks, pool(threads));
    const int64_t margin = backward_margin(t.k, t.padding);
    OwnedAxis wide_rows(t.h, out_h, t.k, t.padding, margin);
    OwnedAxis wide_columns(t.w, out_w, t.k, t.padding, margin);
    p.rows = wide_rows.axis;
    p.columns = wide_columns.axis;
    kernels.backward(p, grad.array, x.array, peaks, dx.array, pool(threads));

    double error = 0, largest = 0, scale = 0;
    for (int64_t s = 0, at = 0; s < t.n; ++s)
      for (int64_t c = 0; c < t.c; ++c)
        for (int64_t i = 0; i < out_h; ++i)
          for (int64_t j = 0; j < out_w; ++j, ++at) {
            const double difference = std::abs(double(y.at(s, c, i, j)) - expected.y[at]);
            error = std::max(error, difference / std::max(expected.y[at], 1e-300));
          }
    double gradient_error = 0;
    for (int64_t s = 0, at = 0; s < t.n; ++s)
      for (int64_t c = 0; c < t.c; ++c)
        for (int64_t i = 0; i < t.h; ++i)
          for (int64_t j = 0; j < t.w; ++j, ++at) {
            scale = std::max(scale, std::abs(expected.dx[at]));
            largest = std::max(largest, std::abs(double(dx.at(s, c, i, j)) - expected.dx[at]));
          }
    gradient_error = scale > 0 ? largest / scale : largest;
    // Written so that a NaN fails.
    if (!(error <= tolerance && gradient_error <= 20 * tolerance)) {
      ++failures;
      std::printf(
          "FAILED %s %zu-byte %lldx%lldx%lldx%lld k=%lld padding=%d scope=%d last=%d: "
          "forward %.2e backward %.2e\n",
          kernels.name, sizeof(T), (long long)t.n, (long long)t.c, (long long)t.h, (long long)t.w,
          (long long)t.k, int(t.padding), int(t.scope), int(t.channels_last), error,
          gradient_error);
    }
  }
}

}  // namespace
}  // namespace neurn

int main() {
  using namespace neurn;
  std::vector<const Kernels*> tables{&baseline::table};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("x86-64-v3")) tables.push_back(&avx2::table);
  if (__builtin_cpu_supports("x86-64-v4")) tables.push_back(&avx512::table);
#endif
  const int64_t shapes[][4] = {{1, 1, 1, 8},   {2, 3, 5, 7},  {1, 2, 33, 17},
                               {3, 1, 16, 64}, {1, 19, 9, 6}, {1, 3, 20, 301}};
  int64_t cases = 0;
  for (const Kernels* kernels : tables) {
    for (const auto& shape : shapes) {
      for (const int64_t k : {3, 5, 7, 9, 31, 33}) {
        for (int padding = 0; padding < 5; ++padding) {
          for (int scope = 0; scope < 4; ++scope) {
            for (const bool last : {false, true}) {
              const Case t{shape[0], shape[1],         shape[2],     shape[3],
                           k,        Padding(padding), Scope(scope), scope == 1 ? 0.1 : 0.0,
                           last};
              if (last && t.c == 1) continue;
              if (k > 9 && t.w > 64) continue;
              // Windows that all hold the whole image tie: the maximum is a matter of rounding.
              if (t.padding == Padding::zeros && k / 2 >= std::max(t.h, t.w) - 1) continue;
              try {
                check_size(t.h, t.w, k, t.padding);
              } catch (const std::exception&) {
                continue;
              }
              run<float>(*kernels, t, DType::float32, 5e-6);
              run<double>(*kernels, t, DType::float64, 1e-10);
              cases += 2;
            }
          }
        }
      }
    }
  }
  std::printf("%lld passed, %d failed\n", (long long)cases, failures);
  return failures == 0 ? 0 : 1;
}
