"""Distributions of activity: neurons, features, and features behind a front end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurn._optional import import_optional
from neurn.compare.inputs import (
    Activity,
    Floats,
    Responses,
    as_activity,
    as_responses,
    at_least,
    check_scenes,
    constant_neurons,
    drop_constant,
    one_of,
    tidy,
)
from neurn.mouse.representations import normalized

if TYPE_CHECKING:
    import pandas as pd

NORMALIZATIONS = ("minmax", "zscore", "none")

_UNITS_PER_BLOCK = 64


def distributions(
    neurons: Any,
    features: Any,
    *,
    normalize: str = "minmax",
    bins: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how alike the distributions of activity over scenes are, unit by unit.

    Each neuron is held against a matched feature, the one whose activity correlates best with its
    responses on half of the scenes, and an unmatched one at random; distributions are of the
    other half.

    Parameters
    ----------
    neurons : DataArray or array, (neuron, stimulus) or (neuron, stimulus, trial)
    features : DataArray or array, (stimulus, feature, ...), or mapping from names to such
        For example ``{"features": plain, "neurn + features": behind}``. A matched shuffle among
        them (`neurn.compare.matched_shuffle`) shows what mean and variance alone do.
    normalize : {"minmax", "zscore", "none"}
        Of each unit over all scenes, the same on both sides.
    bins : int
        Of the overlap's histograms.
    seed : int
        Of halves of scenes and unmatched features.

    Returns
    -------
    DataFrame, two lines for each neuron and set of features
        ``features`` (the name), ``matched``, ``feature`` (its place), ``wasserstein`` (in units
        of the normalized activity), ``ks`` (Kolmogorov-Smirnov, 0 to 1), ``overlap`` (shared part
        of histograms with common bins, 0 to 1), ``r`` (correlation over the scenes that the
        distributions are of).

    Raises
    ------
    ValueError
        If an argument is not allowed; scenes are too few or in another order; responses are NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import compare
    >>> rng = np.random.default_rng(0)
    >>> plain = rng.exponential(size=(60, 10))
    >>> neurons = plain[:, :5].T
    >>> sets = {"features": plain, "shuffled": compare.matched_shuffle(plain)}
    >>> found = compare.distributions(neurons, sets)
    >>> found.groupby(["features", "matched"])[["wasserstein", "r"]].mean().round(2).reset_index()
       features  matched  wasserstein     r
    0  features    False         0.08 -0.01
    1  features     True         0.00  1.00
    2  shuffled    False         0.09  0.09
    3  shuffled     True         0.07  0.18
    """
    one_of("normalize", normalize, NORMALIZATIONS)
    at_least("bins", bins, 2)
    pandas = import_optional("pandas", "mouse")
    one = as_responses(neurons, least=8)
    silent = constant_neurons(one)
    order = np.random.default_rng([seed, 0]).permutation(one.scenes)
    choose, measure = (np.sort(part) for part in np.array_split(order, 2))
    sets = features if isinstance(features, Mapping) else {"features": features}
    if not sets:
        raise ValueError("features must be at least one set, got none")
    tables = []
    for name, given in sets.items():
        activity = as_activity(given, f"features[{name!r}]")
        check_scenes(one, activity, f"features[{name!r}]")
        activity, places = drop_constant(activity, f"features[{name!r}]")
        tables += _tables(
            one, activity, places, silent, choose, measure, str(name), normalize, bins, seed
        )
    joined: pd.DataFrame = pandas.concat(tables, ignore_index=True)
    return joined


def _tables(
    one: Responses,
    activity: Activity,
    places: Any,
    silent: Any,
    choose: Any,
    measure: Any,
    name: str,
    normalize: str,
    bins: int,
    seed: int,
) -> list[pd.DataFrame]:
    x, y = _normal(one.mean, normalize), _normal(activity.values.T, normalize)
    best = _best(one.mean[:, choose], activity.values.T[:, choose])
    random = np.random.default_rng([seed, 1]).integers(len(y), size=len(x))
    tables = []
    for matched, choice in ((True, best), (False, random)):
        a, b = x[:, measure], y[choice][:, measure]
        columns: dict[str, Any] = {
            "wasserstein": wasserstein(a, b),
            "ks": kolmogorov_smirnov(a, b),
            "overlap": overlap(a, b, bins),
            "r": _r(a, b),
        }
        columns = {key: np.where(silent, np.nan, values) for key, values in columns.items()}
        columns |= {"features": [name] * len(x), "matched": [matched] * len(x)}
        columns["feature"] = places[choice]
        tables.append(tidy(columns, one, activity, metric="distributions", normalize=normalize))
    return tables


def wasserstein(a: Floats, b: Floats) -> Floats:
    """Return the distance of two samples of equal size, row by row: of their sorted values."""
    return np.asarray(np.abs(np.sort(a, axis=1) - np.sort(b, axis=1)).mean(axis=1))


def kolmogorov_smirnov(a: Floats, b: Floats) -> Floats:
    """Return the largest difference of two distribution functions, row by row."""
    result = np.empty(len(a))
    for i, (x, y) in enumerate(zip(np.sort(a, axis=1), np.sort(b, axis=1), strict=True)):
        both = np.concatenate([x, y])
        below = np.searchsorted(x, both, side="right") / len(x)
        other = np.searchsorted(y, both, side="right") / len(y)
        result[i] = np.abs(below - other).max()
    return result


def overlap(a: Floats, b: Floats, bins: int = 20) -> Floats:
    """Return the part that two histograms share, row by row, bins over the range of both."""
    low = np.minimum(a.min(axis=1), b.min(axis=1))[:, None]
    width = np.maximum(a.max(axis=1), b.max(axis=1))[:, None] - low
    width = np.where(width > 0, width, 1)
    first = np.arange(len(a))[:, None] * bins
    counts = []
    for values in (a, b):
        place = np.minimum((bins * (values - low) / width).astype(np.int64), bins - 1) + first
        counts.append(np.bincount(place.ravel(), minlength=bins * len(a)).reshape(len(a), bins))
    return np.asarray(np.minimum(*counts).sum(axis=1) / a.shape[1])


def _normal(values: Floats, normalize: str) -> Floats:
    return np.asarray(normalized(values, normalize))


def _best(a: Floats, b: Floats) -> Any:
    """Return for each row of a the row of b that correlates best with it."""
    x, y = _unit(a), _unit(b)
    return np.concatenate(
        [
            (x[begin : begin + _UNITS_PER_BLOCK] @ y.T).argmax(axis=1)
            for begin in range(0, len(x), _UNITS_PER_BLOCK)
        ]
    )


def _unit(values: Floats) -> Floats:
    centred = values - values.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.where(norm > 0, norm, 1))


def _r(a: Floats, b: Floats) -> Floats:
    return np.asarray((_unit(a) * _unit(b)).sum(axis=1))
