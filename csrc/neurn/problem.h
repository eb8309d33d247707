// What an operator call is, independent of torch and of the instruction set. Functions here are
// always inlined: an out-of-line copy could be one that another instruction set's unit made.
#pragma once

#include <cstdint>

namespace neurn {

enum class Padding { reflect, replicate, circular, zeros, valid };
enum class Scope { image, channel, batch, none };
enum class DType { float16, bfloat16, float32, float64 };

// A strided (N, C, H, W) array; strides count elements.
struct Array {
  void* data;
  int64_t n, c, h, w;
};

// One image axis under a window of k: position v of the padded axis shows source position
// source[v] (-1: a zero), and output o sees the positions o .. o + k - 1.
struct Axis {
  int64_t size;           // source length
  int64_t outputs;        // windows
  int64_t lead;           // padded positions before source position 0
  const int64_t* source;  // outputs + k - 1 entries
  [[gnu::always_inline]] int64_t padded(int64_t k) const { return outputs + k - 1; }
};

// Runs body(context, begin, end) over [0, count), in parallel.
struct Parallel {
  int64_t threads;
  void (*run)(int64_t count, void* context, void (*body)(void*, int64_t, int64_t));
};

struct Problem {
  DType dtype;
  int64_t samples, channels, height, width;  // of x
  int64_t out_height, out_width;
  int64_t k;
  Padding padding;
  Scope scope;
  double floor;
  Axis rows, columns;
  [[gnu::always_inline]] int64_t scopes() const {
    switch (scope) {
      case Scope::image:
        return samples;
      case Scope::channel:
        return samples * channels;
      case Scope::batch:
        return 1;
      default:
        return 0;
    }
  }
};

// peak: the largest deviation of each scope (float, or double for float64 arrays);
// index: its lowest flat (C, H, W) position in the scope, -1 where the peak is NaN.
struct Peaks {
  void* value;
  int64_t* index;
};

// Circular padding lets a pixel's windows wrap around: the backward pass extends the windows
// instead.
[[gnu::always_inline]] inline int64_t backward_margin(int64_t k, Padding padding) {
  return padding == Padding::circular ? k / 2 : 0;
}

struct Kernels {
  const char* name;
  void (*forward)(const Problem&, const Array& x, const Array& y, const Peaks&, const Parallel&);
  // rows and columns carry backward_margin more windows on each side.
  void (*backward)(const Problem&, const Array& grad, const Array& x, const Peaks&, const Array& dx,
                   const Parallel&);
};

// The fastest kernels this processor runs. The environment variable NEURN_CPU (baseline, avx2,
// avx512) asks for less.
const Kernels& kernels();

}  // namespace neurn
