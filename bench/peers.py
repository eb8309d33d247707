"""NeuRN as people write it without this package, each for (N, C, H, W) and scope "image".

All of them square before they average, so they lose digits where the mean is far from 0; on the
normal input of the benchmarks they compute the same as `neurn.neurn`, which is checked before each
is timed. Those that take arrays are called plane by plane, their own way of working.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from skimage.filters.thresholding import _mean_std
from torch import Tensor

Peer = Callable[[Tensor, int], Tensor]


def _over_maximum(sigma: Tensor) -> Tensor:
    return sigma / sigma.amax((1, 2, 3), keepdim=True)


def _pad(x: Tensor, k: int) -> Tensor:
    return F.pad(x, (k // 2,) * 4, mode="reflect")


def avg_pool(x: Tensor, k: int) -> Tensor:
    padded = _pad(x, k)
    mean = F.avg_pool2d(padded, k, 1)
    square = F.avg_pool2d(padded * padded, k, 1)
    return _over_maximum((square - mean * mean).clamp_min(0).sqrt())


def shifted_slices(x: Tensor, k: int) -> Tensor:
    height, width = x.shape[-2:]
    padded = _pad(x, k)
    mean = torch.zeros_like(x)
    square = torch.zeros_like(x)
    for i in range(k):
        for j in range(k):
            shifted = padded[..., i : i + height, j : j + width]
            mean = mean + shifted
            square = square + shifted * shifted
    mean = mean / k**2
    return _over_maximum((square / k**2 - mean * mean).clamp_min(0).sqrt())


def unfold(x: Tensor, k: int) -> Tensor:
    patches = _pad(x, k).unfold(-2, k, 1).unfold(-2, k, 1)
    return _over_maximum(patches.std((-2, -1), unbiased=False))


Plane = NDArray[np.float32]


def _by_plane(x: Tensor, write_sigma: Callable[[Plane, Plane], None]) -> Tensor:
    y = torch.empty_like(x)
    for sample, result in zip(x.numpy(), y.numpy(), strict=True):
        for plane, sigma in zip(sample, result, strict=True):
            write_sigma(plane, sigma)
        result /= result.max()
    return y


def opencv(x: Tensor, k: int) -> Tensor:
    def write_sigma(plane: Plane, sigma: Plane) -> None:
        border = cv2.BORDER_REFLECT_101
        mean = cv2.boxFilter(plane, cv2.CV_32F, (k, k), borderType=border)
        square = cv2.sqrBoxFilter(plane, cv2.CV_32F, (k, k), borderType=border)
        np.sqrt(np.maximum(square - mean * mean, 0), out=sigma)

    return _by_plane(x, write_sigma)


def skimage(x: Tensor, k: int) -> Tensor:
    # The function inside threshold_niblack and threshold_sauvola, whose results mix the deviation
    # with the mean; skimage's own way to a window's statistics, filters.rank, takes integers only.
    def write_sigma(plane: Plane, sigma: Plane) -> None:
        sigma[...] = _mean_std(plane, k)[1]

    return _by_plane(x, write_sigma)


EAGER: dict[str, Peer] = {
    "avg_pool2d": avg_pool,
    "shifted slices": shifted_slices,
    "unfold().std()": unfold,
    "OpenCV boxFilter, sqrBoxFilter": opencv,
    "skimage _mean_std": skimage,
}
COMPILED: dict[str, Peer] = {
    "torch.compile(avg_pool2d)": avg_pool,
    "torch.compile(shifted slices)": shifted_slices,
}


def find(name: str) -> Peer:
    """Return the peer of that name, compiled if it is one of those."""
    if name in EAGER:
        return EAGER[name]
    torch._dynamo.reset()  # what was compiled for another shape must not turn this one dynamic
    return torch.compile(COMPILED[name], dynamic=False, fullgraph=True)


def reference(x: Tensor, k: int) -> Tensor:
    """What every contestant must compute: float64, rows before columns, so any k is affordable."""

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(F.avg_pool2d(values, (k, 1), 1), (1, k), 1)

    padded = _pad(x.double(), k)
    return _over_maximum((mean(padded * padded) - mean(padded) ** 2).clamp_min(0).sqrt())
