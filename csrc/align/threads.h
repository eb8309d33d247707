// Threads of one call.
#pragma once

#include "problem.h"

namespace neurn::align {

// Starts threads for a call and ends them with it; an exception of any body is rethrown to the
// caller. poll may be null.
Parallel on_threads(int64_t threads, bool (*poll)(void*, int64_t, int64_t) = nullptr,
                    void* poll_context = nullptr);

}  // namespace neurn::align
