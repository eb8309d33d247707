"""What each measure makes of a truth that was planted."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from neurn._optional import import_optional
from neurn.compare.cka import cka
from neurn.compare.distributions import distributions
from neurn.compare.inputs import Floats, at_least, one_of
from neurn.compare.regression import regression
from neurn.compare.rmse import rmse
from neurn.compare.rsa import rsa
from neurn.compare.shape import shape

if TYPE_CHECKING:
    import pandas as pd

Score = Callable[[Floats, Floats], float]

_NEURONS, _SCENES, _TRIALS, _LATENT = 30, 60, 8, 12
_NOISE = (0.25, 0.5, 1.0, 2.0, 4.0)
_CHANNELS = (8, 64, 512)


def _of_rmse(pairing: str) -> Score:
    def score(neurons: Floats, features: Floats) -> float:
        return -float(rmse(neurons, features, pairing=pairing, permutations=0)["score"].mean())

    return score


def _of_population(measure: Callable[..., Any], sign: int = 1, **settings: Any) -> Score:
    def score(neurons: Floats, features: Floats) -> float:
        return sign * float(
            measure(neurons, features, permutations=0, bootstrap=0, **settings)["score"].iloc[0]
        )

    return score


def _of_regression(method: str) -> Score:
    def score(neurons: Floats, features: Floats) -> float:
        return float(regression(neurons, features, method=method, permutations=0)["score"].mean())

    return score


def _of_distributions(neurons: Floats, features: Floats) -> float:
    table = distributions(neurons, features)
    return -float(table.loc[table["matched"], "wasserstein"].mean())


METRICS: Mapping[str, Score] = MappingProxyType(
    {
        "rmse, best-heldout": _of_rmse("best-heldout"),
        "rmse, best": _of_rmse("best"),
        "rmse, mean": _of_rmse("mean"),
        "rmse, assignment": _of_rmse("assignment"),
        "rsa": _of_population(rsa),
        "rsa, corr_cov": _of_population(rsa, comparison="corr_cov", method="euclidean"),
        "rsa, cosine": _of_population(rsa, method="euclidean", comparison="cosine"),
        "rsa, crossnobis": _of_population(rsa, method="crossnobis", comparison="corr"),
        "cka, debiased": _of_population(cka),
        "cka, biased": _of_population(cka, debiased=False),
        "shape, angular": _of_population(shape, -1),
        "shape, procrustes": _of_population(shape, -1, distance="procrustes"),
        "regression, ridge": _of_regression("ridge"),
        "regression, pls": _of_regression("pls"),
        "distributions, wasserstein": _of_distributions,
    }
)
"""Measures by name, each as a score that is the higher the better."""


@dataclass(frozen=True)
class _Planted:
    neurons: Floats
    features: Floats


def validate(
    metric: str | Score = "rmse, best-heldout", *, repeats: int = 10, seed: int = 0
) -> pd.DataFrame:
    """Hold a measure against planted truth: that it sees what is there, and nothing else.

    Neurons respond as one feature each, with noise from trial to trial.

    Parameters
    ----------
    metric : str or callable
        A name of `METRICS`; or a callable of responses (neurons, scenes, trials) and activity
        (scenes, features) that returns a number, the higher the better.
    repeats : int
        Populations for each check.
    seed : int

    Returns
    -------
    DataFrame, a line for each check
        ``metric``, ``check``, ``value``, ``expected``, ``passed``:

        - ``recovers``: share of populations in which the true features score above 19 sets of
          unrelated ones; above 0.95.
        - ``chance on shuffles``: the mean score of the true features with shuffled scenes, minus
          that of unrelated features, over its standard error; from -3 to 3.
        - ``monotone in noise``: rank correlation of noise (five levels) and mean score; -1.
        - ``unbiased in channels``: how much the mean score of unrelated features changes from 8
          to 512 of them, as a share of what the truth is above chance; from -0.1 to 0.1.

    Examples
    --------
    >>> from neurn import compare
    >>> found = compare.validate("cka, debiased", repeats=2)
    >>> found[["check", "expected", "passed"]]
                      check     expected  passed
    0              recovers       > 0.95    True
    1    chance on shuffles      -3 to 3    True
    2     monotone in noise           -1    True
    3  unbiased in channels  -0.1 to 0.1    True
    """
    if isinstance(metric, str):
        one_of("metric", metric, tuple(METRICS))
    at_least("repeats", repeats, 2)
    name, score = (
        (metric, METRICS[metric])
        if isinstance(metric, str)
        else (getattr(metric, "__name__", "metric"), metric)
    )
    random = np.random.default_rng(seed)
    made = [_plant(random) for _ in range(repeats)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        true = np.array([score(one.neurons, one.features) for one in made])
        others = np.array(
            [
                [score(one.neurons, random.standard_normal(one.features.shape)) for _ in range(19)]
                for one in made
            ]
        )
        shuffled = np.array([score(one.neurons, random.permutation(one.features)) for one in made])
        noisy = [
            np.mean([score(one.neurons, one.features) for one in _at_noise(level, repeats, seed)])
            for level in _NOISE
        ]
        channels = [
            np.mean([score(one.neurons, random.standard_normal((_SCENES, k))) for one in made])
            for k in _CHANNELS
        ]
    recovered = float((true > others.max(axis=1)).mean())
    spread = np.sqrt(shuffled.var(ddof=1) / repeats + others.mean(axis=1).var(ddof=1) / repeats)
    z = float((shuffled.mean() - others.mean()) / spread) if spread > 0 else 0.0
    order = float(import_optional("scipy.stats", "mouse").spearmanr(_NOISE, noisy).statistic)
    change = float((channels[-1] - channels[0]) / (true.mean() - others.mean()))
    lines = [
        ("recovers", recovered, "> 0.95", recovered > 0.95),
        ("chance on shuffles", z, "-3 to 3", abs(z) <= 3),
        ("monotone in noise", order, "-1", order < -1 + 1e-9),
        ("unbiased in channels", change, "-0.1 to 0.1", abs(change) <= 0.1),
    ]
    pandas = import_optional("pandas", "mouse")
    frame: pd.DataFrame = pandas.DataFrame(
        [(name, *line) for line in lines],
        columns=["metric", "check", "value", "expected", "passed"],
    )
    return frame


def _plant(random: np.random.Generator, noise: float = 0.5) -> _Planted:
    features = random.standard_normal((_SCENES, _LATENT))
    which = random.integers(_LATENT, size=_NEURONS)
    # Neurons fire more or less, and around another level.
    gain = random.uniform(0.5, 2, (_NEURONS, 1, 1))
    trials = features[:, which].T[..., None] + noise * random.standard_normal(
        (_NEURONS, _SCENES, _TRIALS)
    )
    return _Planted(gain * trials + 3, features)


def _at_noise(level: float, repeats: int, seed: int) -> list[_Planted]:
    # The same populations at each level: only the noise differs.
    return [_plant(np.random.default_rng([seed, 1, k]), level) for k in range(repeats)]
