"""Finds and loads the native libraries, with one clear sentence where that fails."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Any

OLDEST_TORCH = (2, 11)


def check_torch(version: str | None) -> None:
    """Raise ImportError unless `version` (None: no torch) is one the operators load on."""
    needed = ".".join(map(str, OLDEST_TORCH))
    if version is None:
        raise ImportError(
            f"neurn needs torch >= {needed}, and no torch is installed: install torch."
        )
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None or tuple(map(int, found.groups())) < OLDEST_TORCH:
        raise ImportError(
            f"neurn needs torch >= {needed}, got torch {version}: install a newer torch."
        )


def ops_library() -> Path:
    """Return the path of the operators' library; ImportError where the build has none."""
    import neurn

    for folder in neurn.__path__:
        path = Path(folder) / "_ops.so"
        if path.exists():
            return path
    raise ImportError(
        f"neurn was not built: {Path(neurn.__path__[0]) / '_ops.so'} is missing; "
        "install it with pip install ."
    )


def load() -> None:
    """Load the operators (torch.ops.neurn); ImportError says what is missing."""
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        check_torch(None)
    check_torch(torch.__version__)
    path = ops_library()
    try:
        torch.ops.load_library(path)
    except OSError as error:
        reason = error.__cause__ or error
        raise ImportError(
            f"neurn's operators do not load on torch {torch.__version__}: {reason}"
        ) from error


def build_info() -> dict[str, Any]:
    """Return how the native libraries were built: version, compiler, torch_headers, cuda."""
    from neurn import _core

    info: dict[str, Any] = _core.build_info()
    return info


def cpu_kernels() -> str:
    """Return the instruction set in use: "avx512", "avx2" or "baseline"."""
    library = ctypes.CDLL(str(ops_library()))
    library.neurn_cpu_kernels.restype = ctypes.c_char_p
    name: bytes = library.neurn_cpu_kernels()
    return name.decode()
