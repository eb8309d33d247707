#include "threads.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace neurn::align {
namespace {

bool run(const Parallel& parallel, int64_t count, void* context, void (*body)(void*, int64_t)) {
  std::atomic<int64_t> next{0}, done{0};
  std::atomic<bool> stopped{false};
  std::mutex guard;
  std::exception_ptr error;
  const auto work = [&](bool polls) {
    try {
      while (!stopped) {
        const int64_t i = next++;
        if (i >= count) break;
        body(context, i);
        ++done;
        if (polls && !parallel.poll(parallel.poll_context, done, count)) stopped = true;
      }
    } catch (...) {
      const std::lock_guard<std::mutex> lock(guard);
      if (error == nullptr) error = std::current_exception();
      stopped = true;
    }
  };
  std::vector<std::thread> others;
  for (int64_t k = 1; k < std::min(parallel.threads, count); ++k) {
    try {
      others.emplace_back(work, false);
    } catch (const std::system_error&) {
      break;  // the threads there are do all
    }
  }
  work(parallel.poll != nullptr);
  for (std::thread& other : others) other.join();
  if (error != nullptr) std::rethrow_exception(error);
  if (!stopped && parallel.poll != nullptr && !others.empty()) {
    return parallel.poll(parallel.poll_context, done, count);
  }
  return !stopped;
}

}  // namespace

Parallel on_threads(int64_t threads, bool (*poll)(void*, int64_t, int64_t), void* poll_context) {
  return {threads, run, poll, poll_context};
}

}  // namespace neurn::align
