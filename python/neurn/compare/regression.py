"""Encoding: each neuron's responses predicted from features, on scenes that were held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from neurn._device import check_device
from neurn._optional import import_optional
from neurn._progress import Progress, show_progress
from neurn.compare.inputs import (
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
from neurn.compare.rdm import gram

if TYPE_CHECKING:
    import pandas as pd

METHODS = ("ridge", "pls")
ALPHAS = (0.01, 0.1, 1.0, 10.0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7)

Folds = list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]
Predict = Callable[[Floats], tuple[Floats, Floats]]

_BLOCK_BYTES = 64 * 1024**2


def regression(
    neurons: Any,
    features: Any,
    *,
    method: str = "ridge",
    folds: int = 5,
    inner_folds: int = 4,
    alphas: Sequence[float] = ALPHAS,
    components: Sequence[int] = (1, 2, 4, 8, 16),
    permutations: int = 20,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: bool | Progress | None = None,
) -> pd.DataFrame:
    """Return how well features predict each neuron on scenes that were not used, nested.

    Scenes are split into `folds`; the strength of the ridge of each neuron (the number of
    components of PLS, one for all) is chosen by `inner_folds` of the rest. Features are z-scored
    over the scenes that a model is fitted on.

    Parameters
    ----------
    neurons : DataArray or array, (neuron, stimulus) or (neuron, stimulus, trial)
    features : DataArray or array, (stimulus, feature, ...)
    method : {"ridge", "pls"}
    folds, inner_folds : int
    alphas : sequence of float
        Strengths of the ridge, |y - X b|^2 + alpha |b|^2.
    components : sequence of int
        Numbers of components of PLS; those above what scenes and features allow are left out.
    permutations : int
        Of scenes between neurons and features, everything chosen anew, for the null.
    seed : int
        Of the folds and permutations.
    device : str or torch.device
        Of the products of features.
    progress : bool or callable, optional

    Returns
    -------
    DataFrame, a line for each neuron
        ``score``: R2 of all held-out predictions, 1 - the squared error over that of the mean of
        the scenes fitted on, so that below 0 is worse than no model; ``r``, their correlation;
        ``ceiling``, the R2 of a perfect model (split-half reliability, odd against even trials,
        Spearman-Brown); ``fraction`` = score / ceiling, NaN where the ceiling is below 0.05;
        ``null``, ``null_std``, ``z``, ``p``; ``chosen``, the geometric mean of the strengths, or
        the mean number of components; ``n``, the number of features.

    Raises
    ------
    ValueError
        If an argument is not allowed; scenes are too few or in another order; responses are NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import compare
    >>> rng = np.random.default_rng(0)
    >>> features = rng.standard_normal((60, 10))
    >>> signal = (features @ rng.standard_normal((10, 4))).T[..., None]
    >>> neurons = signal + 2 * rng.standard_normal((4, 60, 8))
    >>> found = compare.regression(neurons, features, permutations=5)
    >>> found[["score", "ceiling", "null"]].mean().round(2).to_dict()
    {'score': 0.92, 'ceiling': 0.94, 'null': -0.02}
    """
    one_of("method", method, METHODS)
    at_least("folds", folds, 2)
    at_least("inner_folds", inner_folds, 2)
    at_least("permutations", permutations, 0)
    check_device(device)
    one = as_responses(neurons, least=3 * folds)
    activity = as_activity(features)
    check_scenes(one, activity)
    activity, _ = drop_constant(activity)
    silent = constant_neurons(one)
    if not len(alphas) or min(alphas) <= 0:
        raise ValueError(f"alphas must be positive, got {list(alphas)}")
    if not len(components) or min(components) < 1:
        raise ValueError(f"components must be at least 1, got {list(components)}")
    outer = split(one.scenes, folds, seed)
    random = np.random.default_rng([seed, 1])
    truth = one.mean.T
    predict: Predict
    if method == "ridge":
        predict = _Ridge(activity.values, outer, inner_folds, seed, alphas, device)
    else:
        predict = partial(_pls, activity.values, outer, inner_folds, seed, components)
    scores = np.empty((1 + permutations, len(one)))
    with show_progress(progress, "fitting", "fits") as report:
        for k in range(1 + permutations):
            target = truth[random.permutation(one.scenes)] if k else truth
            guess, picked = predict(target)
            scores[k] = _r2(target, guess, outer)
            if not k:
                predicted, chosen = guess, picked
            if report is not None:
                report(k + 1, 1 + permutations)
    columns: dict[str, Any] = {"score": scores[0], "r": _correlate(truth, predicted)}
    columns["ceiling"] = ceiling(one)
    with np.errstate(invalid="ignore", divide="ignore"):
        columns["fraction"] = np.where(
            columns["ceiling"] >= 0.05, scores[0] / columns["ceiling"], np.nan
        )
    columns |= _null(scores)
    for name, values in columns.items():
        columns[name] = np.where(silent, np.nan, values)
    columns["chosen"] = chosen
    columns["n"] = np.full(len(one), activity.values.shape[1])
    return tidy(columns, one, activity, metric="regression", method=method)


def split(scenes: int, folds: int, seed: int) -> Folds:
    """Return (fitted on, held out) of each fold: every scene is held out once."""
    order = np.random.default_rng([seed, 0]).permutation(scenes)
    parts = np.array_split(order, folds)
    return [
        (np.sort(np.concatenate(parts[:k] + parts[k + 1 :])), np.sort(parts[k]))
        for k in range(folds)
    ]


def ceiling(neurons: Responses) -> Floats:
    """Return the R2 that a perfect model would have with the means over trials."""
    if neurons.odd is None or neurons.even is None:
        return np.full(len(neurons), np.nan)
    r = np.clip(_correlate(neurons.odd.T, neurons.even.T), 0, 1)
    return np.asarray(2 * r / (1 + r))


def _null(scores: Floats) -> dict[str, Floats]:
    score, null = scores[0], scores[1:]
    if not len(null):
        return {name: np.full(len(score), np.nan) for name in ("null", "null_std", "z", "p")}
    mean, std = null.mean(axis=0), null.std(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(std > 0, (score - mean) / std, np.nan)
    p = (1 + (null >= score).sum(axis=0)) / (1 + len(null))
    return {"null": mean, "null_std": std, "z": z, "p": p}


def _r2(target: Floats, predicted: Floats, outer: Folds) -> Floats:
    error = ((target - predicted) ** 2).sum(axis=0)
    total = np.zeros(target.shape[1])
    for fit, out in outer:
        total += ((target[out] - target[fit].mean(axis=0)) ** 2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - error / total)


def _correlate(a: Floats, b: Floats) -> Floats:
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0)))


def _standard(x: Floats, fit: npt.NDArray[np.int64]) -> Floats:
    """Return features z-scored over the scenes of `fit`; one that is constant there is zero."""
    mean, std = x[fit].mean(axis=0), x[fit].std(axis=0)
    # What a constant feature deviates by is rounding.
    std = np.where(std > 1e-12 * (np.abs(mean) + std), std, np.inf)
    return np.asarray((x - mean) / std)


@dataclass(frozen=True, eq=False)
class _Kernel:
    """Ridge in its dual form, made ready for one split of scenes and any targets."""

    fit: npt.NDArray[np.int64]
    out: npt.NDArray[np.int64]
    values: Floats
    vectors: Floats
    projected: Floats

    def predict(self, y: Floats, alphas: Floats) -> Floats:
        """Return predictions for held-out scenes, (alphas, scenes, targets)."""
        mean = y[self.fit].mean(axis=0)
        rotated = self.vectors.T @ (y[self.fit] - mean)
        found = np.empty((len(alphas), len(self.out), y.shape[1]))
        for k, alpha in enumerate(alphas):
            found[k] = mean + self.projected @ (rotated / (self.values + alpha)[:, None])
        return found


def _kernel(
    x: Floats, fit: npt.NDArray[np.int64], out: npt.NDArray[np.int64], device: Any
) -> _Kernel:
    both = gram(_standard(x, fit), device)
    values, vectors = np.linalg.eigh(both[np.ix_(fit, fit)])
    return _Kernel(fit, out, np.maximum(values, 0), vectors, both[np.ix_(out, fit)] @ vectors)


class _Ridge:
    """Nested ridge: the products of features once for all neurons and permutations."""

    def __init__(
        self,
        x: Floats,
        outer: Folds,
        inner_folds: int,
        seed: int,
        alphas: Sequence[float],
        device: Any,
    ) -> None:
        self.alphas = np.asarray(alphas, dtype=np.float64)
        self.kernels = [
            (
                _kernel(x, fit, out, device),
                [_kernel(x, fit[a], fit[b], device) for a, b in split(len(fit), inner_folds, seed)],
            )
            for fit, out in outer
        ]

    def __call__(self, y: Floats) -> tuple[Floats, Floats]:
        """Return held-out predictions (scenes, targets) and each target's strength."""
        predicted = np.empty_like(y)
        chosen = np.empty(y.shape[1])
        # All strengths of all targets at once would be gigabytes.
        step = max(1, _BLOCK_BYTES // (8 * len(self.alphas) * len(y)))
        for begin in range(0, y.shape[1], step):
            part = slice(begin, begin + step)
            predicted[:, part], chosen[part] = self._nested(y[:, part])
        return predicted, chosen

    def _nested(self, y: Floats) -> tuple[Floats, Floats]:
        predicted = np.empty_like(y)
        chosen = np.zeros(y.shape[1])
        for whole, inner in self.kernels:
            error = np.zeros((len(self.alphas), y.shape[1]))
            for one in inner:
                error += ((one.predict(y, self.alphas) - y[one.out]) ** 2).sum(axis=1)
            # Of equal errors the stronger one.
            best = len(self.alphas) - 1 - error[::-1].argmin(axis=0)
            guess = whole.predict(y, self.alphas)
            predicted[whole.out] = guess[best, :, np.arange(y.shape[1])].T
            chosen += np.log(self.alphas[best]) / len(self.kernels)
        return predicted, np.exp(chosen)


def _pls(
    x: Floats, outer: Folds, inner_folds: int, seed: int, components: Sequence[int], y: Floats
) -> tuple[Floats, Floats]:
    predicted = np.empty_like(y)
    chosen = []
    for fit, out in outer:
        inner = split(len(fit), inner_folds, seed)
        most = min(x.shape[1], *(len(part) - 1 for part, _ in inner))
        allowed = [k for k in components if k <= most] or [most]
        error = np.zeros(len(allowed))
        for inner_fit, inner_out in inner:
            for i, k in enumerate(allowed):
                guess = _fit_pls(x, y, fit[inner_fit], fit[inner_out], k)
                scale = np.maximum(y[fit].var(axis=0), 1e-300)
                error[i] += (((guess - y[fit[inner_out]]) ** 2) / scale).sum()
        best = allowed[int(error.argmin())]
        chosen.append(best)
        predicted[out] = _fit_pls(x, y, fit, out, best)
    return predicted, np.full(y.shape[1], np.mean(chosen))


def _fit_pls(
    x: Floats,
    y: Floats,
    fit: npt.NDArray[np.int64],
    out: npt.NDArray[np.int64],
    components: int,
) -> Floats:
    module = import_optional("sklearn.cross_decomposition", "mouse")
    model = module.PLSRegression(components, scale=True).fit(x[fit], y[fit])
    return np.asarray(model.predict(x[out])).reshape(len(out), -1)
