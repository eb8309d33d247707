"""The transform for data loaders."""

import copy
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import neurn

from . import reference
from .cases import DTYPES, assert_sigma, case_id, noise

ARGUMENTS = {"kernel_size": 5, "padding": "replicate", "scope": "channel"}


def picture(channels=3, height=20, width=17, seed=0):
    """(H, W, C) bytes, or (H, W) for one channel."""
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def expected(array, **arguments):
    pixels = torch.from_numpy(np.atleast_3d(array)).permute(2, 0, 1).float()
    return reference.forward(pixels, **arguments)


@pytest.mark.parametrize("arguments", [{}, ARGUMENTS], ids=["defaults", "arguments"])
@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_pil_images(mode, channels, arguments):
    array = picture(channels)
    image = Image.fromarray(array)
    assert image.mode == mode
    y = neurn.transforms.NeuRN(**arguments)(image)
    assert y.dtype == torch.float32 and y.shape == (channels, 20, 17)
    assert y.min() >= 0 and y.max() == 1
    assert_sigma(y, expected(array, **arguments), factor=2)
    assert np.array_equal(np.asarray(image), array)


@pytest.mark.parametrize("shape", [(3, 12, 13), (1, 12, 13), (2, 3, 12, 13)], ids=str)
def test_bytes_become_a_float_map(shape):
    x = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    y = neurn.transforms.NeuRN()(x)
    assert y.dtype == torch.float32 and y.shape == shape
    assert_sigma(y, reference.forward(x.float()), factor=2)
    assert torch.equal(x, before)


@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_are_read_as_the_picture_that_they_came_from(channels):
    array = picture(channels)
    transform = neurn.transforms.NeuRN()
    assert torch.equal(transform(array), transform(Image.fromarray(array)))


@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
def test_float_tensors_keep_their_type(dtype):
    for shape in ((3, 12, 13), (2, 3, 12, 13)):
        x = noise(shape, dtype)
        y = neurn.transforms.NeuRN(**ARGUMENTS)(x)
        assert y.dtype == dtype
        assert torch.equal(y, neurn.neurn(x, **ARGUMENTS))


def test_black_pictures_are_black():
    y = neurn.transforms.NeuRN()(Image.new("RGB", (9, 8), (7, 7, 7)))
    assert y.shape == (3, 8, 9) and not y.any()


def test_pickles_and_copies():
    transform = neurn.transforms.NeuRN(**ARGUMENTS)
    image = Image.fromarray(picture())
    for other in (pickle.loads(pickle.dumps(transform)), copy.deepcopy(transform)):
        assert torch.equal(other(image), transform(image))
    assert "kernel_size=5" in repr(transform)


def test_in_a_pipeline_of_modules():
    pipeline = torch.nn.Sequential(neurn.transforms.NeuRN(), torch.nn.AvgPool2d(2))
    assert pipeline(Image.fromarray(picture())).shape == (3, 10, 8)


class Pictures(Dataset):
    """Pictures with their transform, as a data set of torchvision has it."""

    def __init__(self, transform, count=10):
        self.transform = transform
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.transform(Image.fromarray(picture(seed=index))), index


def test_in_the_workers_of_a_data_loader():
    # The parent has used torch's threads by now, which is what a forked worker inherits.
    transform = neurn.transforms.NeuRN()
    transform(noise((8, 3, 64, 64)))
    data = Pictures(transform)
    loader = DataLoader(data, batch_size=4, num_workers=2, timeout=60)
    seen = []
    for batch, indices in loader:
        assert batch.shape[1:] == (3, 20, 17)
        for image, index in zip(batch, indices.tolist(), strict=True):
            assert torch.equal(image, data[index][0])
            seen.append(index)
    assert seen == list(range(10))
