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
from numpy.typing import NDArray
from skimage.filters.thresholding import _mean_std
from torch import Tensor

from bench.torch_peers import Peer, avg_pool, shifted_slices, unfold

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
