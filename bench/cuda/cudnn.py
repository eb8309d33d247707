"""cuDNN's divisive normalization, x / max(c, sigma), by ctypes: the nearest thing it has.

It divides the image by its local deviation where NeuRN gives the deviation itself, so times are
compared and values are not. float32 and windows up to 15.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch
from torch import Tensor

_NCHW, _FLOAT, _PRECOMPUTED_MEANS = 0, 0, 0


class Unavailable(Exception):
    """Says why cuDNN takes no part."""


def _library() -> ctypes.CDLL:
    names = ["libcudnn.so.9", "libcudnn.so"]
    bundled = Path(torch.__file__).parents[1] / "nvidia" / "cudnn" / "lib"
    for name in [*(str(path) for path in sorted(bundled.glob("libcudnn.so*"))), *names]:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise Unavailable("no libcudnn was found")


class DivisiveNormalization:
    """Forward and backward of one shape, on the current stream."""

    def __init__(self, x: Tensor, k: int) -> None:
        if x.dtype != torch.float32 or not x.is_cuda:
            raise Unavailable("float32 on a GPU only")
        if k > 15:
            raise Unavailable("windows up to 15 only")
        self._lib = _library()
        self._handle, self._norm, self._desc = (ctypes.c_void_p() for _ in range(3))
        self._call("cudnnCreate", ctypes.byref(self._handle))
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        self._call("cudnnSetStream", self._handle, stream)
        self._call("cudnnCreateLRNDescriptor", ctypes.byref(self._norm))
        self._call(
            "cudnnSetLRNDescriptor",
            self._norm,
            ctypes.c_uint(k),
            ctypes.c_double(1.0),
            ctypes.c_double(0.5),
            ctypes.c_double(1e-5),
        )
        self._call("cudnnCreateTensorDescriptor", ctypes.byref(self._desc))
        sizes = [ctypes.c_int(size) for size in x.shape]
        self._call("cudnnSetTensor4dDescriptor", self._desc, _NCHW, _FLOAT, *sizes)
        self._x = x
        self._y, self._dx, self._temp, self._temp2 = (torch.empty_like(x) for _ in range(4))

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._lib, name)(*arguments)
        if status != 0:
            raise Unavailable(f"{name} returned {status}")

    def forward(self) -> Tensor:
        one, zero = ctypes.c_float(1), ctypes.c_float(0)
        self._call(
            "cudnnDivisiveNormalizationForward",
            self._handle,
            self._norm,
            _PRECOMPUTED_MEANS,
            ctypes.byref(one),
            self._desc,
            *map(_pointer, (self._x, None, self._temp, self._temp2)),
            ctypes.byref(zero),
            self._desc,
            _pointer(self._y),
        )
        return self._y

    def backward(self, grad: Tensor) -> Tensor:
        one, zero = ctypes.c_float(1), ctypes.c_float(0)
        self._call(
            "cudnnDivisiveNormalizationBackward",
            self._handle,
            self._norm,
            _PRECOMPUTED_MEANS,
            ctypes.byref(one),
            self._desc,
            *map(_pointer, (self._x, None, grad, self._temp, self._temp2)),
            ctypes.byref(zero),
            self._desc,
            *map(_pointer, (self._dx, None)),
        )
        return self._dx


def _pointer(x: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if x is None else x.data_ptr())
