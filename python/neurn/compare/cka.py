"""Centred kernel alignment of neurons and features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from neurn._progress import Progress
from neurn.compare import population
from neurn.compare.inputs import Floats, Responses
from neurn.compare.rdm import gram

if TYPE_CHECKING:
    import pandas as pd


def cka(
    neurons: Any,
    features: Any,
    *,
    debiased: bool = True,
    by: str | npt.ArrayLike | None = None,
    permutations: int = 1000,
    bootstrap: int = 200,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: bool | Progress | None = None,
) -> pd.DataFrame:
    """Return linear centred kernel alignment.

    Parameters
    ----------
    neurons : DataArray or array, (neuron, stimulus) or (neuron, stimulus, trial)
    features : DataArray or array, (stimulus, feature, ...)
    debiased : bool
        With the unbiased estimate of HSIC (Song et al. 2012; Nguyen, Raghu, Kornblith 2021,
        arXiv:2010.15327): about 0 for unrelated patterns, whatever the number of features, and
        sometimes below. The biased form (Kornblith et al. 2019, arXiv:1905.00414) grows with it.
    by, permutations, seed, device, progress
        As in `neurn.compare.rsa`.
    bootstrap : int
        Resamplings of mice and of their neurons; a scene that comes twice would make itself alike,
        so scenes stay.

    Returns
    -------
    DataFrame, a line for each group
        As of `neurn.compare.rsa`; ``ceiling_low`` is odd against even trials.

    Raises
    ------
    ValueError
        If an argument is not allowed; scenes are too few or in another order; responses are NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import compare
    >>> rng = np.random.default_rng(0)
    >>> features = rng.standard_normal((40, 200))
    >>> neurons = features[:, :20].T
    >>> found = compare.cka(neurons, features, permutations=100, bootstrap=20)
    >>> found[["score", "p", "n"]].round(2)
       score     p   n
    0   0.29  0.01  20

    Of unrelated patterns the biased form is far from 0 where features are many:

    >>> unrelated = rng.standard_normal((20, 40))
    >>> for debiased in (True, False):
    ...     found = compare.cka(unrelated, features, debiased=debiased, permutations=0, bootstrap=0)
    ...     print(f"{found['score'][0]:.1f}")
    0.0
    0.6
    """
    return population.run(
        _Cka(debiased, device),
        neurons,
        features,
        by=by,
        permutations=permutations,
        bootstrap=bootstrap,
        resample=("mice", "neurons"),
        seed=seed,
        progress=progress,
        least_scenes=4,
        metric="cka",
        debiased=debiased,
    )


def hsic(k: Floats, debiased: bool) -> Floats:
    """Return a Gram matrix such that the sum of products of two is their HSIC, but for a factor.

    Parameters
    ----------
    k : ndarray, shape (scenes, scenes)
    debiased : bool
        U-centred (Szekely, Rizzo 2014): sums of products are then the unbiased estimate.
    """
    n = len(k)
    if not debiased:
        rows = k.mean(axis=0)
        centred: Floats = k - rows - rows[:, None] + rows.mean()
        return centred
    # A common shift of all products changes nothing; without it less is lost to rounding.
    k = k - k.mean()
    np.fill_diagonal(k, 0)
    rows = k.sum(axis=0) / (n - 2)
    result: Floats = k - rows - rows[:, None] + k.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(result, 0)
    return result


class _Cka:
    lower_is_better = False
    least_neurons = 1
    limits = (-1.0, 1.0)
    uses_trials = False

    def __init__(self, debiased: bool, device: Any) -> None:
        self.debiased, self.device = debiased, device

    def ready(self, patterns: Floats) -> Floats:
        centred = patterns - patterns.mean(axis=0)
        return hsic(gram(centred, self.device), self.debiased)

    def ready_neurons(self, neurons: Responses) -> Floats:
        return self.ready(neurons.mean.T)

    def order(self, ready: Floats, scenes: npt.NDArray[Any]) -> Floats:
        ordered: Floats = ready[np.ix_(scenes, scenes)]
        return ordered

    def score(self, a: Floats, b: Floats, scenes: npt.NDArray[Any] | None = None) -> float:
        norm = (a * a).sum() * (b * b).sum()
        return float((a * b).sum() / np.sqrt(norm)) if norm > 0 else float("nan")

    def ceiling(self, neurons: Responses) -> tuple[float, float]:
        if neurons.odd is None or neurons.even is None:
            return float("nan"), float("nan")
        return self.score(self.ready(neurons.odd.T), self.ready(neurons.even.T)), float("nan")
