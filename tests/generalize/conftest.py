"""Small data and networks for quick tests."""

import numpy as np
import pytest
from torch import nn

from neurn.generalize import Dataset, Source


@pytest.fixture
def toy_data() -> Dataset:
    """90 images of 8 x 8 in three classes: a bright bar at the top, middle or bottom."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 30)
    images = rng.integers(0, 60, (90, 3, 8, 8), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 3 * label : 3 * label + 2] += 150
    order = rng.permutation(90)
    return Dataset("toy", images[order], labels[order])


@pytest.fixture
def toy_source(toy_data) -> Source:
    return Source(toy_data, n_train=40, n_validation=20, n_test=30)


@pytest.fixture
def toy_model():
    return lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
