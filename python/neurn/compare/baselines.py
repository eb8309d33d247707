"""What any model has to beat: pixels, and a bank of oriented energy."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurn._optional import import_optional
from neurn.compare.inputs import Floats
from neurn.mouse.representations import shrink

_SIDE = 16  # of pixels as features, at most
_ENERGY_SIDE = 32
_WAVELENGTHS = (4.0, 8.0, 16.0)
_ORIENTATIONS = 8
_GRID = 3


def pixels(images: Any, side: int = _SIDE) -> Floats:
    """Return the pixels of images as features.

    Parameters
    ----------
    images : array, shape (images, height, width)
    side : int
        Height and width that larger images are made, by area averaging.

    Returns
    -------
    ndarray of float64, shape (images, pixels)
    """
    values = np.asarray(images, dtype=np.float64)
    size = (min(side, values.shape[1]), min(side, values.shape[2]))
    return shrink(values, size).reshape(len(values), -1)


def energy(images: Any) -> Floats:
    """Return oriented energy: Gabors in quadrature, squared and summed (Adelson, Bergen 1985).

    3 wavelengths (4, 8, 16 pixels of images that are made 32 wide at most), 8 orientations, the
    mean of energy in 3 x 3 places: 216 features.

    Parameters
    ----------
    images : array, shape (images, height, width)

    Returns
    -------
    ndarray of float64, shape (images, 216)
    """
    signal = import_optional("scipy.signal", "mouse")
    values = np.asarray(images, dtype=np.float64)
    size = tuple(min(_ENERGY_SIDE, side) for side in values.shape[1:])
    small = shrink(values, (size[0], size[1]))
    small = small - small.mean(axis=(1, 2), keepdims=True)
    found = []
    for wavelength in _WAVELENGTHS:
        sigma = 0.5 * wavelength
        reach = int(np.ceil(2.5 * sigma))
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        envelope = np.exp(-(x**2 + y**2) / (2 * sigma**2))
        for k in range(_ORIENTATIONS):
            angle = np.pi * k / _ORIENTATIONS
            along = x * np.cos(angle) + y * np.sin(angle)
            total = np.zeros_like(small)
            for phase in (0, np.pi / 2):
                gabor = envelope * np.cos(2 * np.pi * along / wavelength + phase)
                gabor -= envelope * gabor.sum() / envelope.sum()
                total += signal.fftconvolve(small, gabor[None], mode="same", axes=(1, 2)) ** 2
            grid = (min(_GRID, size[0]), min(_GRID, size[1]))
            found.append(shrink(total, grid).reshape(len(small), -1))
    return np.concatenate(found, axis=1)
