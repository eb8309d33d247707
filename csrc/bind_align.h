#pragma once

#include <pybind11/pybind11.h>

namespace neurn::align {

// Adds the aligner to neurn._core.
void bind(pybind11::module_& m);

}  // namespace neurn::align
