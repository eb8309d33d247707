"""Cut traces into sweeps: what each neuron did around each presentation of an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neurn._optional import import_optional
from neurn.mouse.recording import Recording

if TYPE_CHECKING:
    import xarray as xr

# Imaging frames around an onset: the same for every session, whether an image stayed for 7 or 8.
BEFORE, AFTER = 28, 35
RESPONSE = (0, 14)  # frames after onset whose mean is a trial's response
BASELINES = ("trial", "none")
BLANK = -1

_CELLS_PER_BLOCK = 16  # of 5,950 sweeps of 63 samples: 48 MB

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SweepSettings:
    """What a sweep is.

    Attributes
    ----------
    stimulus : str
    signal : str
        Of `Recording.traces`.
    baseline : {"trial", "none"}, optional
        ``"trial"``: percent of the mean before onset, 100 (F / mean F - 1), the default of
        fluorescence. ``"none"``: the signal as it is, the default, and the only choice, of dF/F
        and events; these are then 100 times the file's fraction, so percent as well.
    before, after : int
        Imaging frames before onset, and from onset on.
    """

    stimulus: str = "natural_scenes"
    signal: str = "corrected"
    baseline: str | None = None
    before: int = BEFORE
    after: int = AFTER

    def __post_init__(self) -> None:
        """Check the values."""
        if self.baseline is None:
            object.__setattr__(self, "baseline", "none" if self._divided else "trial")
        if self.baseline not in BASELINES:
            raise ValueError(
                f"baseline must be one of {', '.join(BASELINES)}, got {self.baseline!r}"
            )
        if self.baseline == "trial" and self._divided:
            raise ValueError(
                f"baseline='trial' divides by fluorescence, and signal={self.signal!r} has been "
                "divided already; give baseline='none'"
            )
        if self.before < 1 or self.after < 1:
            raise ValueError(
                f"before and after must be at least 1 frame, got {self.before} and {self.after}"
            )

    @property
    def _divided(self) -> bool:
        return self.signal in ("dff", "events")

    @property
    def units(self) -> str:
        """Units of the sweeps."""
        if self.signal == "events":
            return "percent dF/F, events"
        return "percent dF/F" if self.baseline == "trial" or self._divided else "a.u."

    def times(self, recording: Recording) -> Floats:
        """Return times of a sweep's samples in seconds from onset."""
        return np.arange(-self.before, self.after) / recording.frame_rate


def sweeps(recording: Recording, neurons: Any = slice(None), **settings: Any) -> xr.DataArray:
    """Return what neurons did around each presentation.

    Parameters
    ----------
    recording : Recording
    neurons : slice, sequence of int or of bool
    **settings
        Of `SweepSettings`: `stimulus`, `signal`, `baseline`, `before`, `after`.

    Returns
    -------
    DataArray of float64, dims (neuron, trial, time)
        In percent dF/F by default: 100 (F / mean F before onset - 1), F the demixed,
        neuropil-corrected fluorescence, as allensdk's `sweep_response`. The coordinates
        ``stimulus`` and ``repetition`` tell what was shown. NaN where a sweep reaches beyond the
        recording. 50 neurons take 150 MB.

    Raises
    ------
    ValueError
        If a setting is not allowed.

    Examples
    --------
    >>> from neurn import mouse
    >>> made = mouse.simulate(
    ...     "simulated", areas=["VISp"], cre_lines=["Cux2-CreERT2"], neurons=4, repetitions=5
    ... )
    >>> recording = mouse.open_nwb(made.paths[0])
    >>> sweeps = mouse.sweeps(recording, neurons=[0])
    >>> sweeps.dims, sweeps.shape  # 5 times 118 images and the blank, 63 imaging frames
    (('neuron', 'trial', 'time'), (1, 595, 63))
    >>> sweeps.attrs["units"], sweeps["time"].values[[0, 28]].round(2)
    ('percent dF/F', array([-0.93,  0.  ]))
    >>> of_one_image = sweeps[:, sweeps["stimulus"] == 49]
    >>> of_one_image["repetition"].values
    array([0, 1, 2, 3, 4])
    """
    chosen = SweepSettings(**settings)
    rows = recording.rows(neurons)
    shown = recording.presentations(chosen.stimulus)
    values = _cut(recording, rows, shown["start"].values, chosen)
    xarray = import_optional("xarray", "mouse")
    array: xr.DataArray = xarray.DataArray(
        values,
        dims=("neuron", "trial", "time"),
        coords={
            **recording.neuron_coords(rows),
            "stimulus": ("trial", shown["stimulus"].values),
            "repetition": ("trial", shown["repetition"].values),
            "time": ("time", chosen.times(recording), {"units": "s"}),
        },
        name="sweeps",
        attrs={"units": chosen.units, **recording.attributes()},
    )
    return array


def responses(
    recording: Recording,
    neurons: Any = slice(None),
    *,
    window: tuple[int, int] = RESPONSE,
    **settings: Any,
) -> xr.Dataset:
    """Return each trial's response and each image's mean sweep, in blocks of neurons.

    Parameters
    ----------
    recording : Recording
    neurons : slice, sequence of int or of bool
    window : tuple of int
        Imaging frames from onset whose mean is a trial's response; the second is not counted.
    **settings
        Of `SweepSettings`.

    Returns
    -------
    Dataset
        ``trials`` (neuron, stimulus, trial): NaN where an image was shown less often than others,
        or a sweep reaches beyond the recording. ``sweep`` (neuron, stimulus, time): mean over an
        image's trials. float64; stimulus -1 is the blank. Both in the units of the sweeps.

    Raises
    ------
    ValueError
        If `window` is outside of the sweep or a setting is not allowed.

    Examples
    --------
    >>> from neurn import mouse
    >>> made = mouse.simulate(
    ...     "simulated", areas=["VISp"], cre_lines=["Cux2-CreERT2"], neurons=4, repetitions=5
    ... )
    >>> recording = mouse.open_nwb(made.paths[0])
    >>> found = mouse.responses(recording)
    >>> dict(found.sizes)
    {'neuron': 4, 'stimulus': 119, 'trial': 5, 'time': 63}
    >>> found["trials"].dims, found["sweep"].dims
    (('neuron', 'stimulus', 'trial'), ('neuron', 'stimulus', 'time'))
    >>> tuning = found["trials"].mean("trial").sel(stimulus=slice(0, None))  # without the blank
    >>> tuning.shape
    (4, 118)
    """
    chosen = SweepSettings(**settings)
    first, last = window
    if not -chosen.before <= first < last <= chosen.after:
        raise ValueError(
            f"window must be within {-chosen.before} and {chosen.after} frames, got {window}"
        )
    rows = recording.rows(neurons)
    shown = recording.presentations(chosen.stimulus)
    index, repetition = shown["stimulus"].values, shown["repetition"].values
    order = np.argsort(index, kind="stable")
    stimuli, begins = np.unique(index[order], return_index=True)
    place = np.searchsorted(stimuli, index)
    coords = recording.neuron_coords(rows)
    n_neurons, samples = len(coords["neuron"]), chosen.before + chosen.after
    trials = np.full((n_neurons, len(stimuli), repetition.max() + 1), np.nan)
    mean = np.empty((n_neurons, len(stimuli), samples))
    inside = slice(chosen.before + first, chosen.before + last)
    for block, part in _blocks(rows, len(recording)):
        cut = _cut(recording, part, shown["start"].values[order], chosen)
        trials[block, place[order], repetition[order]] = cut[:, :, inside].mean(axis=2)
        whole = ~np.isnan(cut[..., 0]) & ~np.isnan(cut[..., -1])
        if not whole.all():
            cut[~whole] = 0
        count = np.add.reduceat(whole, begins, axis=1, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            mean[block] = np.add.reduceat(cut, begins, axis=1) / count[..., None]
    xarray = import_optional("xarray", "mouse")
    about = {"units": chosen.units, **recording.attributes()}
    dataset: xr.Dataset = xarray.Dataset(
        {
            "trials": (("neuron", "stimulus", "trial"), trials, about),
            "sweep": (("neuron", "stimulus", "time"), mean, about),
        },
        coords={
            **coords,
            "stimulus": stimuli,
            "time": ("time", chosen.times(recording), {"units": "s"}),
        },
        attrs={"stimulus_name": chosen.stimulus, **recording.attributes()},
    )
    return dataset


def _blocks(
    rows: slice | npt.NDArray[np.intp], n_neurons: int
) -> Iterator[tuple[slice, slice | npt.NDArray[np.intp]]]:
    """Yield places in the result with places in the file, a block of neurons at a time."""
    places = np.arange(n_neurons)[rows]
    for begin in range(0, len(places), _CELLS_PER_BLOCK):
        part = places[begin : begin + _CELLS_PER_BLOCK]
        # Runs are read as slices: HDF5 is slow with lists.
        run = len(part) == part[-1] - part[0] + 1 and bool((np.diff(part) == 1).all())
        key = slice(int(part[0]), int(part[-1]) + 1) if run else part
        yield slice(begin, begin + len(part)), key


def _cut(
    recording: Recording,
    rows: slice | npt.NDArray[np.intp],
    start: npt.NDArray[np.int64],
    settings: SweepSettings,
) -> Floats:
    """Return sweeps (neurons, presentations, samples)."""
    traces = recording.traces(settings.signal, rows).values.astype(np.float64)
    frames = start[:, None] + np.arange(-settings.before, settings.after)
    outside = (frames < 0) | (frames >= traces.shape[1])
    cut: Floats = traces.take(frames, axis=1, mode="clip")
    if settings.baseline == "trial":
        before = cut[:, :, : settings.before].mean(axis=2, keepdims=True)
        cut /= before
        cut -= 1
        cut *= 100
    elif settings.signal in ("dff", "events"):
        cut *= 100
    # A sweep that is cut off has no baseline or no end: it counts as missing.
    cut[:, outside.any(axis=1)] = np.nan
    return cut
