"""Real images that ship with scikit-learn: handwritten digits and two photographs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from neurn._optional import import_optional
from neurn.generalize.datasets import Dataset


def load_digits(size: int = 32) -> Dataset:
    """Load scikit-learn's handwritten digits, enlarged, as 8-bit images.

    The 1,797 images of 8 x 8 pixels are the test part of the UCI "Optical Recognition of
    Handwritten Digits" data (E. Alpaydin and C. Kaynak, 1998).

    Parameters
    ----------
    size : int
        Height and width in pixels; bilinear interpolation from 8 x 8.

    Returns
    -------
    Dataset
        Images uint8 of shape (1797, 3, size, size), the grey channel repeated; labels 0 to 9.

    Raises
    ------
    MissingExtraError
        If scikit-learn is not installed.
    """
    bunch = import_optional("sklearn.datasets", "generalize").load_digits()
    grey = torch.from_numpy(np.asarray(bunch.images, dtype=np.float64) / 16.0)[:, None]
    enlarged = torch.nn.functional.interpolate(
        grey, size=(size, size), mode="bilinear", align_corners=False
    )
    images = (255.0 * enlarged).round().to(torch.uint8).expand(-1, 3, -1, -1)
    return Dataset("digits", images.contiguous().numpy(), bunch.target.astype(np.int64))


def load_photos() -> tuple[npt.NDArray[np.uint8], ...]:
    """Load scikit-learn's two sample photographs, ``china.jpg`` and ``flower.jpg``.

    Returns
    -------
    tuple of ndarray of uint8, shape (427, 640, 3)

    Raises
    ------
    MissingExtraError
        If scikit-learn is not installed.
    """
    return tuple(import_optional("sklearn.datasets", "generalize").load_sample_images().images)
