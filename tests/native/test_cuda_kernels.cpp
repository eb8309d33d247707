// Runs every CUDA kernel on a processor (cuda_emulator.h), in two orders of its threads,
// against the brute-force reference: awkward sizes, every option, and devices with little and much
// shared memory, with and without clusters. Arrays are exactly as large as the images.
#include <cinttypes>
#include <limits>
#include <random>

#include "cuda_memory.h"
#include "neurn/check.h"
#include "neurn/cuda/element.cuh"
#include "neurn/cuda/kernels.h"
#include "reference.h"

namespace neurn::cuda {
namespace {

int failures = 0;
int64_t passed = 0;

enum class Layout { contiguous, channels_last, apart, expanded };

// A strided array of which every element counts and none lies beside the allocation.
template <class T>
struct Image {
  std::vector<T> values;
  Array array;
  int64_t n, c, h, w;

  Image(int64_t n, int64_t c, int64_t h, int64_t w, Layout layout) : n(n), c(c), h(h), w(w) {
    int64_t size = n * c * h * w;
    switch (layout) {
      case Layout::contiguous:
        array = {nullptr, c * h * w, h * w, w, 1};
        break;
      case Layout::channels_last:
        array = {nullptr, c * h * w, 1, w * c, c};
        break;
      case Layout::apart:  // columns before rows, and two of three elements unused
        array = {nullptr, c * h * w * 3, h * w * 3, 3, h * 3};
        size = (size - 1) * 3 + 1;
        break;
      case Layout::expanded:  // one row for all
        array = {nullptr, 0, 0, 0, 1};
        size = w;
        break;
    }
    values.resize(static_cast<size_t>(size));
    std::memset(static_cast<void*>(values.data()), 0xff, values.size() * sizeof(T));
    array.data = values.data();
  }
  T& at(int64_t flat) {
    const int64_t j = flat % w, i = flat / w % h, plane = flat / w / h;
    return values[static_cast<size_t>(plane / c * array.n + plane % c * array.c + i * array.h +
                                      j * array.w)];
  }
  std::vector<double> wide() {
    std::vector<double> all(static_cast<size_t>(n * c * h * w));
    for (size_t i = 0; i < all.size(); ++i) all[i] = widen(at(static_cast<int64_t>(i)));
    return all;
  }
};

template <class T>
struct Type;
template <>
struct Type<Half> {
  static constexpr DType dtype = DType::float16;
  static constexpr double rounding = 0x1p-11, least = 0x1p-25, tolerance = 6e-6;
  static constexpr const char* name = "float16";
};
template <>
struct Type<BFloat16> {
  static constexpr DType dtype = DType::bfloat16;
  static constexpr double rounding = 0x1p-8, least = 0, tolerance = 6e-6;
  static constexpr const char* name = "bfloat16";
};
template <>
struct Type<float> {
  static constexpr DType dtype = DType::float32;
  static constexpr double rounding = 0, least = 0, tolerance = 6e-6;
  static constexpr const char* name = "float32";
};
template <>
struct Type<double> {
  static constexpr DType dtype = DType::float64;
  static constexpr double rounding = 0, least = 0, tolerance = 1e-11;
  static constexpr const char* name = "float64";
};

struct Variant {
  const char* name;
  Device device;
};

// One processor: a scope is always held where it fits; many: never.
const Variant roomy{"roomy", {1, 227 << 10, 228 << 10, 1}};
const Variant crowded{"two passes", {1 << 20, 99 << 10, 100 << 10, 1}};
const Variant clustered{"clusters", {1, 26 << 10, 60 << 10, 8}};
const Variant narrow{"little memory", {1, 13 << 10, 26 << 10, 2}};

template <class T>
struct Result {
  Image<T> y, dx;
  std::vector<typename Compute<T>::Type> peak;
  std::vector<int64_t> index;

  bool same(const Result& other) const {
    auto equal = [](const auto& a, const auto& b) {
      if (a.empty()) return b.empty();
      return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(a[0])) == 0;
    };
    return equal(y.values, other.y.values) && equal(dx.values, other.dx.values) &&
           equal(peak, other.peak) && equal(index, other.index);
  }
};

template <class T>
Result<T> run(const Case& t, const Image<T>& x, const Image<T>& grad, Layout layout,
              const Device& device) {
  const Layout out = layout == Layout::channels_last ? layout : Layout::contiguous;
  const size_t scopes = static_cast<size_t>(t.scopes());
  Result<T> r{Image<T>(t.n, t.c, t.out_h(), t.out_w(), out), Image<T>(t.n, t.c, t.h, t.w, out),
              std::vector<typename Compute<T>::Type>(scopes), std::vector<int64_t>(scopes)};
  Memory memory;
  const Stream stream{device, {&memory, &Memory::allocate}, nullptr};
  const Problem p{Type<T>::dtype, t.n,     t.c,     t.h, t.w, t.out_h(), t.out_w(), t.k,
                  t.padding,      t.scope, t.floor, {},  {}};
  const Peaks peaks{r.peak.data(), r.index.data()};
  forward(p, x.array, r.y.array, peaks, stream);
  backward(p, grad.array, x.array, {peaks, {0, 1}, {0, 1}, std::max<int64_t>(t.scopes(), 1)},
           r.dx.array, stream);
  return r;
}

template <class T>
void report(const char* what, const Case& t, Layout layout, const Variant& variant, double a = 0,
            double b = 0) {
  ++failures;
  std::printf("FAILED %s: %s %" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 " k=%" PRId64
              " padding=%d scope=%d layout=%d on %s: %.3g %.3g\n",
              what, Type<T>::name, t.n, t.c, t.h, t.w, t.k, int(t.padding), int(t.scope),
              int(layout), variant.name, a, b);
}

template <class T>
void fill(Image<T>& image, unsigned seed, double mean, double scale) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform(-1, 1);
  for (int64_t i = 0; i < image.n * image.c * image.h * image.w; ++i) {
    assign(image.at(i), mean + scale * uniform(random));
  }
}

template <class T>
void compare(const Case& t, Image<T>& x, Layout layout, Layout grad_layout, const Variant& variant,
             double gradient_tolerance = 20 * Type<T>::tolerance) {
  Image<T> grad(t.n, t.c, t.out_h(), t.out_w(), grad_layout);
  fill(grad, 2, 0, 1);
  emulator::order = emulator::Order::forward;
  Result<T> r = run(t, x, grad, layout, variant.device);
  // The opposite order, or any; each case meets one of them.
  emulator::order = (passed + failures) % 2 ? emulator::Order::reverse : emulator::Order::random;
  if (!r.same(run(t, x, grad, layout, variant.device))) {
    report<T>("another order of threads, another result", t, layout, variant);
  }
  const Reference expected = reference(t, x.wide(), grad.wide(), r.index);
  for (int64_t s = 0; s < t.scopes(); ++s) {
    const auto begin = expected.sigma.begin() + s * t.scope_size();
    const double top = *std::max_element(begin, begin + t.scope_size());
    const double found = begin[r.index[static_cast<size_t>(s)]];
    if (!(std::abs(double(r.peak[static_cast<size_t>(s)]) - top) <= Type<T>::tolerance * top &&
          top - found <= Type<T>::tolerance * top)) {
      report<T>("peak", t, layout, variant, double(r.peak[static_cast<size_t>(s)]), top);
    }
  }
  double error = 0, gradient_error = 0, scale = 0;
  const std::vector<double> y = r.y.wide(), dx = r.dx.wide();
  for (size_t i = 0; i < y.size(); ++i) {
    const double allowed = Type<T>::rounding * expected.y[i] + Type<T>::least;
    const double difference = std::abs(y[i] - expected.y[i]) - allowed;
    // Written so that a NaN counts.
    if (!(difference <= error * expected.y[i])) error = difference / expected.y[i];
  }
  for (const double v : expected.dx) scale = std::max(scale, std::abs(v));
  if (scale == 0) scale = 1;
  for (size_t i = 0; i < dx.size(); ++i) {
    const double allowed = Type<T>::rounding * std::abs(expected.dx[i]) + Type<T>::least;
    const double difference = std::abs(dx[i] - expected.dx[i]) - allowed;
    if (!(difference <= gradient_error * scale)) gradient_error = difference / scale;
  }
  if (!(error <= Type<T>::tolerance && gradient_error <= gradient_tolerance)) {
    report<T>("values", t, layout, variant, error, gradient_error);
  } else {
    ++passed;
  }
}

bool possible(const Case& t) {
  // Windows that all hold the whole image tie: the maximum is a matter of rounding.
  if (t.padding == Padding::zeros && t.k / 2 >= std::max(t.h, t.w) - 1) return false;
  try {
    check_size(t.h, t.w, t.k, t.padding);
  } catch (const std::exception&) {
    return false;
  }
  return true;
}

template <class T>
void check(const Case& t, Layout layout, const Variant& variant,
           Layout grad_layout = Layout::contiguous) {
  if (!possible(t)) return;
  Image<T> x(t.n, t.c, t.h, t.w, layout);
  fill(x, 1, sizeof(T) == 2 ? 0.5 : 100, 1);
  compare(t, x, layout, grad_layout, variant);
}

template <class T>
void check_options() {
  const Variant* variants[] = {&roomy, &crowded, &clustered, &narrow};
  int turn = 0;
  const int64_t shapes[][4] = {{1, 1, 1, 8},   {3, 2, 5, 7},   {2, 3, 33, 17},
                               {5, 1, 28, 28}, {1, 3, 40, 70}, {1, 10, 9, 6}};
  for (const auto& shape : shapes) {
    for (const int64_t k : {1, 3, 5, 7, 9, 31, 33}) {
      for (int padding = 0; padding < 5; ++padding) {
        // Every pair of the other options comes up over the loops; all of them would take minutes.
        ++turn;
        const int scope = turn % 4, layouts = turn / 4 % 3;
        if (k > 9 && shape[0] * shape[1] * shape[2] * shape[3] > 500 && turn % 8 != 0) continue;
        const Case t{shape[0], shape[1],         shape[2],     shape[3],
                     k,        Padding(padding), Scope(scope), turn % 5 == 0 ? 0.1 : 0.0};
        const Layout grads[] = {Layout::contiguous, Layout::channels_last, Layout::apart,
                                Layout::expanded};
        check<T>(t, Layout(layouts), *variants[turn / 3 % 4], grads[turn / 2 % 4]);
      }
    }
  }
}

// What each path is for.
void check_paths() {
  for (int padding = 0; padding < 5; ++padding) {
    for (int scope = 0; scope < 4; ++scope) {
      const int64_t sizes[] = {3, 7, 11};
      for (const int64_t k : sizes) {
        const Case small{9, 1, 28, 28, k, Padding(padding), Scope(scope), 0};
        check<float>(small, Layout::contiguous, roomy);
      }
      // Each scope meets every size, and each padding does.
      const Case large{2, 3, 67, 75, sizes[(padding + scope) % 3], Padding(padding), Scope(scope),
                       0};
      check<float>(large, Layout::contiguous, clustered);
      const Case last{2, 11, 20, 35, 3, Padding(padding), Scope(scope), 0.5};
      check<Half>(last, Layout::channels_last, clustered);
      check<float>(last, Layout::channels_last, crowded);
    }
  }
  // A cluster of four, as for 3x224x224 on sm_90.
  const Variant hopper{"sm_90", {1, 227 << 10, 228 << 10, 8}};
  check<float>({1, 3, 224, 224, 3, Padding::reflect, Scope::image, 0}, Layout::contiguous, hopper);
  check<BFloat16>({1, 3, 224, 224, 7, Padding::zeros, Scope::image, 0}, Layout::channels_last,
                  hopper);
  // As much shared memory as sm_75, sm_80 and sm_86 have.
  const Variant older[] = {{"sm_75", {1, 64 << 10, 64 << 10, 1}},
                           {"sm_80", {1, 163 << 10, 164 << 10, 1}},
                           {"sm_86", {1, 99 << 10, 100 << 10, 1}}};
  for (const Variant& device : older) {
    for (const Scope scope : {Scope::image, Scope::channel}) {
      check<float>({1, 2, 65, 131, 5, Padding::replicate, scope, 0}, Layout::contiguous, device);
      check<double>({1, 2, 65, 67, 7, Padding::circular, scope, 0}, Layout::apart, device);
    }
  }
  // More partial results than one block's threads.
  check<float>({1031, 1, 4, 5, 3, Padding::reflect, Scope::batch, 0}, Layout::contiguous, roomy);
  check<BFloat16>({1031, 1, 3, 4, 3, Padding::valid, Scope::batch, 0}, Layout::contiguous, narrow);
  check<float>({1, 2, 131, 137, 63, Padding::reflect, Scope::none, 0}, Layout::contiguous, roomy);
}

template <class T>
Result<T> once(const Case& t, Image<T>& x, const Variant& variant,
               Layout layout = Layout::contiguous) {
  emulator::order = emulator::Order::random;
  Image<T> grad(t.n, t.c, t.out_h(), t.out_w(), Layout::contiguous);
  fill(grad, 2, 0, 1);
  return run(t, x, grad, layout, variant.device);
}

void expect(bool holds, const char* what, int64_t k, const Variant& variant) {
  if (holds) {
    ++passed;
    return;
  }
  ++failures;
  std::printf("FAILED %s: k=%" PRId64 " on %s\n", what, k, variant.name);
}

template <class T>
void check_numerics(const Variant& variant) {
  const double largest = sizeof(T) == 8 ? 1e300 : sizeof(T) == 4 ? 3e38 : 6e4;
  for (const int64_t k : {3, 9, 33}) {
    for (const double constant : {0.0, 0.1, -77e2, largest}) {
      const Case t{2, 1, 37, 35, k, Padding::reflect, Scope::image, 0.0};
      Image<T> x(t.n, t.c, t.h, t.w, Layout::contiguous);
      fill(x, 1, constant, 0);
      Result<T> r = once(t, x, variant);
      auto zero = [](double v) { return v == 0; };
      const auto y = r.y.wide(), dx = r.dx.wide();
      expect(std::all_of(y.begin(), y.end(), zero) && std::all_of(dx.begin(), dx.end(), zero) &&
                 r.index[0] == 0,
             "a constant is exactly 0", k, variant);
    }
    for (const double bad : {double(NAN), -double(INFINITY)}) {
      const Case t{2, 2, 40, 41, k, Padding::zeros, Scope::none, 0.0};
      Image<T> x(t.n, t.c, t.h, t.w, Layout::contiguous);
      fill(x, 1, 0.5, 1);
      Result<T> clean = once(t, x, variant);
      const int64_t row = 17, column = 20;
      assign(x.at((1 * t.h + row) * t.w + column), bad);
      Result<T> r = once(t, x, variant);
      bool holds = true;
      for (int64_t i = 0; i < t.outputs(); ++i) {
        const int64_t plane = i / t.w / t.h, u = i / t.w % t.h, v = i % t.w;
        auto within = [&](int64_t reach) {
          return plane == 1 && std::abs(u - row) <= reach && std::abs(v - column) <= reach;
        };
        const double y = widen(r.y.at(i)), dx = widen(r.dx.at(i));
        holds = holds && (within(k / 2) ? std::isnan(y) : y == double(widen(clean.y.at(i))));
        holds = holds && (within(k - 1) ? std::isnan(dx) : !std::isnan(dx));
      }
      expect(holds, "a NaN or infinity reaches its windows alone", k, variant);
      Case scoped = t;
      scoped.scope = Scope::image;
      r = once(scoped, x, variant);
      expect(std::isnan(double(r.peak[0])) && r.index[0] == -1 && !std::isnan(double(r.peak[1])) &&
                 r.index[1] >= 0 && std::isnan(double(widen(r.y.at(0)))) &&
                 std::isnan(double(widen(r.dx.at(0)))) &&
                 !std::isnan(double(widen(r.dx.at(t.outputs() - 1)))),
             "a NaN spoils its scope and no other", k, variant);
    }
  }
  // Patches around a spot of height k^2 have the same deviation, without any rounding.
  for (const int64_t k : {3, 5}) {
    for (const Scope scope : {Scope::image, Scope::channel, Scope::batch}) {
      for (const Layout layout : {Layout::contiguous, Layout::channels_last}) {
        const Case t{2, 3, 40, 43, k, Padding::reflect, scope, 0.0};
        Image<T> x(t.n, t.c, t.h, t.w, layout);
        fill(x, 1, 0, 0);
        for (int64_t n = 0; n < t.n; ++n) {
          for (const auto& [c, i, j] :
               {std::array<int64_t, 3>{0, 25, 30}, {1, 9, 11}, {2, 30, 8}}) {
            assign(x.at(((n * t.c + c) * t.h + i) * t.w + j), double(k * k));
          }
        }
        Result<T> r = once(t, x, variant, layout);
        const int64_t first = (25 - k / 2) * t.w + 30 - k / 2;
        bool holds = r.index[0] == first;
        if (scope == Scope::image) holds = holds && r.index[1] == first;
        if (scope == Scope::channel) {
          holds = holds && r.index[1] == (9 - k / 2) * t.w + 11 - k / 2;
          holds = holds && r.index[5] == (30 - k / 2) * t.w + 8 - k / 2;
        }
        expect(holds, "of equal maxima the first", k, variant);
      }
    }
  }
}

// Whatever padding shows and wherever tiles end: a pixel that is no number spoils the windows that
// hold it, and the gradients of their pixels, and nothing else.
template <class T>
void check_locality(const Variant& variant) {
  for (int padding = 0; padding < 5; ++padding) {
    for (const int64_t k : {3, 5, 9}) {
      const Case t{1, 3, 19, 71, k, Padding(padding), Scope::none, 0.0};
      const Layout layout = k == 5 ? Layout::channels_last : Layout::contiguous;
      Image<T> x(t.n, t.c, t.h, t.w, layout);
      fill(x, 1, 0.5, 1);
      for (const auto& [c, i, j] :
           {std::array<int64_t, 3>{0, 0, 0}, {0, 1, 40}, {1, 17, 70}, {1, 9, 2}, {2, 18, 63}}) {
        assign(x.at((c * t.h + i) * t.w + j), i % 2 ? double(NAN) : double(INFINITY));
      }
      Image<T> grad(t.n, t.c, t.out_h(), t.out_w(), Layout::contiguous);
      fill(grad, 2, 0, 1);
      Result<T> r = run(t, x, grad, layout, variant.device);
      const Reference expected = reference(t, x.wide(), grad.wide());
      auto same = [](const std::vector<double>& a, const std::vector<double>& b) {
        return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                          [](double v, double w) { return std::isnan(v) == std::isnan(w); });
      };
      expect(same(r.y.wide(), expected.y) && same(r.dx.wide(), expected.dx),
             "NaN where the definition has it", k, variant);
    }
  }
}

// Whether scopes are held in shared memory or computed twice does not show.
template <class T>
void check_passes(Variant variant) {
  for (const int64_t k : {3, 7, 9}) {
    for (const Scope scope : {Scope::image, Scope::channel}) {
      const Case t{2, 3, 67, 75, k, Padding::reflect, scope, 0.1};
      Image<T> x(t.n, t.c, t.h, t.w, Layout::contiguous);
      fill(x, 1, 0.5, 1);
      variant.device.processors = 1;
      const Result<T> held = once(t, x, variant);
      variant.device.processors = 1 << 20;
      expect(held.same(once(t, x, variant)), "one pass and two agree bit for bit", k, variant);
    }
  }
}

// Where single precision is easily lost.
void check_accuracy(const Variant& variant) {
  for (const int64_t k : {3, 7, 31}) {
    const Case t{1, 2, 40, 50, k, Padding::reflect, Scope::none, 0.0};
    for (const double scale : {3e-39, 1e-30, 1e-22, 1.0, 1e22, 1e30}) {
      for (const double offset : {0.0, 1e4}) {
        if (k > 7 && offset > 0 && scale != 1) continue;
        Image<float> x(t.n, t.c, t.h, t.w, Layout::contiguous);
        fill(x, 1, offset * scale, scale);
        compare(t, x, Layout::contiguous, Layout::contiguous, variant);
      }
    }
    Image<float> bright(t.n, t.c, t.h, t.w, Layout::contiguous);
    fill(bright, 1, 0, 1);
    bright.at(11 * t.w + 13) = 1e4f;
    compare(t, bright, Layout::contiguous, Layout::contiguous, variant);
    // No one origin serves a tile.
    Image<float> blocks(t.n, t.c, t.h, t.w, Layout::contiguous);
    fill(blocks, 1, 0, 1);
    for (int64_t i = 0; i < t.outputs(); ++i) {
      blocks.at(i) += float((i / t.w / 13 * 7 + i % t.w / 11 * 3) % 5) * 5e3f;
    }
    compare(t, blocks, Layout::contiguous, Layout::contiguous, variant);
    Case scoped = t;
    scoped.scope = Scope::image;
    for (const double scale : {1e-25, 1e25, 1e37}) {
      Image<float> x(t.n, t.c, t.h, t.w, Layout::contiguous);
      fill(x, 1, 0, scale);
      compare(scoped, x, Layout::contiguous, Layout::contiguous, variant);
    }
  }
}

}  // namespace
}  // namespace neurn::cuda

int main() {
  using namespace neurn::cuda;
  check_options<float>();
  check_options<double>();
  check_options<Half>();
  check_options<BFloat16>();
  check_paths();
  check_numerics<float>(roomy);
  check_numerics<float>(clustered);
  check_locality<float>(roomy);
  check_locality<double>(narrow);
  check_locality<Half>(clustered);
  check_passes<float>(clustered);
  check_passes<BFloat16>(roomy);
  check_accuracy(roomy);
  check_numerics<double>(crowded);
  check_numerics<BFloat16>(crowded);
  std::printf("%" PRId64 " passed, %d failed\n", passed, failures);
  return failures == 0 ? 0 : 1;
}
