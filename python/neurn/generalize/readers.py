"""Labelled images from files: npz, mat, idx, text, and trees of pictures; one resize rule."""

from __future__ import annotations

import bz2
import gzip
import math
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from neurn._optional import import_optional
from neurn.generalize.datasets import Images, Labels

# Images as files hold them: (N, H, W) grey or (N, H, W, 3) RGB, with one label each.
Raw = tuple[npt.NDArray[np.uint8], Labels]

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
RESIZE_RULE = (
    "whole image to size x size pixels, bilinear with antialiasing, aspect not kept, rounded to "
    "8 bits, grey repeated in three channels; before any shift, augmentation or front end"
)


class DataError(ValueError):
    """A file does not hold what it should; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import generalize
    >>> np.savez("empty.npz", nothing=np.zeros(3))
    >>> generalize.load("mine=empty.npz")
    Traceback (most recent call last):
        ...
    neurn.generalize.readers.DataError: empty.npz must hold x_train and y_train, ...
    """


def resize(images: npt.NDArray[np.uint8], size: int) -> Images:
    """Bring images to the model's size, by the one rule for all domains (`RESIZE_RULE`).

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W) or (N, H, W, 3)
    size : int
        Height and width of the result.

    Returns
    -------
    ndarray of uint8, shape (N, 3, size, size)
        Images that have the size already keep every bit.
    """
    grey = images.ndim == 3
    planes = torch.from_numpy(np.ascontiguousarray(images))
    planes = planes[:, None] if grey else planes.movedim(3, 1)
    out = torch.empty(len(images), 3, size, size, dtype=torch.uint8)
    # In pieces: intermediate results are eight times as large as the images.
    for start in range(0, len(images), 1000):
        piece = planes[start : start + 1000].double()
        if piece.shape[2:] != (size, size):
            piece = torch.nn.functional.interpolate(
                piece, (size, size), mode="bilinear", align_corners=False, antialias=True
            )
        out[start : start + 1000] = piece.round().clamp(0, 255).to(torch.uint8)
    return out.numpy()


def read_npz(path: Path) -> dict[str, Raw]:
    """Read arrays ``x_train, y_train, x_test, y_test`` (or one pair), or ``x, y, domain``.

    Returns
    -------
    dict of str to (images, labels)
        By part: ``"train"``, ``"test"``; or ``"0"``, ``"1"``, ... by number of domain.

    Raises
    ------
    DataError
        If the file cannot be read or holds other arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{path} cannot be read as npz: {error}") from error
    if {"x", "y"} <= arrays.keys():
        domain = arrays.get("domain", np.zeros(len(arrays["y"]), dtype=np.int64))
        return {
            str(number): _checked(
                path, arrays["x"][domain == number], arrays["y"][domain == number]
            )
            for number in np.unique(domain)
        }
    parts = {
        part: _checked(path, arrays[f"x_{part}"], arrays[f"y_{part}"])
        for part in ("train", "test")
        if {f"x_{part}", f"y_{part}"} <= arrays.keys()
    }
    if not parts:
        raise DataError(
            f"{path} must hold x_train and y_train, x_test and y_test, or x and y; "
            f"it holds {', '.join(sorted(arrays)) or 'nothing'}"
        )
    return parts


def read_idx(images: Path, labels: Path) -> Raw:
    """Read a pair of MNIST's idx files, plain or .gz.

    Raises
    ------
    DataError
        If one is no idx file of that kind, or is cut off.
    """
    return _checked(images, _idx(images, 2051, 3), _idx(labels, 2049, 1))


def read_mat(path: Path) -> Raw:
    """Read SVHN's cropped format: X (H, W, 3, N) and y, in which 10 is the digit 0.

    Raises
    ------
    DataError
        If the file cannot be read or holds other arrays.
    """
    scipy = import_optional("scipy.io", "generalize")
    try:
        content = scipy.loadmat(path)
        images, labels = content["X"], np.asarray(content["y"]).reshape(-1).astype(np.int64)
    except Exception as error:  # scipy's errors of broken files have no common kind
        raise DataError(f"{path} cannot be read as mat with X and y: {error}") from error
    if images.ndim != 4:
        raise DataError(f"{path}: X must have shape (H, W, 3, N), got {images.shape}")
    return _checked(path, np.moveaxis(images, 3, 0), np.where(labels == 10, 0, labels))


def read_zip_text(path: Path) -> Raw:
    """Read USPS as zip.train.gz and zip.test.gz have it: a digit and 256 values in -1..1 a line.

    Raises
    ------
    DataError
        If a line is another.
    """
    try:
        with gzip.open(path, "rt") as file:
            rows = np.loadtxt(file, ndmin=2)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read as lines of numbers: {error}") from error
    return _sixteen(path, rows[:, 1:], rows[:, 0].astype(np.int64))


def read_libsvm(path: Path) -> Raw:
    """Read USPS as LIBSVM's usps.bz2 and usps.t.bz2 have it: classes 1..10 are digits 0..9.

    Raises
    ------
    DataError
        If a line is another.
    """
    try:
        with bz2.open(path, "rt") as file:
            lines = [line.split() for line in file]
        values = np.array([[float(cell.split(":")[1]) for cell in line[1:]] for line in lines])
        labels = np.array([int(float(line[0])) - 1 for line in lines], dtype=np.int64)
    except (OSError, ValueError, IndexError, EOFError) as error:
        raise DataError(f"{path} cannot be read as LIBSVM's lines: {error}") from error
    return _sixteen(path, values, labels)


def read_tree(
    folder: Path, size: int, classes: Sequence[str] = ()
) -> tuple[Images, Labels, tuple[str, ...]]:
    """Read a folder with one folder of pictures for each class (torchvision's ImageFolder).

    Parameters
    ----------
    folder : Path
    size : int
        Pictures are brought to this size, each as `resize` does.
    classes : sequence of str, optional
        Folders to read, in the order of labels; all, sorted by name, by default.

    Returns
    -------
    images : ndarray of uint8, shape (N, 3, size, size)
        In the order of class, then of path.
    labels : ndarray of int64, shape (N,)
    classes : tuple of str

    Raises
    ------
    DataError
        If there is no such folder, no class, a class without picture, or an unreadable picture.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    found = tuple(classes) or tuple(sorted(p.name for p in folder.iterdir() if p.is_dir()))
    if not found:
        raise DataError(f"{folder} must hold one folder of pictures for each class, and has none")
    images, labels = [], []
    for label, name in enumerate(found):
        paths = sorted(p for p in (folder / name).rglob("*") if p.suffix.lower() in PICTURES)
        if not paths:
            raise DataError(f"{folder / name} holds no picture ({', '.join(PICTURES)})")
        images += [read_picture(path, size) for path in paths]
        labels += [label] * len(paths)
    return np.stack(images), np.array(labels, dtype=np.int64), found


def read_list(folder: Path, lines: Path, size: int) -> tuple[Images, Labels]:
    """Read pictures that a text names, a name and a label a line (MNIST-M as Ganin gives it).

    Raises
    ------
    DataError
        If a line is another or a picture is missing or unreadable.
    """
    images, labels = [], []
    for number, line in enumerate(lines.read_text().splitlines(), 1):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != 2 or not cells[1].isdigit():
            raise DataError(f"{lines}, line {number}: expected a name and a label, got {line!r}")
        images.append(read_picture(folder / cells[0], size))
        labels.append(int(cells[1]))
    if not images:
        raise DataError(f"{lines} names no picture")
    return np.stack(images), np.array(labels, dtype=np.int64)


def read_picture(path: Path, size: int) -> Images:
    """Read one picture as RGB, (3, size, size).

    Raises
    ------
    DataError
        If it is missing or unreadable.
    """
    picture = import_optional("PIL.Image", "generalize")
    try:
        with picture.open(path) as file:
            pixels = np.array(file.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a picture: {error}") from error
    image: Images = resize(pixels[None], size)[0]
    return image


def _idx(path: Path, magic: int, axes: int) -> npt.NDArray[np.uint8]:
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            content = file.read()
        first, *shape = struct.unpack_from(f">{axes + 1}I", content)
    except (OSError, EOFError, struct.error) as error:
        raise DataError(f"{path} cannot be read as idx: {error}") from error
    values = np.frombuffer(content, np.uint8, offset=4 * (axes + 1))
    if first != magic or len(values) != math.prod(shape):
        raise DataError(
            f"{path} must be an idx file of kind {magic} with {math.prod(shape):,} bytes, "
            f"got kind {first} with {len(values):,}"
        )
    return values.reshape(shape).copy()


def _sixteen(path: Path, values: npt.NDArray[np.float64], labels: Labels) -> Raw:
    if values.ndim != 2 or values.shape[1] != 256:
        raise DataError(f"{path} must have 256 values a line, got shape {values.shape}")
    grey = np.rint((np.clip(values, -1, 1) + 1) * 127.5).astype(np.uint8)
    return _checked(path, grey.reshape(-1, 16, 16), labels)


def _checked(path: Path, images: npt.NDArray[np.uint8], labels: npt.NDArray[Any]) -> Raw:
    colour = images.ndim == 4 and images.shape[3] == 3
    if images.dtype != np.uint8 or not (images.ndim == 3 or colour):
        raise DataError(
            f"{path}: images must be uint8 of shape (N, H, W) or (N, H, W, 3), "
            f"got {images.dtype} of {images.shape}"
        )
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{path}: {len(images)} images need as many whole-number labels, "
            f"got {labels.dtype} of {labels.shape}"
        )
    if not len(labels):
        raise DataError(f"{path}: there are no images")
    return images, labels.astype(np.int64)
