// One long pair by strips.
#pragma once

#include <functional>
#include <vector>

#include "bit_kernels.h"

namespace neurn::align {

// score and align (engine.h) for a linear gap; both sequences have tokens. poll is called every few
// milliseconds and may throw.
int64_t strip_score(const BitKernels& kernels, const BitScoring& scoring, int64_t gap, Sequence a,
                    Sequence b, const std::function<void()>& poll);
int64_t strip_align(const BitKernels& kernels, const BitScoring& scoring, int64_t gap, Sequence a,
                    Sequence b, const std::function<void()>& poll, std::vector<Move>& path);

}  // namespace neurn::align
