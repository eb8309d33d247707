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
#include "reference.h"

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
  int64_t n, c, h, w;

  Image(int64_t n, int64_t c, int64_t h, int64_t w, bool channels_last)
      : values(n * c * h * w), n(n), c(c), h(h), w(w) {
    array = channels_last ? Array{values.data(), c * h * w, 1, w * c, c}
                          : Array{values.data(), c * h * w, h * w, w, 1};
  }
  T& at(int64_t n, int64_t c, int64_t i, int64_t j) {
    return values[n * array.n + c * array.c + i * array.h + j * array.w];
  }
  std::vector<double> contiguous() {
    std::vector<double> all;
    for (int64_t s = 0; s < n; ++s)
      for (int64_t k = 0; k < c; ++k)
        for (int64_t i = 0; i < h; ++i)
          for (int64_t j = 0; j < w; ++j) all.push_back(double(at(s, k, i, j)));
    return all;
  }
};

template <class T>
void run(const std::vector<const Kernels*>& tables, const Case& t, bool channels_last, DType dtype,
         double tolerance) {
  const int64_t out_h = t.out_h(), out_w = t.out_w();
  Image<T> x(t.n, t.c, t.h, t.w, channels_last), dx(t.n, t.c, t.h, t.w, channels_last);
  Image<T> y(t.n, t.c, out_h, out_w, channels_last);
  Image<T> grad(t.n, t.c, out_h, out_w, channels_last);
  std::mt19937 random(1);
  std::uniform_real_distribution<double> uniform(-1, 1);
  for (T& v : x.values) v = T(100 + uniform(random));
  for (T& v : grad.values) v = T(uniform(random));
  const Reference expected = reference(t, x.contiguous(), grad.contiguous());

  for (const Kernels* kernels : tables) {
    for (const int64_t threads : {1, 2}) {
      Problem p{dtype, t.n, t.c, t.h, t.w, out_h, out_w, t.k, t.padding, t.scope, t.floor, {}, {}};
      std::vector<double> peak(p.scopes());
      std::vector<int64_t> index(p.scopes());
      const Peaks peaks{peak.data(), index.data()};
      OwnedAxis rows(t.h, out_h, t.k, t.padding), columns(t.w, out_w, t.k, t.padding);
      p.rows = rows.axis;
      p.columns = columns.axis;
      kernels->forward(p, x.array, y.array, peaks, pool(threads));
      const int64_t margin = backward_margin(t.k, t.padding);
      OwnedAxis wide_rows(t.h, out_h, t.k, t.padding, margin);
      OwnedAxis wide_columns(t.w, out_w, t.k, t.padding, margin);
      p.rows = wide_rows.axis;
      p.columns = wide_columns.axis;
      kernels->backward(p, grad.array, x.array, peaks, dx.array, pool(threads));

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
            kernels->name, sizeof(T), (long long)t.n, (long long)t.c, (long long)t.h,
            (long long)t.w, (long long)t.k, int(t.padding), int(t.scope), int(channels_last), error,
            gradient_error);
      }
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
  // With the largest window worth the time.
  const int64_t shapes[][5] = {{1, 1, 1, 8, 33},
                               {2, 3, 5, 7, 33},
                               {1, 2, 33, 17, 33},
                               {3, 1, 16, 64, 33},
                               {1, 19, 9, 6, 33},
                               {1, 3, 20, 301, 9},
                               {1, 2, 17, 1100, 31},
                               // Rows of one or two vectors.
                               {1, 2, 7, 4, 7},
                               {2, 1, 35, 15, 7},
                               {1, 3, 9, 16, 7},
                               {2, 1, 5, 18, 7},
                               {1, 1, 67, 20, 7},
                               {1, 1, 9, 31, 7},
                               {1, 1, 34, 32, 7}};
  int64_t cases = 0;
  for (const auto& shape : shapes) {
    for (const int64_t k : {3, 5, 7, 9, 31, 33}) {
      for (int padding = 0; padding < 5; ++padding) {
        for (int scope = 0; scope < 4; ++scope) {
          for (const bool last : {false, true}) {
            const Case t{shape[0], shape[1],         shape[2],     shape[3],
                         k,        Padding(padding), Scope(scope), scope == 1 ? 0.1 : 0.0};
            if (last && (t.c == 1 || k == 5 || k == 31)) continue;
            // The widest, which takes several strips, is for large windows only.
            const bool wide = t.w > 1024;
            if (k > shape[4] || (wide && (k != 31 || scope != 0))) continue;
            // Windows that all hold the whole image tie: the maximum is a matter of rounding.
            if (t.padding == Padding::zeros && k / 2 >= std::max(t.h, t.w) - 1) continue;
            try {
              check_size(t.h, t.w, k, t.padding);
            } catch (const std::exception&) {
              continue;
            }
            run<float>(tables, t, last, DType::float32, 5e-6);
            run<double>(tables, t, last, DType::float64, 1e-10);
            cases += 2 * static_cast<int64_t>(tables.size());
          }
        }
      }
    }
  }
  std::printf("%lld passed, %d failed\n", (long long)cases, failures);
  return failures == 0 ? 0 : 1;
}
