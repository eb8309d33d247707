"""Representational similarity analysis of neurons and features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from neurn._progress import Progress
from neurn.compare import moments, population
from neurn.compare.inputs import Floats, Responses, at_least, one_of
from neurn.compare.rdm import (
    COMPARISONS,
    CROSSED,
    METHODS,
    compare_vectors,
    noise_ceiling,
    rdm,
    upper,
)

if TYPE_CHECKING:
    import pandas as pd

# Comparisons that take RDMs with all pairs: scenes cannot come twice.
WHOLE = ("corr_cov", "cosine_cov", *moments.COMPARISONS)


def rsa(
    neurons: Any,
    features: Any,
    *,
    method: str = "correlation",
    comparison: str = "spearman",
    model_method: str | None = None,
    by: str | npt.ArrayLike | None = None,
    permutations: int = 1000,
    bootstrap: int = 200,
    resample: tuple[str, ...] = ("mice", "neurons", "scenes"),
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: bool | Progress | None = None,
) -> pd.DataFrame:
    """Return how alike the dissimilarities of scenes are, to neurons and to features.

    Parameters
    ----------
    neurons : DataArray or array, (neuron, stimulus) or (neuron, stimulus, trial)
    features : DataArray or array, (stimulus, feature, ...)
    method : str
        Of the neurons' RDM, see `neurn.compare.rdm`; "crossnobis" and "poisson_cv" take single
        trials; the noise of "crossnobis" and "mahalanobis" is the variance of each neuron's.
    comparison : str
        Of both RDMs, see `neurn.compare.compare_rdms`.
    model_method : str, optional
        Of the features' RDM; as `method` by default, "euclidean" beside "crossnobis" and
        "mahalanobis", "poisson" beside "poisson_cv".
    by : str or array of labels, optional
        A line for each group of neurons, for example ``"area"``.
    permutations : int
        Of scenes, for the null.
    bootstrap : int
        Resamplings for the interval: of mice (the column ``experiment``), within them of neurons,
        and of scenes; pairs of a scene with itself are left out. The interval is moved by what
        resampling neurons alone changes, so that it lies about the score.
    resample : sequence of {"mice", "neurons", "scenes"}
    seed : int
    device : str or torch.device
        Of the products.
    progress : bool or callable, optional

    Returns
    -------
    DataFrame, a line for each group
        ``score``, ``low``, ``high``, ``null``, ``null_std``, ``z``, ``p`` (one-sided),
        ``ceiling_low``, ``ceiling_high``, ``n`` (neurons), ``n_mice``. Ceilings: of 2 mice or
        more each against the others and against all (`noise_ceiling`); of one, odd against even
        trials, and the root of that corrected to all trials (Spearman-Brown).

    Raises
    ------
    ValueError
        If an argument is not allowed; scenes are too few or in another order; responses are NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import compare
    >>> rng = np.random.default_rng(0)
    >>> features = rng.standard_normal((30, 20))
    >>> neurons = features.T[..., None] + rng.standard_normal((20, 30, 6))
    >>> found = compare.rsa(neurons, features, permutations=100, bootstrap=20)
    >>> found[["score", "null", "ceiling_low", "p", "n"]].round(2)
       score  null  ceiling_low     p   n
    0   0.84   0.0          0.5  0.01  20
    """
    one_of("method", method, METHODS)
    one_of("comparison", comparison, COMPARISONS)
    if model_method is None:
        squared = ("crossnobis", "mahalanobis")
        model_method = "euclidean" if method in squared else method.removesuffix("_cv")
    one_of("model_method", model_method, ("correlation", "euclidean", "poisson"))
    _check_resample(resample)
    if comparison in WHOLE:
        resample = tuple(each for each in resample if each != "scenes")
    measure = _Rsa(method, model_method, comparison, device)
    return population.run(
        measure,
        neurons,
        features,
        by=by,
        permutations=permutations,
        bootstrap=bootstrap,
        resample=resample,
        seed=seed,
        progress=progress,
        least_scenes=4,
        metric="rsa",
        rdm=method,
        comparison=comparison,
    )


def rsa_of_rdms(
    neural: npt.ArrayLike,
    model: npt.ArrayLike,
    *,
    comparison: str = "spearman",
    permutations: int = 1000,
    bootstrap: int = 200,
    seed: int = 0,
) -> dict[str, float]:
    """Compare an RDM that is known already with a model's; both (scenes, scenes).

    Returns
    -------
    dict of str to float
        ``score``; ``low`` and ``high`` over resampled scenes; ``null``, ``null_std``, ``z`` and
        ``p`` over permuted ones.

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import compare
    >>> rng = np.random.default_rng(0)
    >>> activity = rng.standard_normal((20, 50))
    >>> neural, model = (compare.rdm(activity + rng.standard_normal((20, 50))) for _ in range(2))
    >>> found = compare.rsa_of_rdms(neural, model, permutations=100, bootstrap=50)
    >>> {name: round(found[name], 2) for name in ("score", "null", "p")}
    {'score': 0.25, 'null': 0.01, 'p': 0.01}
    """
    one_of("comparison", comparison, COMPARISONS)
    at_least("permutations", permutations, 0)
    at_least("bootstrap", bootstrap, 0)
    a, b = (np.asarray(m, dtype=np.float64) for m in (neural, model))
    if a.ndim != 2 or a.shape != b.shape or a.shape[0] != a.shape[1] or len(a) < 4:
        raise ValueError(
            f"RDMs must both be (scenes, scenes) of 4 scenes or more, got {a.shape} and {b.shape}"
        )
    random = np.random.default_rng(seed)
    measure = _Rsa("correlation", "correlation", comparison, "cpu")
    score = measure.score(a, b)
    n = len(a)
    null = np.array(
        [measure.score(a, measure.order(b, random.permutation(n))) for _ in range(permutations)]
    )
    drawn = [
        measure.score(a, b, np.sort(random.integers(n, size=n)))
        for _ in range(0 if comparison in WHOLE else bootstrap)
    ]
    low, high = np.nanquantile(drawn, [0.025, 0.975]) if drawn else (np.nan, np.nan)
    empty = {key: np.nan for key in ("null", "null_std", "z", "p")}
    against = population.against(score, null, measure.lower_is_better)
    return {"score": score, "low": float(low), "high": float(high), **empty, **against}


def _check_resample(resample: tuple[str, ...]) -> None:
    for each in resample:
        one_of("resample", each, ("mice", "neurons", "scenes"))


class _Rsa:
    least_neurons = 2

    def __init__(self, method: str, model_method: str, comparison: str, device: Any) -> None:
        self.method, self.model_method = method, model_method
        self.comparison, self.device = comparison, device
        self.uses_trials = method in (*CROSSED, "mahalanobis")
        self.lower_is_better = comparison == "bures_metric"
        unbounded = {"bures_metric": (0.0, np.inf), "neg_riem_dist": (-np.inf, 0.0)}
        self.limits = unbounded.get(comparison, (-1.0, 1.0))

    def ready(self, patterns: Floats) -> Floats:
        return rdm(patterns, self.model_method, device=self.device)

    def ready_neurons(self, neurons: Responses) -> Floats:
        if self.uses_trials:
            if neurons.trials is None:
                raise ValueError(f"method={self.method!r} needs single trials")
            trials = neurons.trials
            crossed = trials.transpose(1, 0, 2)
            if self.method in CROSSED and np.isnan(trials).any():
                raise ValueError(f"method={self.method!r} needs every trial; some are NaN")
            if self.method == "poisson_cv":
                return rdm(crossed, self.method, device=self.device)
            variance = np.nanvar(trials, axis=2, ddof=1).mean(axis=1)
            if not (variance > 0).all():
                raise ValueError(f"method={self.method!r} needs trials that vary")
            data = neurons.mean.T if self.method == "mahalanobis" else crossed
            return rdm(data, self.method, noise=1 / variance, device=self.device)
        return self._means(neurons.mean)

    def _means(self, responses: Floats) -> Floats:
        return rdm(responses.T, self.method, device=self.device)

    def order(self, ready: Floats, scenes: npt.NDArray[Any]) -> Floats:
        ordered: Floats = ready[np.ix_(scenes, scenes)]
        return ordered

    def score(self, a: Floats, b: Floats, scenes: npt.NDArray[Any] | None = None) -> float:
        if scenes is None:
            return float(compare_vectors(upper(a)[None], upper(b)[None], self.comparison)[0, 0])
        rows, columns = np.triu_indices(len(scenes), 1)
        i, j = scenes[rows], scenes[columns]
        apart = i != j
        if apart.sum() < 3:
            return float("nan")
        i, j = i[apart], j[apart]
        return float(compare_vectors(a[i, j][None], b[i, j][None], self.comparison)[0, 0])

    def ceiling(self, neurons: Responses) -> tuple[float, float]:
        mice = [places for places in population.mice_of(neurons).values() if len(places) > 1]
        if self.comparison in moments.COMPARISONS:
            return float("nan"), float("nan")
        if len(mice) > 1:
            rdms = np.array([self.ready_neurons(neurons.take(places)) for places in mice])
            return noise_ceiling(rdms, self.comparison)
        if neurons.odd is None or neurons.even is None:
            return float("nan"), float("nan")
        if self.uses_trials:
            return float("nan"), float("nan")
        try:
            half = self.score(self._means(neurons.odd), self._means(neurons.even))
        except ValueError:  # half of the trials may leave a scene without any response
            return float("nan"), float("nan")
        full = max(2 * half / (1 + half), 0.0) if half > -1 else 0.0
        return half, float(np.sqrt(full))
