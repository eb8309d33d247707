"""What the measures take: responses of neurons and activity of features to the same scenes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neurn._optional import import_optional
from neurn.mouse.sweeps import BLANK

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]

# What arrays say of themselves and every table repeats.
_SAID = ("model", "front_end", "layer", "weights")
# A table's layer is the model's: that of the cortex gets a name of its own.
RENAMED = {"layer": "cortical_layer"}

_BLOCK_BYTES = 64 * 1024**2


@dataclass(frozen=True, eq=False)
class Responses:
    """Responses of neurons, without the blank.

    Attributes
    ----------
    mean : ndarray of float64, shape (neurons, scenes)
    odd, even : ndarray of float64, shape (neurons, scenes), or None
        Means of every other trial; None where there is one trial only.
    trials : ndarray, shape (neurons, scenes, trials), or None
        As given: there may be gigabytes of them.
    columns : dict of str to ndarray
        What is known of each neuron; its cortical layer as ``cortical_layer``.
    stimulus : ndarray or None
        Names of the scenes, where they have names.
    simulated : bool
    """

    mean: Floats
    odd: Floats | None
    even: Floats | None
    trials: npt.NDArray[Any] | None
    columns: dict[str, npt.NDArray[Any]]
    stimulus: npt.NDArray[Any] | None
    simulated: bool = False

    def __len__(self) -> int:
        """Return the number of neurons."""
        return len(self.mean)

    @property
    def scenes(self) -> int:
        """Number of scenes."""
        return int(self.mean.shape[1])

    def take(self, places: npt.NDArray[Any]) -> Responses:
        """Return some of the neurons, in that order."""
        parts = {
            name: None if values is None else values[places]
            for name, values in (("odd", self.odd), ("even", self.even), ("trials", self.trials))
        }
        columns = {key: values[places] for key, values in self.columns.items()}
        return replace(self, mean=self.mean[places], columns=columns, **parts)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Activity:
    """Activity of features.

    Attributes
    ----------
    values : ndarray of float64, shape (scenes, features)
    said : dict
        ``model``, ``front_end``, ``layer``, ``weights`` where they are known.
    stimulus : ndarray or None
    simulated : bool
    """

    values: Floats
    said: dict[str, Any] = field(default_factory=dict)
    stimulus: npt.NDArray[Any] | None = None
    simulated: bool = False


def as_responses(neurons: Any, least: int = 3) -> Responses:
    """Read responses: DataArray or array, (neuron, stimulus) or (neuron, stimulus, trial).

    The blank (stimulus -1) is left out. A trial may be missing (NaN), a scene not.

    Raises
    ------
    ValueError
        If the shape is another one, a neuron has no response to a scene, or there are fewer
        scenes than `least`.
    """
    columns: dict[str, npt.NDArray[Any]] = {}
    stimulus, simulated = None, False
    if isinstance(neurons, Responses):
        return neurons
    if hasattr(neurons, "coords"):
        _dims(neurons, "neurons", ({"neuron", "stimulus"}, {"neuron", "stimulus", "trial"}))
        order = [d for d in ("neuron", "stimulus", "trial") if d in neurons.dims]
        neurons = neurons.transpose(*order)
        simulated = bool(neurons.attrs.get("simulated", 0))
        columns = {
            RENAMED.get(str(key), str(key)): np.asarray(c.values)
            for key, c in neurons.coords.items()
            if c.dims == ("neuron",)
        }
        if "stimulus" in neurons.coords:
            stimulus = np.asarray(neurons["stimulus"].values)
        values = neurons.values
    else:
        values = np.asarray(neurons)
    _numbers(values, "neurons")
    if values.ndim not in (2, 3) or not len(values):
        raise ValueError(
            "neurons must have shape (neurons, scenes) or (neurons, scenes, trials) and hold one "
            f"or more, got {values.shape}"
        )
    if stimulus is not None and (stimulus == BLANK).any():
        shown = stimulus != BLANK
        values, stimulus = values[:, shown], stimulus[shown]
    if values.shape[1] < least:
        raise ValueError(f"neurons must have seen {least} scenes or more, got {values.shape[1]}")
    trials = values if values.ndim == 3 and values.shape[2] > 1 else None
    mean = values.astype(np.float64) if values.ndim == 2 else _nanmean(values)
    lacking = np.isnan(mean).any(axis=1)
    if lacking.any():
        raise ValueError(
            f"neurons must have a response to every scene: {lacking.sum()} of {len(mean)} have "
            f"none (NaN) to some, the first is number {int(lacking.argmax())}; leave them out"
        )
    odd = even = None
    if trials is not None:
        odd, even = _nanmean(trials[..., ::2]), _nanmean(trials[..., 1::2])
        odd, even = np.where(np.isnan(odd), mean, odd), np.where(np.isnan(even), mean, even)
    columns.setdefault("neuron", np.arange(len(mean)))
    return Responses(mean, odd, even, trials, columns, stimulus, simulated)


def as_activity(features: Any, name: str = "features") -> Activity:
    """Read activity: DataArray (stimulus, feature, ...) or array (scenes, features, ...).

    Positions are averaged over: a feature is a channel.

    Raises
    ------
    ValueError
        If the shape is another one or a value is not finite.
    """
    if isinstance(features, Activity):
        return features
    said: dict[str, Any] = {}
    stimulus, simulated = None, False
    if hasattr(features, "coords"):
        if not {"stimulus", "feature"} <= set(features.dims):
            raise ValueError(f"{name} must have dims stimulus and feature, got {features.dims}")
        features = features.transpose("stimulus", "feature", ...)
        said = {key: features.attrs[key] for key in _SAID if key in features.attrs}
        simulated = bool(features.attrs.get("simulated", 0))
        if "stimulus" in features.coords:
            stimulus = np.asarray(features["stimulus"].values)
        values = features.values
    else:
        values = np.asarray(features)
    _numbers(values, name)
    if values.ndim < 2 or not values.size:
        raise ValueError(f"{name} must have shape (scenes, features, ...), got {values.shape}")
    values = values.reshape(*values.shape[:2], -1).mean(axis=2, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    if stimulus is not None and (stimulus == BLANK).any():
        values, stimulus = values[stimulus != BLANK], stimulus[stimulus != BLANK]
    return Activity(values, said, stimulus, simulated)


def check_scenes(neurons: Responses, features: Activity, name: str = "features") -> None:
    """Raise ValueError unless both are of the same scenes in the same order."""
    if len(features.values) != neurons.scenes:
        raise ValueError(
            f"{name} must be of the neurons' {neurons.scenes} scenes, got {len(features.values)}"
        )
    a, b = neurons.stimulus, features.stimulus
    if a is not None and b is not None and not np.array_equal(a, b):
        how = "in another order" if np.array_equal(np.sort(a), np.sort(b)) else "not the same"
        raise ValueError(
            f"{name} must be of the neurons' scenes in their order; the names of the scenes are "
            f"{how}: use features.sel(stimulus=neurons.stimulus)"
        )


def varying(values: Floats, axis: int = 0) -> npt.NDArray[np.bool_]:
    """Return which columns (axis 0) or rows (axis 1) vary by more than rounding."""
    largest = np.abs(values).max(axis=axis)
    result: npt.NDArray[np.bool_] = values.std(axis=axis) > 8 * np.finfo(np.float64).eps * largest
    return result


def drop_constant(features: Activity, name: str = "features") -> tuple[Activity, Any]:
    """Leave features out that never vary, with a warning; return the places of the others.

    Raises
    ------
    ValueError
        If none varies.
    """
    keep = varying(features.values)
    if not keep.any():
        raise ValueError(f"{name} must vary over scenes: all {len(keep)} are constant")
    if not keep.all():
        warnings.warn(
            f"{name}: {(~keep).sum()} of {len(keep)} never vary over scenes and are left out",
            stacklevel=3,
        )
    return replace(features, values=features.values[:, keep]), np.flatnonzero(keep)


def constant_neurons(neurons: Responses) -> npt.NDArray[np.bool_]:
    """Return which neurons never vary, with a warning where there are some.

    Raises
    ------
    ValueError
        If none varies.
    """
    constant = ~varying(neurons.mean, axis=1)
    if constant.all():
        raise ValueError(f"neurons must vary over scenes: all {len(constant)} are constant")
    if constant.any():
        warnings.warn(
            f"neurons: {constant.sum()} of {len(constant)} never vary over scenes; their scores "
            "are NaN",
            stacklevel=3,
        )
    return constant


def tidy(
    columns: Mapping[str, Any], neurons: Responses | None, features: Activity, **said: Any
) -> pd.DataFrame:
    """Return a tidy table: what is known of neurons and of the model, then `columns`."""
    pandas = import_optional("pandas", "mouse")
    length = len(next(iter(columns.values())))
    data: dict[str, Any] = {} if neurons is None else dict(neurons.columns)
    for key in _SAID:
        data[key] = [features.said.get(key, "")] * length
    simulated = features.simulated or (neurons is not None and neurons.simulated)
    for key, value in {**said, "simulated": simulated}.items():
        data[key] = [value] * length
    frame: pd.DataFrame = pandas.DataFrame({**data, **columns})
    return frame


def one_of(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Raise ValueError, naming what is allowed, unless `value` is."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


def at_least(name: str, value: int, least: int) -> None:
    """Raise ValueError if `value` is below `least`."""
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def _dims(array: Any, name: str, allowed: Sequence[set[str]]) -> None:
    if set(array.dims) not in allowed:
        texts = " or ".join(str(tuple(sorted(dims))) for dims in allowed)
        raise ValueError(f"{name} must have dims {texts}, got {tuple(array.dims)}")


def _numbers(values: npt.NDArray[Any], name: str) -> None:
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be real numbers, got dtype {values.dtype}")


def _nanmean(values: npt.NDArray[Any]) -> Floats:
    """Return the means over trials, (neurons, scenes), some neurons at a time."""
    mean = np.empty(values.shape[:2])
    step = max(1, _BLOCK_BYTES // max(8 * values[0].size, 1))
    for begin in range(0, len(values), step):
        block = values[begin : begin + step].astype(np.float64)
        there = ~np.isnan(block)
        block[~there] = 0
        with np.errstate(invalid="ignore"):
            mean[begin : begin + step] = block.sum(axis=-1) / there.sum(axis=-1)
    return mean
