// neurn._core: what is not an operator.
#include <pybind11/pybind11.h>

#include "bind_align.h"

PYBIND11_MODULE(_core, m) {
  m.doc() = "Native parts of neurn that are not torch operators.";
  m.def(
      "build_info",
      [] {
        pybind11::dict info;
        info["version"] = NEURN_VERSION;
        info["compiler"] = NEURN_COMPILER;
        info["torch_headers"] = NEURN_TORCH_HEADERS;
        info["cuda"] = static_cast<bool>(NEURN_HAS_CUDA);
        return info;
      },
      "How this library was built: version, compiler, torch headers, whether it has CUDA kernels.");
  neurn::align::bind(m);
}
