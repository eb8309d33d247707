"""Intervals over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
    """
    if not len(values):
        raise ValueError("an interval needs at least one value")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence}: must lie between 0 and 1")
    n, mean = len(values), float(np.mean(values))
    if n == 1:
        return Interval(mean, math.nan, math.nan, n)
    quantile = import_optional("scipy.stats").t.ppf(0.5 + confidence / 2, n - 1)
    half = float(quantile * np.std(values, ddof=1) / math.sqrt(n))
    return Interval(mean, max(mean - half, bounds[0]), min(mean + half, bounds[1]), n)
