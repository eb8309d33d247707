// What a call may be, and the sentence for what it may not.
#pragma once

#include <string>

#include "problem.h"

namespace neurn {

Padding parse_padding(const std::string& name);
Scope parse_scope(const std::string& name);

// Throws std::runtime_error with one sentence. python/neurn/ops.py says the same ones.
void check_arguments(int64_t kernel_size, const std::string& padding, const std::string& scope,
                     double floor);
void check_dimensions(int64_t dimensions);
void check_size(int64_t height, int64_t width, int64_t kernel_size, Padding padding);
[[noreturn]] void refuse_dtype(const std::string& name);

}  // namespace neurn
