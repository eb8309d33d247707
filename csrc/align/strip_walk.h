// The way back of a pair: its first best path.
#pragma once

#include <vector>

#include "strip_sweep.h"

namespace neurn::align {

// The path of the score that the last sweep, which kept what this needs, returned.
void walk(const StripSweep& sweep, std::vector<Move>& path);

}  // namespace neurn::align
