"""Labelled images, their splits, and evaluation sets whose labels training cannot read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from neurn.generalize.statistics import calibration_error

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

_sealed: ContextVar[bool] = ContextVar("neurn_labels_sealed", default=False)


class LabelLeakError(RuntimeError):
    """Evaluation labels were asked for while a model was being trained or selected.

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import generalize
    >>> from neurn.generalize.datasets import labels_sealed
    >>> images, labels = np.zeros((2, 3, 8, 8), np.uint8), np.array([0, 1])
    >>> test = generalize.EvaluationSet("photos", images, labels)
    >>> with labels_sealed():  # as all of training is
    ...     test.accuracy(np.array([0, 1]))
    Traceback (most recent call last):
        ...
    neurn.generalize.datasets.LabelLeakError: labels of 'photos' were asked for during training; ...
    """


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
    classes : int
        Number of classes; 0: the largest label + 1.

    Raises
    ------
    ValueError
        If shapes or types are others, there is no image, or a label is outside the classes.

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import generalize
    >>> images = np.zeros((6, 3, 8, 8), np.uint8)
    >>> data = generalize.Dataset("shapes", images, np.array([0, 1, 2, 0, 1, 2]))
    >>> len(data), data.classes
    (6, 3)
    >>> data.sample(3).labels
    array([1, 2, 0])
    >>> generalize.Dataset("shapes", images, np.array([0, 1, 2, 0, 1, 2]), classes=2)
    Traceback (most recent call last):
        ...
    ValueError: shapes: label 2 is outside the 2 classes 0 to 1
    """

    name: str
    images: Images
    labels: Labels
    classes: int = 0

    def __post_init__(self) -> None:
        """Check shapes, types and labels."""
        _check_images(self.name, self.images, self.labels)
        top = int(self.labels.max())
        if not self.classes:
            object.__setattr__(self, "classes", top + 1)
        low = int(self.labels.min())
        if low < 0 or top >= self.classes:
            wrong = low if low < 0 else top
            raise ValueError(
                f"{self.name}: label {wrong} is outside the {self.classes} classes "
                f"0 to {self.classes - 1}"
            )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def subset(self, index: npt.NDArray[np.intp]) -> Dataset:
        """Return the samples at `index`, in that order."""
        return Dataset(self.name, self.images[index], self.labels[index], self.classes)

    def first(self, count: int | None) -> Dataset:
        """Return the first `count` samples, or all for None."""
        return self if count is None else self.subset(np.arange(min(count, len(self))))

    def sample(self, count: int | None) -> Dataset:
        """Return the `count` samples that `sample_places` chooses, or all for None."""
        return self if count is None else self.subset(sample_places(self.labels, count))

    def sha256(self) -> str:
        """SHA-256 over shape, pixels and labels, as hexadecimal digits."""
        return sha256_of(self.images, self.labels)


@dataclass(frozen=True)
class Score:
    """How predictions on an `EvaluationSet` turned out.

    Attributes
    ----------
    accuracy : float
        Share of right predictions, 0 to 1.
    confusion : ndarray of int64, shape (K, K)
        Images by true class (row) and predicted class (column).
    calibration_error : float
        Expected calibration error, 0 to 1 (`neurn.generalize.statistics.calibration_error`).
    correct : ndarray of bool, shape (N,)
        Whether each image was predicted right, in the order of the set.

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import generalize
    >>> images = np.zeros((4, 3, 8, 8), np.uint8)
    >>> test = generalize.EvaluationSet("photos", images, np.array([0, 0, 1, 1]))
    >>> score = test.score(np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]]))
    >>> score.accuracy, score.correct
    (0.75, array([ True,  True, False,  True]))
    >>> score.confusion
    array([[2, 0],
           [1, 1]])
    """

    accuracy: float
    confusion: npt.NDArray[np.int64]
    calibration_error: float
    correct: npt.NDArray[np.bool_]


class EvaluationSet:
    """Images to predict, with labels that serve for scoring only.

    There is no attribute that holds the labels: `accuracy` and `score` compare them with
    predictions, and refuse to while `labels_sealed` is in force.

    Parameters
    ----------
    name : str
        Name of the domain.
    images : ndarray of uint8, shape (N, 3, H, W)
        Pixel values 0 to 255.
    labels : ndarray of int64, shape (N,)
        Class indices.
    ids : ndarray of int64, shape (N,), optional
        What each image is called in flips; its place by default. Sets of different seeds may
        show the same image.

    Raises
    ------
    ValueError
        If shapes or types are others, or there is no image.

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import generalize
    >>> images = np.zeros((4, 3, 8, 8), np.uint8)
    >>> test = generalize.EvaluationSet("photos", images, np.array([0, 0, 1, 1]))
    >>> test.accuracy(np.array([0, 1, 1, 1]))
    0.75
    >>> negatives = test.with_images("negatives", 255 - images)
    >>> negatives.accuracy(np.array([0, 0, 0, 0]))
    0.5
    """

    def __init__(
        self, name: str, images: Images, labels: Labels, ids: Labels | None = None
    ) -> None:
        _check_images(name, images, labels)
        self.name = name
        self.images = images
        self.ids = np.arange(len(images)) if ids is None else ids
        self.__labels = labels

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def with_images(self, name: str, images: Images) -> EvaluationSet:
        """Return the same samples seen in another domain, labels carried along unseen."""
        return EvaluationSet(name, images, self.__labels, self.ids)

    def accuracy(self, predictions: Labels) -> float:
        """Fraction of `predictions` (int64, shape (N,)) that equal the labels.

        Raises
        ------
        LabelLeakError
            While a model is being trained.
        ValueError
            If the number of predictions differs from the number of images.
        """
        return float(np.mean(predictions == self.__read(predictions)))

    def score(self, probabilities: npt.NDArray[np.floating[Any]]) -> Score:
        """Compare class probabilities, shape (N, K), with the labels.

        Raises
        ------
        LabelLeakError
            While a model is being trained.
        ValueError
            If there are more or fewer rows than images, or a label has no column.
        """
        predictions = probabilities.argmax(axis=1)
        labels, classes = self.__read(predictions), probabilities.shape[1]
        if labels.max() >= classes:
            raise ValueError(
                f"{self.name}: label {labels.max()} is outside the {classes} classes of the model"
            )
        correct = predictions == labels
        cells = np.bincount(labels * classes + predictions, minlength=classes**2)
        return Score(
            float(correct.mean()),
            cells.reshape(classes, classes),
            calibration_error(probabilities.max(axis=1), correct),
            correct,
        )

    def check_classes(self, classes: int) -> None:
        """Refuse labels outside 0 to `classes` - 1.

        Raises
        ------
        ValueError
            If there is one; the message names the largest or smallest.
        """
        for label in (int(self.__labels.min()), int(self.__labels.max())):
            if not 0 <= label < classes:
                raise ValueError(
                    f"{self.name}: label {label} is outside the {classes} classes of the source"
                )

    def sha256(self) -> str:
        """SHA-256 over images, labels and ids: a fingerprint that tells no label."""
        return sha256_of(self.images, self.__labels, self.ids)

    def __read(self, predictions: Labels) -> Labels:
        if _sealed.get():
            raise LabelLeakError(
                f"labels of {self.name!r} were asked for during training; "
                "only source training and validation labels may be used there"
            )
        if predictions.shape != self.__labels.shape:
            raise ValueError(
                f"{self.name}: {predictions.shape} predictions for {self.__labels.shape} labels"
            )
        return self.__labels


@dataclass(frozen=True)
class Split:
    """One seed's division of the source: two sets for training, one for testing.

    Examples
    --------
    >>> from neurn import generalize
    >>> split = generalize.load("digits", size=8).as_source().split(seed=0)
    >>> len(split.train), len(split.validation), len(split.test)
    (1294, 144, 359)
    >>> split.train.labels.shape, hasattr(split.test, "labels")
    ((1294,), False)
    """

    train: Dataset
    validation: Dataset
    test: EvaluationSet


@dataclass(frozen=True)
class Source:
    """A source domain and the sizes of its splits.

    Attributes
    ----------
    data : Dataset
        What the splits are drawn from: the whole source domain, or its training part.
    n_train, n_validation, n_test : int
        Number of images in each part. Without `test`, together at most ``len(data)``; with it,
        `n_test` counts from there.
    test : Dataset, optional
        Test part of the domain; `sample_places` chooses `n_test` of it, the same for every seed.
    groups : ndarray of int64, shape (N,), optional
        Domain of each image of pooled domains; splits then keep these in proportion too.
    class_names : tuple of str
        Empty where classes are numbers.

    Examples
    --------
    >>> from neurn import generalize
    >>> digits = generalize.load("digits", size=8)
    >>> source = generalize.Source(digits.train, n_train=100, n_validation=20, n_test=50)
    >>> source.name, source.classes
    ('digits', 10)
    >>> split = source.split(seed=0)
    >>> split.train.images.shape, len(split.test)
    ((100, 3, 8, 8), 50)
    >>> bool((split.test.ids == source.split(seed=1).test.ids).all())  # another seed, another split
    False
    """

    data: Dataset
    n_train: int
    n_validation: int
    n_test: int
    test: Dataset | None = None
    groups: Labels | None = field(default=None, repr=False)
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the sizes."""
        sizes = (self.n_train, self.n_validation, self.n_test)
        drawn = sizes if self.test is None else sizes[:2]
        if min(sizes) < 1 or sum(drawn) > len(self.data):
            raise ValueError(
                f"split sizes {sizes} of {self.data.name!r}: each must be at least 1 and "
                f"their sum at most {len(self.data)}"
            )
        if self.test is not None and self.n_test > len(self.test):
            raise ValueError(
                f"split sizes {sizes} of {self.data.name!r}: the last must be at most "
                f"{len(self.test)}"
            )
        if len(np.unique(self.data.labels)) < 2:
            raise ValueError(f"{self.data.name}: training needs two classes or more, got one")

    @property
    def name(self) -> str:
        """Name of the domain."""
        return self.data.name

    @property
    def classes(self) -> int:
        """Number of classes."""
        return max(self.data.classes, self.test.classes if self.test is not None else 0)

    @classmethod
    def pooled(cls, name: str, sources: Sequence[Source]) -> Source:
        """Join several sources into one, as for leave-one-domain-out.

        Parameters
        ----------
        name : str
        sources : sequence of Source
            At least one; images of one size. All with a test part, or none.
        """
        parts = [source.data for source in sources]
        tests = [source.test for source in sources if source.test is not None]
        if len(tests) not in (0, len(sources)):
            raise ValueError("sources to pool must all have a test part, or none may")
        classes = {source.class_names for source in sources if source.class_names}
        if len(classes) > 1:
            raise ValueError(f"sources to pool must have the same classes, got {sorted(classes)}")
        return cls(
            _join(name, parts),
            sum(source.n_train for source in sources),
            sum(source.n_validation for source in sources),
            sum(source.n_test for source in sources),
            test=_join(name, [t.sample(s.n_test) for s, t in zip(sources, tests, strict=True)])
            if tests
            else None,
            groups=np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
            class_names=next(iter(classes), ()),
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
            Ids of the test images are their places in `data`, or in `test`.
        """
        strata = self.data.labels
        if self.groups is not None:
            strata = strata + self.classes * self.groups
        order = stratified_order(strata, seed)
        train, validation, rest = np.split(
            order[: self.n_train + self.n_validation + self.n_test],
            [self.n_train, self.n_train + self.n_validation],
        )
        test, ids = self.data, rest
        if self.test is not None:
            test, ids = self.test, sample_places(self.test.labels, self.n_test)
        return Split(
            self.data.subset(train),
            self.data.subset(validation),
            EvaluationSet(self.name, test.images[ids], test.labels[ids], ids.astype(np.int64)),
        )


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


def sample_places(labels: Labels, count: int) -> npt.NDArray[np.intp]:
    """Places of `count` samples, every class in proportion, in their order, always the same.

    Files are often in the order of classes: their first samples would be of one class.

    Parameters
    ----------
    labels : ndarray of int64, shape (N,)
    count : int
        All, if there are fewer.
    """
    return np.sort(stratified_order(labels, 0)[:count])


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


def _join(name: str, parts: Sequence[Dataset]) -> Dataset:
    shapes = {part.images.shape[1:] for part in parts}
    if len(shapes) != 1:
        raise ValueError(f"domains to pool must have images of one size, got {sorted(shapes)}")
    return Dataset(
        name,
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        max(part.classes for part in parts),
    )


def _check_images(name: str, images: Images, labels: Labels) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != np.uint8:
        raise ValueError(
            f"{name}: images must be uint8 of shape (N, 3, H, W), not {images.dtype} of "
            f"{images.shape}"
        )
    if labels.shape != images.shape[:1]:
        raise ValueError(f"{name}: {images.shape[0]} images but labels of shape {labels.shape}")
    if not len(labels):
        raise ValueError(f"{name}: there are no images")
