"""Intervals, exact paired tests, correction for many of them, and calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neurn._optional import import_optional


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval.

    Attributes
    ----------
    mean, low, high : float
        `low` and `high` are NaN where fewer than two values were given.
    n : int
        Number of values.

    Examples
    --------
    >>> from neurn import generalize
    >>> generalize.Interval(mean=0.06, low=0.01, high=0.11, n=5).verdict
    'higher'
    >>> generalize.Interval(mean=0.06, low=-0.02, high=0.14, n=5).verdict
    'undecided'
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def verdict(self) -> str:
        """``"higher"`` or ``"lower"`` where the interval excludes 0, else ``"undecided"``."""
        if self.low > 0:
            return "higher"
        if self.high < 0:
            return "lower"
        return "undecided"


def t_interval(
    values: Sequence[float],
    confidence: float = 0.95,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Interval:
    """Student t interval of a mean, from the sample standard deviation (n - 1).

    Parameters
    ----------
    values : sequence of float
        One value per seed. For a paired comparison: the differences.
    confidence : float
        Coverage, above 0 and below 1.
    bounds : (float, float)
        Smallest and largest possible value; the interval is cut off there.

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If there is no value or `confidence` is out of range.
    MissingExtraError
        If scipy is not installed.

    Examples
    --------
    >>> from neurn import generalize
    >>> gains = [0.04, 0.07, 0.05, 0.09, 0.05]  # paired differences of five seeds
    >>> interval = generalize.t_interval(gains)
    >>> round(interval.mean, 3), round(interval.low, 3), round(interval.high, 3)
    (0.06, 0.035, 0.085)
    >>> interval.verdict
    'higher'
    """
    _check(values, confidence)
    n, mean = len(values), float(np.mean(values))
    if n == 1:
        return Interval(mean, math.nan, math.nan, n)
    quantile = import_optional("scipy.stats").t.ppf(0.5 + confidence / 2, n - 1)
    half = float(quantile * np.std(values, ddof=1) / math.sqrt(n))
    return Interval(mean, max(mean - half, bounds[0]), min(mean + half, bounds[1]), n)


def bootstrap_interval(
    values: Sequence[float],
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a mean (B. Efron, Ann. Statist. 7, 1979).

    Parameters
    ----------
    values : sequence of float
        One value per seed. Below about ten values it is too narrow; the t interval is not.
    confidence : float
        Coverage, above 0 and below 1.
    resamples : int
        Number of samples drawn with replacement.
    seed : int
        Same seed, same interval.

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If there is no value or `confidence` is out of range.

    Examples
    --------
    >>> from neurn import generalize
    >>> gains = [0.04, 0.07, 0.05, 0.09, 0.05, 0.02, 0.08, 0.06, 0.03, 0.07]
    >>> interval = generalize.bootstrap_interval(gains, seed=0)
    >>> round(interval.mean, 3), round(interval.low, 2), round(interval.high, 2)
    (0.056, 0.04, 0.07)
    """
    _check(values, confidence)
    n, mean = len(values), float(np.mean(values))
    if n == 1:
        return Interval(mean, math.nan, math.nan, n)
    drawn = np.random.default_rng(seed).integers(n, size=(resamples, n))
    means = np.asarray(values, dtype=np.float64)[drawn].mean(axis=1)
    low, high = np.quantile(means, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Interval(mean, float(low), float(high), n)


def paired_test(differences: npt.ArrayLike) -> float:
    """Exact two-sided paired permutation test: p of a sum of differences when signs are by chance.

    Every pattern of signs is counted (R. A. Fisher, "The Design of Experiments", 1935). With
    differences -1, 0 and 1 this is McNemar's exact test. The smallest possible p is 2 / 2^m, m
    the number of differences that are not 0: five seeds cannot go below 0.0625.

    Parameters
    ----------
    differences : array of int, shape (N,)
        With minus without: counts of right images per seed, or of right seeds per image.

    Returns
    -------
    float
        1 where all differences are 0, or there are none.

    Raises
    ------
    ValueError
        If a difference is not a whole number.

    Examples
    --------
    >>> from neurn import generalize
    >>> generalize.paired_test([3, 5, 2, 6, 4])  # five seeds, all for the better
    0.0625
    >>> generalize.paired_test([3, -5, 2, 6, -4])
    0.9375
    """
    given = np.asarray(differences)
    sizes = np.abs(given).astype(np.int64)
    if (sizes != np.abs(given)).any():
        raise ValueError("differences must be whole numbers: counts of images or of seeds")
    observed = abs(int(given.sum()))
    # chance[s]: probability that the sizes so far, with random signs, sum to s - (their total).
    chance = np.ones(1)
    for size, count in zip(*np.unique(sizes[sizes > 0], return_counts=True), strict=True):
        chance = _add_signs(chance, int(size), int(count))
    reach = len(chance) // 2
    distance = np.abs(np.arange(-reach, reach + 1))
    return min(1.0, float(chance[distance >= observed].sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for their number (S. Holm, Scand. J. Statist. 6, 1979).

    Parameters
    ----------
    p_values : sequence of float
        NaN where there is no test: kept, not counted.

    Returns
    -------
    list of float
        In the order given; each at least as large as before.

    Examples
    --------
    >>> from neurn import generalize
    >>> [round(p, 3) for p in generalize.holm([0.01, 0.04, 0.03, float("nan")])]
    [0.03, 0.06, 0.06, nan]
    """
    p = np.asarray(p_values, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    adjusted = p.copy()
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    return [float(value) for value in adjusted]


def calibration_error(
    confidences: npt.NDArray[np.floating[Any]], correct: npt.NDArray[np.bool_], bins: int = 15
) -> float:
    """Return the expected calibration error: mean distance of confidence and accuracy in bins.

    M. P. Naeini et al., AAAI 2015; C. Guo et al., "On calibration of modern neural networks",
    ICML 2017.

    Parameters
    ----------
    confidences : ndarray, shape (N,)
        Probability of the predicted class, 0 to 1.
    correct : ndarray of bool, shape (N,)
    bins : int
        Of equal width, upper edges included.

    Returns
    -------
    float
        0 (calibrated) to 1.
    """
    place = np.clip(np.ceil(confidences.astype(np.float64) * bins).astype(int) - 1, 0, bins - 1)
    surplus = np.bincount(place, confidences - correct.astype(np.float64), bins)
    return float(np.abs(surplus).sum() / len(correct))


def _add_signs(chance: npt.NDArray[np.float64], size: int, count: int) -> npt.NDArray[np.float64]:
    """Convolve with the distribution of `count` differences of `size`, each of random sign."""
    logs = [
        math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        for k in range(count + 1)
    ]
    shares = np.exp(np.array(logs) - count * math.log(2.0))
    total = np.zeros(len(chance) + 2 * size * count)
    for k, share in enumerate(shares):
        if share > 0:
            start = 2 * size * k
            total[start : start + len(chance)] += share * chance
    return total


def _check(values: Sequence[float], confidence: float) -> None:
    if not len(values):
        raise ValueError("an interval needs at least one value")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence}: must lie between 0 and 1")
