import numpy as np
import pytest

from neurn.generalize.readers import resize

Image = pytest.importorskip("PIL.Image")


def test_resize_agrees_with_pillow():
    """Pillow's bilinear filter widens when it shrinks: the same rule, up to rounding."""
    images = np.random.default_rng(0).integers(0, 256, (3, 40, 56, 3), dtype=np.uint8)
    for size in (32, 20, 64):
        ours = resize(images, size)
        for image, mine in zip(images, ours, strict=True):
            theirs = np.asarray(Image.fromarray(image).resize((size, size), Image.BILINEAR))
            assert np.abs(mine.transpose(1, 2, 0).astype(int) - theirs).max() <= 1


def test_the_same_size_keeps_every_bit_and_grey_repeats():
    images = np.random.default_rng(0).integers(0, 256, (1500, 8, 8), dtype=np.uint8)
    same = resize(images, 8)
    assert same.shape == (1500, 3, 8, 8)
    assert (same == images[:, None]).all()
    large = resize(images, 11)
    assert (large == large[:, :1]).all()
    assert (large[1200:1210] == resize(images[1200:1210], 11)).all()
