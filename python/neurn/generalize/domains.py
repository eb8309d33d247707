"""Target domains made from a source: photograph blending and corruptions of 8-bit images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neurn.generalize.datasets import EvaluationSet, Images, random_generator

Photos = Sequence[npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class Shift:
    """A target domain defined as a change of the source's test images.

    Attributes
    ----------
    name : str
        Identifier, used in tables and files.
    title : str
        Name for people.
    recipe : str
        What is done to an image, with its parameters.
    apply : callable
        ``apply(images, generator)``: uint8 (N, 3, H, W) to the same shape and dtype.
    """

    name: str
    title: str
    recipe: str
    apply: Callable[[Images, np.random.Generator], Images]

    def render(self, test: EvaluationSet, seed: int) -> EvaluationSet:
        """Show the test images in this domain; same seed, same images."""
        images = self.apply(test.images, random_generator(seed, self.name))
        return test.with_images(self.name, images)


def blend(images: Images, patches: Images) -> Images:
    """Blend images into photograph patches: ``|patch - image|`` for every pixel and channel.

    The recipe of MNIST-M: Ganin and Lempitsky, "Unsupervised domain adaptation by
    backpropagation", ICML 2015, section 4.1.

    Parameters
    ----------
    images, patches : ndarray of uint8, shape (N, 3, H, W)

    Returns
    -------
    ndarray of uint8, shape (N, 3, H, W)
    """
    difference = patches.astype(np.int16) - images.astype(np.int16)
    return np.abs(difference).astype(np.uint8)


def random_patches(
    photos: Photos, shape: tuple[int, int, int], generator: np.random.Generator
) -> Images:
    """Cut patches at random places of random photographs.

    Parameters
    ----------
    photos : sequence of ndarray of uint8, shape (height, width, 3)
    shape : (N, H, W)
        Number and size of the patches, in pixels.
    generator : numpy.random.Generator

    Returns
    -------
    ndarray of uint8, shape (N, 3, H, W)

    Raises
    ------
    ValueError
        If there is no photograph, or one is smaller than a patch.
    """
    count, height, width = shape
    if not photos or min(min(p.shape[0] - height, p.shape[1] - width) for p in photos) < 0:
        raise ValueError(f"need photographs of at least {height} x {width} pixels")
    patches = np.empty((count, 3, height, width), dtype=np.uint8)
    for patch, choice in zip(patches, generator.integers(len(photos), size=count), strict=True):
        photo = photos[choice]
        top = generator.integers(photo.shape[0] - height + 1)
        left = generator.integers(photo.shape[1] - width + 1)
        patch[:] = photo[top : top + height, left : left + width].transpose(2, 0, 1)
    return patches


def invert(images: Images) -> Images:
    """Negative of 8-bit images: ``255 - image``."""
    return np.uint8(255) - images


def scale_contrast(images: Images, contrast: float) -> Images:
    """Shrink 8-bit images towards mid-grey: ``127.5 + contrast * (image - 127.5)``, rounded.

    Parameters
    ----------
    images : ndarray of uint8
    contrast : float
        0 (flat grey) to 1 (unchanged).
    """
    return _to_uint8(127.5 + contrast * (images - 127.5))


def add_noise(images: Images, deviation: float, generator: np.random.Generator) -> Images:
    """Add grey Gaussian noise to 8-bit images, clipped to 0..255.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, 3, H, W)
    deviation : float
        Standard deviation as a fraction of the range 0..255. All channels of a pixel get the
        same value, so grey images stay grey.
    generator : numpy.random.Generator
    """
    noise = generator.standard_normal((len(images), 1, *images.shape[2:]))
    return _to_uint8(images + 255.0 * deviation * noise)


def gratings(
    shape: tuple[int, int, int], generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Draw sinusoidal gratings of random orientation, phase and wavelength (3 to 8 pixels).

    Parameters
    ----------
    shape : (N, H, W)
    generator : numpy.random.Generator

    Returns
    -------
    ndarray of float64, shape (N, H, W)
        Values 0 to 1.
    """
    count, height, width = shape
    orientation = generator.uniform(0.0, np.pi, (count, 1, 1))
    phase = generator.uniform(0.0, 2.0 * np.pi, (count, 1, 1))
    wavelength = generator.uniform(3.0, 8.0, (count, 1, 1))
    y, x = np.mgrid[:height, :width]
    distance = x * np.cos(orientation) + y * np.sin(orientation)
    values: npt.NDArray[np.float64] = 0.5 + 0.5 * np.sin(
        2.0 * np.pi * distance / wavelength + phase
    )
    return values


def texture(images: Images, weight: float, generator: np.random.Generator) -> Images:
    """Mix 8-bit images with random gratings: ``(1 - weight) * image + weight * grating``.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, 3, H, W)
    weight : float
        Share of the grating, 0 to 1.
    generator : numpy.random.Generator
    """
    grating = gratings((len(images), *images.shape[2:]), generator)[:, None]
    return _to_uint8((1.0 - weight) * images + weight * 255.0 * grating)


def standard_shifts(photos: Photos) -> tuple[Shift, ...]:
    """Return the target domains of the embedded experiment.

    Parameters
    ----------
    photos : sequence of ndarray of uint8, shape (height, width, 3)
        Photographs for the blended domain.
    """

    def blended(images: Images, generator: np.random.Generator) -> Images:
        count, _, height, width = images.shape
        return blend(images, random_patches(photos, (count, height, width), generator))

    return (
        Shift(
            "blended",
            "Blended into photographs",
            "|photograph patch - digit| in every channel, patches cut at random",
            blended,
        ),
        Shift(
            "textured",
            "Textured",
            "75 % digit + 25 % sinusoidal grating, random orientation, wavelength 3 to 8 px",
            lambda images, generator: texture(images, 0.25, generator),
        ),
        Shift("inverted", "Inverted", "255 - digit", lambda images, _: invert(images)),
        Shift(
            "low_contrast",
            "Low contrast",
            "contrast 0.2 around mid-grey, rounded to 8 bits",
            lambda images, _: scale_contrast(images, 0.2),
        ),
        Shift(
            "low_contrast_noisy",
            "Low contrast with noise",
            "contrast 0.1 around mid-grey, then Gaussian noise of sd 0.02 of the range",
            lambda images, generator: add_noise(scale_contrast(images, 0.1), 0.02, generator),
        ),
        Shift(
            "noisy",
            "Noisy",
            "Gaussian noise of sd 0.2 of the range, clipped",
            lambda images, generator: add_noise(images, 0.2, generator),
        ),
    )


def _to_uint8(values: npt.NDArray[np.floating[Any]]) -> Images:
    rounded: Images = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded
