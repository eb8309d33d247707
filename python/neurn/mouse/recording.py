"""One session: traces, stimulus, running speed, as named arrays that are read when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neurn._optional import import_optional
from neurn.mouse import groups
from neurn.mouse.errors import RecordingError
from neurn.mouse.source import SIGNALS, Metadata, Source

if TYPE_CHECKING:
    import xarray as xr

UNITS = {"dff": "fraction", "events": "fraction"}  # of other signals: a.u. of fluorescence


class Recording:
    """A session of two-photon imaging. `open_nwb` and `Observatory.recording` make it.

    Arrays are `xarray.DataArray` with dims ``neuron``, ``time``, ``stimulus``, ``y``, ``x``;
    ``neuron`` carries the coordinates ``neuron`` (cell specimen id), ``area``, ``cre_line``,
    ``cell_class``, ``genotype_group``, ``layer`` and ``experiment``. Units are in ``attrs``.

    Parameters
    ----------
    source : Source
        What reads the file.
    groups : mapping of str to str, optional
        Genotype groups of your own: full genotype -> name (`neurn.mouse.describe`).

    Examples
    --------
    >>> from neurn import mouse
    >>> made = mouse.simulate(
    ...     "simulated", areas=["VISp"], cre_lines=["Cux2-CreERT2"], neurons=4, repetitions=5
    ... )
    >>> recording = mouse.open_nwb(made.paths[0])
    >>> traces = recording.traces("dff", neurons=[0, 2])
    >>> traces.dims, traces["neuron"].values, traces.attrs["units"]
    (('neuron', 'time'), array([1, 3]), 'fraction')
    >>> round(recording.frame_rate, 1), recording.images().shape
    (30.0, (118, 92, 118))
    >>> shown = recording.presentations()
    >>> len(shown["trial"]), int(shown["stimulus"].min())  # -1 is the blank
    (595, -1)
    >>> recording.running_speed().attrs["units"]
    'cm/s'
    """

    def __init__(self, source: Source, groups: Mapping[str, str] | None = None) -> None:
        self.source = source
        self._groups = groups

    @property
    def path(self) -> str:
        """Path of the file."""
        return self.source.path

    @cached_property
    def metadata(self) -> Metadata:
        """Who and what was recorded."""
        return self.source.metadata()

    @property
    def simulated(self) -> bool:
        """Whether the data were made by `neurn.mouse.simulate`."""
        return self.metadata.simulated

    @cached_property
    def cell_specimen_ids(self) -> npt.NDArray[np.int64]:
        """Identifiers of the cells, int64, shape (neurons,)."""
        return self.source.cell_specimen_ids()

    def __len__(self) -> int:
        """Return the number of neurons."""
        return len(self.cell_specimen_ids)

    def __repr__(self) -> str:
        about = self.metadata
        kind = "simulated recording" if about.simulated else "Recording"
        return (
            f"<{kind} {about.experiment}: {len(self)} neurons, {about.area}, "
            f"{about.depth:g} um, {groups.driver(about.genotype)}, {about.session_type}>"
        )

    @cached_property
    def timestamps(self) -> npt.NDArray[np.float64]:
        """Times of the imaging frames in seconds, shape (samples,)."""
        return self.source.timestamps()

    @property
    def frame_rate(self) -> float:
        """Imaging frames per second (median)."""
        return float(1 / np.median(np.diff(self.timestamps)))

    def traces(self, signal: str = "dff", neurons: Any = slice(None)) -> xr.DataArray:
        """Return traces of some neurons.

        Parameters
        ----------
        signal : {"dff", "events", "corrected", "demixed", "neuropil", "raw"}
            ``"corrected"``: demixed fluorescence minus r times neuropil. Where a session has no
            demixed signal, the plain fluorescence stands for it. ``"events"``: dF/F without the
            indicator's decay (L0, Jewell and Witten 2018), from the cache's events file.
        neurons : slice, sequence of int or of bool
            Places in the file; all by default.

        Returns
        -------
        DataArray, dims (neuron, time)
            In the file's number type; dF/F and events as a fraction. Signals whose length differs
            from that of the time stamps by a sample are cut to the common length.

        Raises
        ------
        ValueError
            If `signal` or `neurons` is not allowed.
        RecordingError
            If the session has no such signal.
        """
        if signal not in SIGNALS:
            raise ValueError(f"signal must be one of {', '.join(SIGNALS)}, got {signal!r}")
        rows = self.rows(neurons)
        values = self.source.traces(signal, rows)
        length = min(values.shape[1], len(self.timestamps))
        xarray = import_optional("xarray", "mouse")
        array: xr.DataArray = xarray.DataArray(
            values[:, :length],
            dims=("neuron", "time"),
            coords={**self.neuron_coords(rows), "time": self._time(length)},
            name=signal,
            attrs={"units": UNITS.get(signal, "a.u."), **self.attributes()},
        )
        return array

    def rows(self, neurons: Any) -> slice | npt.NDArray[np.intp]:
        """Return places in the file as a slice or an integer array.

        Raises
        ------
        ValueError
            If they are no list, a place is outside the file, or a mask has another length.
        """
        if isinstance(neurons, slice):
            backwards = neurons.step is not None and neurons.step < 0  # HDF5 cannot
            return np.arange(len(self))[neurons] if backwards else neurons
        index = np.atleast_1d(np.asarray(neurons))
        if index.ndim != 1:
            raise ValueError(f"neurons must be a list of places, got shape {index.shape}")
        if index.dtype == bool:
            if index.shape != (len(self),):
                raise ValueError(f"neurons: a mask must have {len(self)} values, got {index.shape}")
            return np.flatnonzero(index)
        if index.size and not np.issubdtype(index.dtype, np.integer):
            raise ValueError(f"neurons must be whole numbers, got {index.dtype}")
        places = index.astype(np.intp)
        if ((places < -len(self)) | (places >= len(self))).any():
            wrong = places[(places < -len(self)) | (places >= len(self))][0]
            raise ValueError(f"neurons must be from {-len(self)} to {len(self) - 1}, got {wrong}")
        return np.asarray(places % max(len(self), 1))

    def running_speed(self) -> xr.DataArray:
        """Return running speed.

        Returns
        -------
        DataArray of float64, dims (time,)
            In cm/s, at the imaging frames; NaN where it was not recorded.
        """
        speed, times = self.source.running()
        frames = self.timestamps
        aligned = np.full(len(frames), np.nan)
        length = min(len(speed), len(times))
        if length:
            # Half a frame of tolerance: both clocks are the imaging frames'.
            first = int(np.searchsorted(frames, times[0] - 0.5 / self.frame_rate))
            stop = min(first + length, len(frames))
            aligned[first:stop] = speed[: stop - first]
        xarray = import_optional("xarray", "mouse")
        array: xr.DataArray = xarray.DataArray(
            aligned,
            dims=("time",),
            coords={"time": self._time(len(frames))},
            name="running_speed",
            attrs={"units": "cm/s", **self.attributes()},
        )
        return array

    def presentations(self, stimulus: str = "natural_scenes") -> xr.Dataset:
        """Return when images were shown.

        Parameters
        ----------
        stimulus : str

        Returns
        -------
        Dataset of int64, dims (trial,)
            ``stimulus`` (number of the image, -1 for a blank), ``start`` and ``end`` in imaging
            frames (the first with the image and the first after it), ``repetition`` (0 for the
            first time an image is shown).

        Raises
        ------
        RecordingError
            If the session does not show that stimulus.
        """
        shown = self.source.presentations(stimulus)
        xarray = import_optional("xarray", "mouse")
        if not len(shown.index):
            raise RecordingError(f"{self.path!r}: {stimulus!r} has no presentation")
        columns = {
            "stimulus": shown.index,
            "start": shown.start,
            "end": shown.end,
            "repetition": _repetitions(shown.index),
        }
        dataset: xr.Dataset = xarray.Dataset(
            {name: ("trial", values) for name, values in columns.items()},
            attrs={"stimulus_name": stimulus, **self.attributes()},
        )
        for name in ("start", "end"):
            dataset[name].attrs["units"] = "imaging frames"
        return dataset

    def images(self, stimulus: str = "natural_scenes") -> xr.DataArray:
        """Return the images of a stimulus.

        Returns
        -------
        DataArray of float32, dims (stimulus, y, x)
            Grey values, 0 to 255.
        """
        values = self.source.images(stimulus)
        xarray = import_optional("xarray", "mouse")
        array: xr.DataArray = xarray.DataArray(
            values,
            dims=("stimulus", "y", "x"),
            coords={"stimulus": np.arange(len(values))},
            name=stimulus,
            attrs={"units": "grey value, 0 to 255", **self.attributes()},
        )
        return array

    def neuron_coords(self, rows: slice | npt.NDArray[np.intp] = slice(None)) -> dict[str, Any]:
        """Return the coordinates of the dim ``neuron`` for some rows of the file."""
        about, ids = self.metadata, self.cell_specimen_ids[rows]
        kind = groups.describe(about.genotype, self._groups)
        labels = {
            "area": about.area or "unknown",
            "cre_line": kind.cre_line,
            "cell_class": kind.cell_class,
            "genotype_group": kind.group,
            "layer": groups.layer(about.depth),
        }
        return {
            "neuron": ids,
            **{name: ("neuron", np.full(len(ids), text)) for name, text in labels.items()},
            "experiment": ("neuron", np.full(len(ids), about.experiment, dtype=np.int64)),
        }

    def attributes(self) -> dict[str, Any]:
        """Return what every array says of its origin; ``simulated`` is 1 for simulated data."""
        return {"experiment": self.metadata.experiment, "simulated": int(self.simulated)}

    def _time(self, length: int) -> tuple[str, npt.NDArray[np.float64], dict[str, str]]:
        return ("time", self.timestamps[:length], {"units": "s"})


def _repetitions(index: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return how often each entry has occurred before it."""
    order = np.argsort(index, kind="stable")
    ordered = index[order]
    first = np.searchsorted(ordered, ordered)
    result = np.empty(len(index), dtype=np.int64)
    result[order] = np.arange(len(index)) - first
    return result
