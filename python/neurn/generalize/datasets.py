"""Labelled images, their splits, and evaluation sets whose labels training cannot read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

_sealed: ContextVar[bool] = ContextVar("neurn_labels_sealed", default=False)


class LabelLeakError(RuntimeError):
    """Evaluation labels were asked for while a model was being trained or selected."""


@contextmanager
def labels_sealed() -> Iterator[None]:
    """Forbid scoring against any `EvaluationSet` inside the block.

    Training runs inside this block, so nothing called from it, callbacks included, can learn
    how well the model does on a test set or on a target domain.
    """
    token = _sealed.set(True)
    try:
        yield
    finally:
        _sealed.reset(token)


@dataclass(frozen=True)
class Dataset:
    """Images with labels that training may read.

    Attributes
    ----------
    name : str
        Short identifier.
    images : ndarray of uint8, shape (N, 3, H, W)
        Pixel values 0 to 255; grey images repeat their channel.
    labels : ndarray of int64, shape (N,)
        Class indices.
    """

    name: str
    images: Images
    labels: Labels

    def __post_init__(self) -> None:
        """Check shapes and types."""
        _check_images(self.images, self.labels)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def subset(self, index: npt.NDArray[np.intp]) -> Dataset:
        """Return the samples at `index`, in that order."""
        return Dataset(self.name, self.images[index], self.labels[index])

    def sha256(self) -> str:
        """SHA-256 over shape, pixels and labels, as hexadecimal digits."""
        return sha256_of(self.images, self.labels)


class EvaluationSet:
    """Images to predict, with labels that serve for scoring only.

    There is no attribute that holds the labels: `accuracy` compares them with predictions, and
    refuses to while `labels_sealed` is in force.

    Parameters
    ----------
    name : str
        Name of the domain.
    images : ndarray of uint8, shape (N, 3, H, W)
        Pixel values 0 to 255.
    labels : ndarray of int64, shape (N,)
        Class indices.
    """

    def __init__(self, name: str, images: Images, labels: Labels) -> None:
        _check_images(images, labels)
        self.name = name
        self.images = images
        self.__labels = labels

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def with_images(self, name: str, images: Images) -> EvaluationSet:
        """Return the same samples seen in another domain, labels carried along unseen."""
        return EvaluationSet(name, images, self.__labels)

    def accuracy(self, predictions: Labels) -> float:
        """Fraction of `predictions` (int64, shape (N,)) that equal the labels.

        Raises
        ------
        LabelLeakError
            While a model is being trained.
        ValueError
            If the number of predictions differs from the number of images.
        """
        if _sealed.get():
            raise LabelLeakError(
                f"labels of {self.name!r} were asked for during training; "
                "only source training and validation labels may be used there"
            )
        if predictions.shape != self.__labels.shape:
            raise ValueError(
                f"{self.name}: {predictions.shape} predictions for {self.__labels.shape} labels"
            )
        return float(np.mean(predictions == self.__labels))


@dataclass(frozen=True)
class Split:
    """One seed's division of the source: two sets for training, one for testing."""

    train: Dataset
    validation: Dataset
    test: EvaluationSet


@dataclass(frozen=True)
class Source:
    """A source domain and the sizes of its splits.

    Attributes
    ----------
    data : Dataset
        The whole source domain.
    n_train, n_validation, n_test : int
        Number of images in each part. Together at most ``len(data)``.
    """

    data: Dataset
    n_train: int
    n_validation: int
    n_test: int

    def __post_init__(self) -> None:
        """Check the sizes."""
        sizes = (self.n_train, self.n_validation, self.n_test)
        if min(sizes) < 1 or sum(sizes) > len(self.data):
            raise ValueError(
                f"split sizes {sizes} of {self.data.name!r}: each must be at least 1 and "
                f"their sum at most {len(self.data)}"
            )

    def split(self, seed: int) -> Split:
        """Divide the source at random, every class in proportion, without overlap.

        Parameters
        ----------
        seed : int
            Same seed, same split.

        Returns
        -------
        Split
        """
        order = stratified_order(self.data.labels, seed)
        train, validation, test = (
            self.data.subset(part)
            for part in np.split(
                order[: self.n_train + self.n_validation + self.n_test],
                [self.n_train, self.n_train + self.n_validation],
            )
        )
        return Split(train, validation, EvaluationSet(test.name, test.images, test.labels))


def stratified_order(labels: Labels, seed: int) -> npt.NDArray[np.intp]:
    """Random order of the samples in which every stretch holds the classes in proportion.

    Parameters
    ----------
    labels : ndarray of int64, shape (N,)
        Class indices.
    seed : int
        Same seed, same order.

    Returns
    -------
    ndarray of intp, shape (N,)
        A permutation. The count of a class in any slice differs from its share by less than 2.
    """
    order = random_generator(seed, "split").permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels[order] == label)
        # Spread each class evenly over (0, 1); sorting by place then interleaves the classes.
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return order[np.argsort(place, kind="stable")]


def random_generator(seed: int, purpose: str) -> np.random.Generator:
    """Random generator of its own for each seed and purpose.

    Parameters
    ----------
    seed : int
        Seed of the run, at least 0.
    purpose : str
        What the numbers are for; different purposes give independent streams.
    """
    return np.random.default_rng([seed, *purpose.encode()])


def sha256_of(*arrays: npt.NDArray[np.generic]) -> str:
    """SHA-256 over shape, dtype and bytes of `arrays`, as hexadecimal digits."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype.str} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _check_images(images: Images, labels: Labels) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != np.uint8:
        raise ValueError(
            f"images must be uint8 of shape (N, 3, H, W), not {images.dtype} of {images.shape}"
        )
    if labels.shape != images.shape[:1]:
        raise ValueError(f"{images.shape[0]} images but labels of shape {labels.shape}")
