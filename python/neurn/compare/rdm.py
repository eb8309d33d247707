"""Representational dissimilarity matrices, under the names of rsatoolbox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from neurn._optional import import_optional
from neurn.compare import moments
from neurn.compare.inputs import Floats, one_of

METHODS = ("correlation", "euclidean", "mahalanobis", "crossnobis", "poisson", "poisson_cv")
COMPARISONS = (
    "corr",
    "cosine",
    "spearman",
    "rho-a",
    "tau-a",
    "tau-b",
    "kendall",
    "corr_cov",
    "cosine_cov",
    *moments.COMPARISONS,
)

CROSSED = ("crossnobis", "poisson_cv")
"""Those that hold repetitions against each other."""

_FEATURES_PER_BLOCK = 65536


def rdm(
    data: npt.ArrayLike,
    method: str = "correlation",
    *,
    noise: npt.ArrayLike | None = None,
    prior_lambda: float = 1.0,
    prior_weight: float = 0.1,
    device: str | torch.device = "cpu",
) -> Floats:
    """Return the dissimilarities of all pairs of scenes.

    Parameters
    ----------
    data : array, shape (scenes, channels)
        (scenes, channels, repetitions) for "crossnobis" and "poisson_cv".
    method : {"correlation", "euclidean", "mahalanobis", "crossnobis", "poisson", "poisson_cv"}
        ``"correlation"``: 1 - Pearson's r over channels; ``"euclidean"``: squared, over the number
        of channels; ``"mahalanobis"``: with the precision `noise`; ``"crossnobis"``: each
        repetition against the mean of the others, so that noise adds nothing on average;
        ``"poisson"``: symmetrized Kullback-Leibler divergence of rates; ``"poisson_cv"``: the
        same of each repetition and the mean of the others, averaged (rsatoolbox 0.3 returns the
        last repetition's alone).
    noise : array, shape (channels, channels) or (channels,), optional
        Precision, or its diagonal; for "mahalanobis" and "crossnobis". One by default.
    prior_lambda, prior_weight : float
        Of "poisson" and "poisson_cv".
    device : str or torch.device
        Of the products; channels go there in blocks.

    Returns
    -------
    ndarray of float64, shape (scenes, scenes)
        Symmetric, zeros on the diagonal.

    References
    ----------
    Kriegeskorte, Mur, Bandettini (2008), Front. Syst. Neurosci. 2, 4; Nili et al. (2014), PLoS
    Comput. Biol. 10, e1003553; Walther et al. (2016), NeuroImage 137, 188-200.

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import compare
    >>> scenes = np.array([[1.0, 2, 3, 4], [2, 4, 6, 8], [4, 3, 2, 1]])
    >>> compare.rdm(scenes).round(2)
    array([[0., 0., 2.],
           [0., 0., 2.],
           [2., 2., 0.]])
    >>> compare.rdm(scenes, "euclidean").round(2)
    array([[ 0. ,  7.5,  5. ],
           [ 7.5,  0. , 17.5],
           [ 5. , 17.5,  0. ]])
    """
    one_of("method", method, METHODS)
    values = np.asarray(data)
    wanted = 3 if method in CROSSED else 2
    if values.ndim != wanted or values.shape[0] < 3:
        raise ValueError(
            f"data must have {wanted} axes, (scenes, channels{', repetitions' * (wanted == 3)}), "
            f"and 3 scenes or more with method={method!r}, got {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError("data must be finite, got NaN or infinity")
    if method == "correlation":
        return _correlation(values, device)
    if method in ("poisson", "poisson_cv"):

        def rates(mean: Floats) -> Floats:
            return np.asarray((mean + prior_lambda * prior_weight) / (1 + prior_weight))

        if (values < 0).any() or not prior_lambda * prior_weight > 0:
            raise ValueError(
                f"data must be rates, not negative, and both priors above 0, with method={method!r}"
            )
        if method == "poisson":
            one = rates(values.astype(np.float64))
            return _differences(_product(one, np.log(one), device), values.shape[1])
        return _crossed(
            values, method, lambda one, rest: _product(rates(rest), np.log(rates(one)), device)
        )
    precision = _precision(noise, values.shape[1])
    if method == "crossnobis":
        return _crossed(
            values, method, lambda one, rest: _product(_times(rest, precision), one, device)
        )
    values = values.astype(np.float64)
    return _differences(_product(values, _times(values, precision), device), values.shape[1])


def _product(a: Floats, b: Floats, device: Any) -> Floats:
    """Return a b^T, (scenes, scenes), channels in blocks."""
    total = torch.zeros(len(a), len(b), dtype=torch.float64, device=device)
    for begin in range(0, a.shape[1], _FEATURES_PER_BLOCK):
        part = slice(begin, begin + _FEATURES_PER_BLOCK)
        x, y = (
            torch.from_numpy(np.ascontiguousarray(v[:, part], dtype=np.float64)).to(device)
            for v in (a, b)
        )
        total += x @ y.T
    result: Floats = total.cpu().numpy()
    return result


def gram(values: Floats, device: str | torch.device = "cpu") -> Floats:
    """Return the products of all pairs of rows, (scenes, scenes), channels in blocks."""
    return _product(values, values, device)


def _correlation(values: Any, device: Any) -> Floats:
    n, channels = values.shape
    sums = values.sum(axis=1, dtype=np.float64)
    centred = _Centred(values, sums / channels)
    kernel = torch.zeros(n, n, dtype=torch.float64, device=device)
    for begin in range(0, channels, _FEATURES_PER_BLOCK):
        x = torch.from_numpy(centred.block(begin)).to(device)
        kernel += x @ x.T
    gram: Floats = kernel.cpu().numpy()
    scale = np.sqrt(np.diag(gram))
    largest = np.abs(values).max(axis=1) * np.sqrt(channels)
    if (scale <= 8 * np.finfo(np.float64).eps * largest).any():
        raise ValueError(
            "data must vary over channels within each scene for method='correlation'; scene "
            f"{int((scale <= 8 * np.finfo(np.float64).eps * largest).argmax())} does not"
        )
    result: Floats = 1 - gram / scale[:, None] / scale
    np.fill_diagonal(result, 0)
    return result


class _Centred:
    """Rows minus their means, a block of columns at a time."""

    def __init__(self, values: Any, mean: Floats) -> None:
        self.values, self.mean = values, mean

    def block(self, begin: int) -> Floats:
        part = self.values[:, begin : begin + _FEATURES_PER_BLOCK]
        block: Floats = np.ascontiguousarray(part - self.mean[:, None], dtype=np.float64)
        return block


def _differences(kernel: Floats, channels: int) -> Floats:
    diagonal = np.diag(kernel)
    result: Floats = (diagonal[:, None] + diagonal - kernel - kernel.T) / channels
    np.fill_diagonal(result, 0)
    return result


def _crossed(values: Any, method: str, product: Callable[[Floats, Floats], Floats]) -> Floats:
    """Return the mean of what each repetition gives with the mean of the others."""
    n, channels, repetitions = values.shape
    if repetitions < 2:
        raise ValueError(f"method={method!r} needs 2 repetitions or more, got 1")
    total = np.zeros((n, n))
    whole = values.sum(axis=2, dtype=np.float64)
    for k in range(repetitions):
        one = values[..., k].astype(np.float64)
        total += _differences(product(one, (whole - one) / (repetitions - 1)), channels)
    return np.asarray(total / repetitions)


def _precision(noise: Any, channels: int) -> Any:
    if noise is None:
        return None
    values = np.asarray(noise, dtype=np.float64)
    if values.shape not in ((channels,), (channels, channels)):
        raise ValueError(
            f"noise must have shape ({channels},) or ({channels}, {channels}), got {values.shape}"
        )
    return values


def _times(values: Floats, precision: Any) -> Floats:
    if precision is None:
        return values
    return np.asarray(values * precision if precision.ndim == 1 else values @ precision)


def upper(matrix: npt.ArrayLike) -> Floats:
    """Return what is above the diagonal, row by row.

    Parameters
    ----------
    matrix : array, shape (..., scenes, scenes)
    """
    values = np.asarray(matrix, dtype=np.float64)
    if values.ndim < 2 or values.shape[-1] != values.shape[-2]:
        raise ValueError(f"an RDM must be square, got shape {values.shape}")
    rows, columns = np.triu_indices(values.shape[-1], 1)
    result: Floats = values[..., rows, columns]
    return result


def compare_rdms(a: npt.ArrayLike, b: npt.ArrayLike, method: str = "corr") -> Any:
    """Return how alike RDMs are.

    Parameters
    ----------
    a, b : array, shape (scenes, scenes) or (number, scenes, scenes)
        A pair of scenes that is NaN in one of them is left out.
    method : {"corr", "cosine", "spearman", "rho-a", "tau-a", "tau-b", "kendall", "corr_cov", \
"cosine_cov", "bures", "bures_metric", "neg_riem_dist"}
        Of rsatoolbox; "kendall" is "tau-b". Those in "_cov" take account of the covariance of
        dissimilarities that share a scene (Diedrichsen et al. 2021, arXiv:2007.02789). The last
        three compare second moments, and need RDMs of squared distances: the Bures similarity;
        its squared metric, which alone is less for what is more alike; and minus the Riemannian
        distance (Shahbazi et al. 2021, NeuroImage 239, 118271), for more channels than scenes.

    Returns
    -------
    float, or ndarray of float64, shape (number of a, number of b)

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import compare
    >>> rng = np.random.default_rng(0)
    >>> activity = rng.standard_normal((20, 50))
    >>> a, b = compare.rdm(activity), compare.rdm(activity + rng.standard_normal((20, 50)))
    >>> round(compare.compare_rdms(a, b), 2)
    0.45
    >>> round(compare.compare_rdms(a, compare.rdm(rng.standard_normal((20, 50)))), 2)
    -0.02
    """
    one_of("method", method, COMPARISONS)
    x, y = (np.atleast_2d(upper(m)) for m in (a, b))
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"RDMs must be of the same scenes, got {np.shape(a)} and {np.shape(b)}")
    result = compare_vectors(x, y, method)
    return float(result[0, 0]) if np.ndim(a) == np.ndim(b) == 2 else result


def compare_vectors(x: Floats, y: Floats, method: str) -> Floats:
    """Return how alike RDMs are that are given as rows; see `compare_rdms`."""
    there = ~(np.isnan(x).any(axis=0) | np.isnan(y).any(axis=0))
    if there.sum() < 3:
        raise ValueError("RDMs must share 3 pairs of scenes or more")
    if method.endswith("_cov"):
        if not there.all():
            raise ValueError(f"method={method!r} needs RDMs without NaN")
        if method == "corr_cov":
            x, y = (v - v.mean(axis=1, keepdims=True) for v in (x, y))
        return _ratio(x, y, _whitened(x), _whitened(y))
    if method in moments.COMPARISONS:
        if not there.all():
            raise ValueError(f"method={method!r} needs RDMs without NaN")
        return moments.compare_moments(x, y, method)
    x, y = x[:, there], y[:, there]
    if method in ("tau-a", "tau-b", "kendall"):
        return np.array([[_tau(u, v, method == "tau-a") for v in y] for u in x])
    if method in ("spearman", "rho-a"):
        x, y = ranks(x), ranks(y)
    if method != "cosine":
        x, y = (v - v.mean(axis=1, keepdims=True) for v in (x, y))
    if method == "rho-a":
        n = x.shape[1]
        return np.asarray(12 * (x @ y.T) / (n**3 - n))
    return _ratio(x, y, x, y)


def ranks(vectors: Floats) -> Floats:
    """Return ranks within each row; equal ones share the mean of theirs."""
    result: Floats = import_optional("scipy.stats", "mouse").rankdata(vectors, axis=1)
    return result


def _ratio(x: Floats, y: Floats, u: Floats, v: Floats) -> Floats:
    norms = np.sqrt((x * u).sum(axis=1)[:, None] * (y * v).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(norms > 0, (x @ v.T) / norms, np.nan)


def _whitened(x: Floats) -> Floats:
    """Return V^-1 x, V the covariance of dissimilarities of independent scenes of equal variance.

    V is 2 I + B B^T but for a factor, B telling which scenes a pair has: 4 for a pair with itself,
    1 for two pairs that share a scene. Its inverse needs n x n matrices only.
    """
    pairs = x.shape[1]
    n = round((1 + np.sqrt(1 + 8 * pairs)) / 2)
    rows, columns = np.triu_indices(n, 1)
    sums = np.zeros((len(x), n))
    for i, vector in enumerate(x):
        sums[i] = np.bincount(rows, vector, n) + np.bincount(columns, vector, n)
    small = n * np.eye(n) + np.ones((n, n))
    solved = np.linalg.solve(small, sums.T).T
    result: Floats = (x - solved[:, rows] - solved[:, columns]) / 2
    return result


def _tau(x: Floats, y: Floats, a: bool) -> float:
    stats = import_optional("scipy.stats", "mouse")
    b = float(stats.kendalltau(x, y).statistic)
    if not a or np.isnan(b):
        return b
    total = len(x) * (len(x) - 1) / 2
    untied = [total - _ties(v) for v in (x, y)]
    return b * float(np.sqrt(untied[0]) * np.sqrt(untied[1]) / total)


def _ties(x: Floats) -> float:
    _, counts = np.unique(x, return_counts=True)
    return float((counts * (counts - 1) / 2).sum())


def pooled(vectors: Floats, method: str) -> Floats:
    """Return the one RDM that fares best against several under `method`; rows are RDMs."""
    if method in ("spearman", "rho-a", "tau-a", "tau-b", "kendall"):
        return np.asarray(ranks(vectors).mean(axis=0))
    if method.startswith("corr"):
        vectors = vectors - vectors.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray((vectors / norms).mean(axis=0))


def noise_ceiling(rdms: npt.ArrayLike, method: str = "corr") -> tuple[float, float]:
    """Return what the best model could reach with the RDMs of several mice.

    Parameters
    ----------
    rdms : array, shape (2 or more, scenes, scenes)
    method : str
        Of `compare_rdms`, but for the last three: no RDM is known that fares best with several.

    Returns
    -------
    tuple of float
        Low: the mean of the others against each; high: the mean of all (rsatoolbox's
        ``boot_noise_ceiling``; Nili et al. 2014).

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import compare
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.standard_normal((20, 50))
    >>> mice = [compare.rdm(truth + rng.standard_normal((20, 50))) for _ in range(5)]
    >>> low, high = compare.noise_ceiling(np.stack(mice))
    >>> f"between {low:.2f} and {high:.2f}"
    'between 0.35 and 0.62'
    """
    one_of("method", method, COMPARISONS[: -len(moments.COMPARISONS)])
    values = np.asarray(rdms)
    if values.ndim != 3 or len(values) < 2:
        raise ValueError(f"rdms must be 2 or more, (number, scenes, scenes), got {values.shape}")
    vectors = upper(values)
    vectors = vectors[:, ~np.isnan(vectors).any(axis=0)]
    high = compare_vectors(pooled(vectors, method)[None], vectors, method).mean()
    low = [
        compare_vectors(pooled(np.delete(vectors, i, 0), method)[None], vectors[i : i + 1], method)
        for i in range(len(vectors))
    ]
    return float(np.mean(low)), float(high)
