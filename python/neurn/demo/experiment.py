"""The embedded experiment: what is run, on which data, with which settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from neurn.generalize import EpochEnd, Results, Shift, Source, TrainingConfig, evaluate, lenet
from neurn.generalize.digits import load_digits, load_photos
from neurn.generalize.shifts import Photos, standard_shifts

FRONT_END_TITLES = {"none": "None", "neurn": "NeuRN", "sobel": "Sobel"}
CONTRASTS = (("neurn", "none"), ("sobel", "none"), ("neurn", "sobel"))
# The network is too small to gain from more; results then do not depend on the core count.
THREADS = 1
SOURCE_TITLE = "Source digits"
SOURCE_RECIPE = "clean, as in training"


@dataclass(frozen=True)
class DemoConfig:
    """Settings of the demo.

    Attributes
    ----------
    seeds : int
        Number of seeds, at least 2: an interval needs two.
    epochs : int
        Epochs of every training.
    n_train, n_validation, n_test : int
        Sizes of the splits of the 1,797 digits.
    quick : bool
        Marks a run that is too short for conclusions; the report says so.
    """

    seeds: int = 8
    epochs: int = 15
    n_train: int = 1000
    n_validation: int = 297
    n_test: int = 500
    quick: bool = False

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.seeds < 2:
            raise ValueError(f"seeds {self.seeds}: an interval needs at least 2")

    @property
    def training(self) -> TrainingConfig:
        """Settings of each training."""
        return TrainingConfig(epochs=self.epochs, batch_size=50, learning_rate=3e-3)


@dataclass(frozen=True)
class Experiment:
    """The data of the demo, loaded.

    Attributes
    ----------
    config : DemoConfig
    source : Source
    photos : sequence of ndarray of uint8, shape (height, width, 3)
    shifts : tuple of Shift
    """

    config: DemoConfig
    source: Source
    photos: Photos
    shifts: tuple[Shift, ...]

    @classmethod
    def load(cls, config: DemoConfig) -> Experiment:
        """Load the digits and photographs that ship with scikit-learn."""
        photos = load_photos()
        source = Source(load_digits(), config.n_train, config.n_validation, config.n_test)
        return cls(config, source, photos, standard_shifts(photos))

    @property
    def domains(self) -> dict[str, tuple[str, str]]:
        """Title and recipe of every domain by name, the source first."""
        return {
            self.source.data.name: (SOURCE_TITLE, SOURCE_RECIPE),
            **{shift.name: (shift.title, shift.recipe) for shift in self.shifts},
        }

    def run(self, on_epoch: Callable[[EpochEnd], None]) -> Results:
        """Train and test everything, on `THREADS` threads."""
        with _threads(THREADS):
            return evaluate(
                lenet,
                self.source,
                self.shifts,
                front_ends=tuple(FRONT_END_TITLES),
                seeds=self.config.seeds,
                training=self.config.training,
                on_epoch=on_epoch,
            )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
