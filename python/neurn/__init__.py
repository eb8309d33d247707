"""NeuRN for torch, and the comparison of networks with the mouse visual cortex."""

from neurn import _native

_native.load()

from neurn import align, arch, transforms  # noqa: E402
from neurn.layer import NeuRN, neurn, prepend  # noqa: E402

__version__ = _native.build_info()["version"]
__all__ = ["NeuRN", "__version__", "align", "arch", "neurn", "prepend", "transforms"]
