// How one call is cut into blocks of planes, strips of columns and tiles of rows.
#pragma once

#include "moments.h"

namespace neurn::NEURN_ISA {

// Channels are interleaved when x is stored channels-last; a block then holds up to 16 of them,
// else it is one plane. Whole rows are best, which the processor reads ahead; the second-level
// cache holds what is kept of them.
struct Blocks {
  bool interleaved;
  int64_t channels, width;  // channels in all, channels of a full block
  int64_t count;            // blocks of a sample

  Blocks(const Problem& p, const Array& x, const Array& y) {
    channels = p.channels;
    interleaved = p.channels > 1 && x.c == 1 && y.c == 1;
    width = interleaved ? (p.channels <= 16 ? p.channels : 16) : 1;
    count = (p.channels + width - 1) / width;
  }
  int64_t first_channel(int64_t block) const { return block * width; }
  int64_t step(int64_t block) const {
    const int64_t left = channels - block * width;
    return left < width ? left : width;
  }
};

inline int64_t strip_windows(int64_t outputs, int64_t k, int64_t step) {
  const int64_t most = 1024 / step > 4 * k ? 1024 / step : 4 * k;
  const int64_t strips = (outputs + most - 1) / most;
  return (outputs + strips - 1) / strips;
}

template <class T>
inline Pixels<T> pixels_of(const Array& a, int64_t sample, int64_t channel) {
  const T* data = static_cast<const T*>(a.data);
  return {data + sample * a.n + channel * a.c, a.h, a.w};
}

// Calls body(begin, end) on parts of [0, count).
template <class Body>
inline void parallel(const Parallel& pool, int64_t count, const Body& body) {
  if (count <= 0) return;
  if (pool.threads <= 1 || count == 1) {
    body(int64_t(0), count);
    return;
  }
  pool.run(count, const_cast<Body*>(&body), [](void* context, int64_t begin, int64_t end) {
    (*static_cast<const Body*>(context))(begin, end);
  });
}

}  // namespace neurn::NEURN_ISA
