"""What a recording is read from: one interface, whatever the file's layout or reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

SIGNALS = ("dff", "events", "corrected", "demixed", "neuropil", "raw")


@dataclass(frozen=True)
class Metadata:
    """Who and what was recorded.

    Attributes
    ----------
    experiment, container : int
        Identifiers of the session and of its experiment container; -1 where the file has none.
    session_type : str
        ``"three_session_B"`` is the one with natural scenes.
    area : str
        ``"VISp"``, ``"VISl"``, ``"VISal"``, ``"VISpm"``, ``"VISrl"`` or ``"VISam"``.
    depth : float
        Imaging depth in micrometres; NaN where the file has none.
    genotype, specimen, sex, age : str
    simulated : bool
        True where the data were made by `neurn.mouse.simulate`.
    """

    experiment: int
    container: int
    session_type: str
    area: str
    depth: float
    genotype: str
    specimen: str
    sex: str
    age: str
    simulated: bool


@dataclass(frozen=True)
class Presentations:
    """When images were shown.

    Attributes
    ----------
    index : ndarray of int64, shape (presentations,)
        Number of the image, -1 for a blank.
    start, end : ndarray of int64, shape (presentations,)
        Imaging frames: the first with the image, and the first after it.
    """

    index: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]


class Source(Protocol):
    """Reads one session; arrays are (cells, samples) in the file's own number type."""

    path: str

    def metadata(self) -> Metadata:
        """Return who and what was recorded."""

    def cell_specimen_ids(self) -> npt.NDArray[np.int64]:
        """Return the cells' identifiers, shape (cells,)."""

    def timestamps(self) -> npt.NDArray[np.float64]:
        """Return the times of imaging frames in seconds, shape (samples,)."""

    def traces(self, signal: str, rows: slice | npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the traces of some cells, shape (cells, samples)."""

    def running(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return running speed in cm/s and its times in seconds."""

    def presentations(self, stimulus: str) -> Presentations:
        """Return when the images of a stimulus were shown."""

    def images(self, stimulus: str) -> npt.NDArray[np.float32]:
        """Return a stimulus' images, shape (images, height, width), 0 to 255."""
