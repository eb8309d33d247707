"""Target domains made from a source: shifts of 8-bit images, by name, composed, and as curves."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from neurn._optional import import_optional
from neurn.generalize.datasets import EvaluationSet, Images, random_generator
from neurn.generalize.digits import load_photos

Photos = Sequence[npt.NDArray[np.uint8]]
Apply = Callable[[Images, np.random.Generator], Images]


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
    family : str
        What curve the shift is a point of; empty for none.
    severity : float
        Its place on that curve, in the units of the family.

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import generalize
    >>> mirror = generalize.Shift(
    ...     "mirror", "Mirrored", "left and right exchanged", lambda images, _: images[..., ::-1]
    ... )
    >>> images = np.arange(12, dtype=np.uint8).reshape(1, 3, 1, 4)
    >>> test = generalize.EvaluationSet("digits", images, np.array([5]))
    >>> mirror.render(test, seed=0).images[0, 0]
    array([[3, 2, 1, 0]], dtype=uint8)
    >>> mirror.then(generalize.shift("invert")).render(test, seed=0).images[0, 0]
    array([[252, 253, 254, 255]], dtype=uint8)
    """

    name: str
    title: str
    recipe: str
    apply: Apply
    family: str = ""
    severity: float = math.nan

    def then(self, other: Shift) -> Shift:
        """Compose: this shift first, then `other`."""

        def both(images: Images, generator: np.random.Generator) -> Images:
            return other.apply(self.apply(images, generator), generator)

        return Shift(
            f"{self.name}+{other.name}",
            f"{self.title}, then {other.title[:1].lower()}{other.title[1:]}",
            f"{self.recipe}, then {other.recipe}",
            both,
        )

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


def add_brightness(images: Images, amount: float) -> Images:
    """Add to 8-bit images, clipped to 0..255; `amount` is a fraction of the range, signed."""
    return _to_uint8(images + 255.0 * amount)


def blur(images: Images, sigma: float) -> Images:
    """Blur 8-bit images with a Gaussian cut off at 4 deviations, borders reflected.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, 3, H, W)
    sigma : float
        Deviation in pixels, at least 0; 0 changes nothing.
    """
    if sigma == 0:
        return images
    radius = math.ceil(4 * sigma)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    out = images.astype(np.float64)
    for axis in (2, 3):
        pad = [(radius, radius) if place == axis else (0, 0) for place in range(4)]
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(out, pad, mode="symmetric"), len(weights), axis
        )
        out = windows @ weights
    return _to_uint8(out)


def rescale(images: Images, factor: float) -> Images:
    """Show 8-bit images larger or smaller about their centre, on the same canvas.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, 3, H, W)
    factor : float
        Above 0; below 1 shrinks. Bilinear; beyond the border, the border's pixels go on.
    """
    return _warp(images, np.eye(2) / factor)


def rotate(images: Images, degrees: float) -> Images:
    """Turn 8-bit images counter-clockwise about their centre, on the same canvas.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, 3, H, W)
    degrees : float
        Bilinear; beyond the border, the border's pixels go on.
    """
    angle = math.radians(degrees)
    turn = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    return _warp(images, np.array(turn))


def jpeg(images: Images, quality: int) -> Images:
    """Compress 8-bit images as JPEG and read them back.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, 3, H, W)
    quality : int
        1 (worst) to 95, as in Pillow.

    Raises
    ------
    MissingExtraError
        If Pillow is not installed.
    """
    picture = import_optional("PIL.Image", "generalize")
    out = np.empty_like(images)
    for place, image in enumerate(images):
        file = io.BytesIO()
        picture.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG", quality=quality)
        out[place] = np.asarray(picture.open(file)).transpose(2, 0, 1)
    return out


def blend_into(photos: Photos) -> Apply:
    """Return the shift that blends images into patches cut from `photos` (see `blend`)."""

    def blended(images: Images, generator: np.random.Generator) -> Images:
        count, _, height, width = images.shape
        return blend(images, random_patches(photos, (count, height, width), generator))

    return blended


def blend_over(photos: Photos, weight: float) -> Apply:
    """Return the shift ``|weight * patch - image|``: a photograph shown `weight` as strongly."""

    def blended(images: Images, generator: np.random.Generator) -> Images:
        count, _, height, width = images.shape
        patches = random_patches(photos, (count, height, width), generator)
        return blend(images, _to_uint8(weight * patches))

    return blended


@dataclass(frozen=True)
class Family:
    """A kind of shift with one parameter.

    Attributes
    ----------
    title : str
        Name for people.
    parameter : str
        What the number is, with its unit and what changes nothing.
    recipe : str
        What is done, with ``{}`` for the number.
    make : callable
        Number to ``apply``.
    low, high : float
        Allowed numbers.
    default : float
        Where none is given.
    levels : tuple of float
        Severities of the curve, mild to strong.
    """

    title: str
    parameter: str
    recipe: str
    make: Callable[[float], Apply]
    low: float
    high: float
    default: float
    levels: tuple[float, ...]


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "blend": Family(
            "Blended into photographs",
            "strength of the photograph, 0 none",
            "absolute difference to a random photograph patch of strength {}, in every channel",
            lambda weight: lambda images, g: blend_over(load_photos(), weight)(images, g),
            *(0.0, 1.0, 1.0, (0.2, 0.4, 0.6, 0.8, 1.0)),
        ),
        "texture": Family(
            "Textured",
            "share of the grating, 0 none",
            "mixed with a sinusoidal grating of share {}, random orientation, wavelength 3 to 8 px",
            lambda weight: lambda images, g: texture(images, weight, g),
            *(0.0, 1.0, 0.25, (0.1, 0.2, 0.3, 0.4, 0.5)),
        ),
        "invert": Family(
            "Inverted",
            "weight of the negative, 0 none",
            "mixed with the negative (255 - image), which has weight {}, rounded",
            lambda weight: (
                lambda images, _: _to_uint8((1.0 - weight) * images + weight * (255.0 - images))
            ),
            *(0.0, 1.0, 1.0, (0.2, 0.4, 0.6, 0.8, 1.0)),
        ),
        "contrast": Family(
            "Low contrast",
            "contrast, 1 unchanged",
            "contrast {} around mid-grey, rounded to 8 bits",
            lambda contrast: lambda images, _: scale_contrast(images, contrast),
            *(0.0, 1.0, 0.2, (0.8, 0.6, 0.4, 0.2, 0.1)),
        ),
        "brightness": Family(
            "Brighter",
            "added brightness, fraction of the range, 0 unchanged",
            "{} of the range added, clipped",
            lambda amount: lambda images, _: add_brightness(images, amount),
            *(-1.0, 1.0, 0.3, (0.1, 0.2, 0.3, 0.4, 0.5)),
        ),
        "noise": Family(
            "Noisy",
            "standard deviation of the noise, fraction of the range, 0 none",
            "grey Gaussian noise of sd {} of the range, clipped",
            lambda deviation: lambda images, g: add_noise(images, deviation, g),
            *(0.0, 1.0, 0.2, (0.02, 0.05, 0.1, 0.2, 0.3)),
        ),
        "blur": Family(
            "Blurred",
            "deviation of the Gaussian, pixels, 0 none",
            "Gaussian blur of sd {} px",
            lambda sigma: lambda images, _: blur(images, sigma),
            *(0.0, 16.0, 1.5, (0.5, 1.0, 1.5, 2.0, 3.0)),
        ),
        "scale": Family(
            "Rescaled",
            "size, 1 unchanged",
            "scaled by {} about the centre, bilinear, borders continued",
            lambda factor: lambda images, _: rescale(images, factor),
            *(0.1, 10.0, 0.7, (0.9, 0.8, 0.7, 0.6, 0.5)),
        ),
        "rotation": Family(
            "Rotated",
            "angle, degrees counter-clockwise, 0 unchanged",
            "rotated by {} degrees about the centre, bilinear, borders continued",
            lambda degrees: lambda images, _: rotate(images, degrees),
            *(-180.0, 180.0, 30.0, (10.0, 20.0, 30.0, 45.0, 60.0)),
        ),
        "jpeg": Family(
            "JPEG",
            "quality, 95 best",
            "compressed as JPEG of quality {}",
            lambda quality: lambda images, _: jpeg(images, int(quality)),
            *(1.0, 95.0, 10.0, (50.0, 30.0, 20.0, 10.0, 5.0)),
        ),
    }
)


def shift(text: str) -> Shift:
    """Read a shift, such as ``"noise"``, ``"contrast=0.1"`` or ``"contrast=0.1+noise=0.02"``.

    Parameters
    ----------
    text : str
        Names of `FAMILIES`, each with its number or without for the default; ``+`` composes from
        left to right.

    Returns
    -------
    Shift
        Named `text`.

    Raises
    ------
    ValueError
        If a name is unknown or a number out of range; the message says what is allowed.

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import generalize
    >>> dim = generalize.shift("contrast=0.1")
    >>> dim.title, dim.recipe
    ('Low contrast (0.1)', 'contrast 0.1 around mid-grey, rounded to 8 bits')
    >>> dim.apply(np.array([0, 128, 255], np.uint8).reshape(1, 1, 1, 3), np.random.default_rng(0))
    array([[[[115, 128, 140]]]], dtype=uint8)
    >>> generalize.shift("contrast=0.1+noise=0.02").title
    'Low contrast (0.1), then noisy (0.02)'
    >>> generalize.shift("contrast=2")
    Traceback (most recent call last):
        ...
    ValueError: shift 'contrast=2': give a number from 0 to 1 (contrast, 1 unchanged)
    """
    steps = [_step(text, part) for part in text.split("+")]
    whole = steps[0]
    for step in steps[1:]:
        whole = whole.then(step)
    return whole


def curve(family: str, levels: Iterable[float] | None = None) -> tuple[Shift, ...]:
    """Return one shift for each severity of a family.

    Parameters
    ----------
    family : str
        A name of `FAMILIES`.
    levels : iterable of float, optional
        Those of the family by default, mild to strong.

    Raises
    ------
    ValueError
        If the family is unknown or a level out of range.

    Examples
    --------
    >>> from neurn import generalize
    >>> [shift.name for shift in generalize.curve("noise")]
    ['noise=0.02', 'noise=0.05', 'noise=0.1', 'noise=0.2', 'noise=0.3']
    >>> [shift.severity for shift in generalize.curve("blur", levels=[1, 2, 4])]
    [1.0, 2.0, 4.0]
    """
    if family not in FAMILIES:
        raise ValueError(f"unknown shift {family!r}; known: {', '.join(FAMILIES)}")
    chosen = FAMILIES[family].levels if levels is None else levels
    return tuple(shift(f"{family}={level:g}") for level in chosen)


def is_shift(text: str) -> bool:
    """Say whether a text names shifts of `FAMILIES`."""
    return all(part.partition("=")[0] in FAMILIES for part in text.split("+"))


def standard_shifts(photos: Photos) -> tuple[Shift, ...]:
    """Return the target domains of the embedded experiment.

    Parameters
    ----------
    photos : sequence of ndarray of uint8, shape (height, width, 3)
        Photographs for the blended domain.

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import generalize
    >>> photos = [np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)]
    >>> shifts = generalize.standard_shifts(photos)
    >>> [shift.name for shift in shifts]
    ['blended', 'textured', 'inverted', 'low_contrast', 'low_contrast_noisy', 'noisy']
    >>> test = generalize.load("digits").as_source(n=200).split(seed=0).test
    >>> shifts[0].render(test, seed=0).images.shape
    (40, 3, 32, 32)
    """
    return (
        Shift(
            "blended",
            "Blended into photographs",
            "absolute difference to a random photograph patch, in every channel",
            blend_into(photos),
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


def _step(text: str, part: str) -> Shift:
    name, equals, number = part.strip().partition("=")
    if name not in FAMILIES:
        raise ValueError(f"unknown shift {name!r} in {text!r}; known: {', '.join(FAMILIES)}")
    family = FAMILIES[name]
    try:
        value = float(number) if equals else family.default
    except ValueError:
        value = math.nan
    if not family.low <= value <= family.high:
        raise ValueError(
            f"shift {part!r}: give a number from {family.low:g} to {family.high:g} "
            f"({family.parameter})"
        )
    return Shift(
        part.strip(),
        f"{family.title} ({value:g})" if equals else family.title,
        family.recipe.format(f"{value:g}"),
        family.make(value),
        name,
        value,
    )


def _warp(images: Images, matrix: npt.NDArray[np.float64]) -> Images:
    """Sample at ``matrix @ (x, y)``, in pixels from the centre."""
    height, width = images.shape[2:]
    x, y = np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2)
    at_x, at_y = np.einsum("ij,jhw->ihw", matrix, np.stack([x, y]))
    # With corners aligned, -1 and 1 are the centres of the first and last pixel.
    places = np.stack([2 * at_x / max(width - 1, 1), 2 * at_y / max(height - 1, 1)], axis=-1)
    grid = torch.from_numpy(places)[None].expand(len(images), -1, -1, -1)
    sampled = torch.nn.functional.grid_sample(
        torch.from_numpy(images).double(), grid, padding_mode="border", align_corners=True
    )
    return _to_uint8(sampled.numpy())


def _to_uint8(values: npt.NDArray[np.floating[Any]]) -> Images:
    rounded: Images = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded
