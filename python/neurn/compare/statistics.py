"""Corrections for many tests, and means over mice and their neurons."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from neurn.compare.inputs import Floats, at_least


def holm(p: npt.ArrayLike) -> Floats:
    """Return p values corrected for all tests (Holm 1979): the chance of any false one.

    Parameters
    ----------
    p : array
        NaN is no test and stays.

    Examples
    --------
    >>> from neurn import compare
    >>> compare.holm([0.01, 0.02, 0.04]).round(3)
    array([0.03, 0.04, 0.04])
    """
    return _corrected(p, lambda n, rank: (n - rank) * 1.0, np.maximum.accumulate)


def benjamini_hochberg(p: npt.ArrayLike) -> Floats:
    """Return p values corrected to the rate of false ones among those found (1995).

    Parameters
    ----------
    p : array
        NaN is no test and stays.

    Examples
    --------
    >>> from neurn import compare
    >>> compare.benjamini_hochberg([0.01, 0.02, 0.04]).round(3)
    array([0.03, 0.03, 0.04])
    """
    return _corrected(
        p,
        lambda n, rank: n / (rank + 1),
        lambda values: np.minimum.accumulate(values[::-1])[::-1],
    )


def _corrected(p: npt.ArrayLike, factor: Any, running: Any) -> Floats:
    values = np.asarray(p, dtype=np.float64)
    result = np.full(values.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(values))
    if not len(tested):
        return result
    given = values[tested]
    if given.min() < 0 or given.max() > 1:
        raise ValueError("p must be from 0 to 1")
    order = np.argsort(given, kind="stable")
    scaled = given[order] * factor(len(given), np.arange(len(given)))
    result[tested[order]] = np.minimum(running(scaled), 1)
    return result


def hierarchical_bootstrap(
    values: npt.ArrayLike, mice: npt.ArrayLike | None = None, samples: int = 2000, seed: int = 0
) -> Floats:
    """Return means of resampled mice and, within each, of resampled neurons.

    Parameters
    ----------
    values : array, shape (neurons,)
    mice : array, shape (neurons,), optional
        Whose each neuron is; without it neurons alone are resampled.
    samples : int
    seed : int

    Returns
    -------
    ndarray of float64, shape (samples,)

    References
    ----------
    Saravanan, Berman, Sober (2020), Neurons Behav. Data Anal. Theory 3 (5).

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import compare
    >>> scores = np.array([0.1, 0.2, 0.1, 0.2, 0.8, 0.9])
    >>> mice = np.array([1, 1, 1, 1, 2, 2])
    >>> means = compare.hierarchical_bootstrap(scores, mice)
    >>> np.quantile(means, [0.025, 0.975]).round(1)
    array([0.1, 0.9])

    As if all neurons were independent, it would look surer than it is:

    >>> np.quantile(compare.hierarchical_bootstrap(scores), [0.025, 0.975]).round(1)
    array([0.2, 0.6])
    """
    at_least("samples", samples, 1)
    data = np.asarray(values, dtype=np.float64)
    labels = np.zeros(len(data)) if mice is None else np.asarray(mice)
    if data.ndim != 1 or not len(data) or labels.shape != data.shape:
        raise ValueError(
            f"values and mice must have one entry for each neuron, got {data.shape} and "
            f"{labels.shape}"
        )
    random = np.random.default_rng(seed)
    names, which = np.unique(labels, return_inverse=True)
    times = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=samples)
    total, count = np.zeros(samples), np.zeros(samples)
    for k in range(len(names)):
        own = data[which == k]
        weights = random.multinomial(times[:, k] * len(own), np.full(len(own), 1 / len(own)))
        total += weights @ own
        count += weights.sum(axis=1)
    return np.asarray(total / count)


def interval(samples: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """Return the middle part of samples."""
    low, high = np.quantile(samples, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def two_sided(samples: Floats) -> float:
    """Return how sure resampled means are on one side of 0: twice the smaller share, p."""
    n = len(samples)
    less, more = (samples <= 0).sum(), (samples >= 0).sum()
    return float(min(1.0, 2 * (1 + min(less, more)) / (1 + n)))
