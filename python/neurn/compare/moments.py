"""Comparisons of RDMs by the second moments of patterns that belong to them."""

from __future__ import annotations

import numpy as np

from neurn._optional import import_optional
from neurn.compare.inputs import Floats

COMPARISONS = ("bures", "bures_metric", "neg_riem_dist")


def compare_moments(x: Floats, y: Floats, method: str) -> Floats:
    """Return how alike RDMs are, given as what is above the diagonals.

    Parameters
    ----------
    x, y : ndarray, shapes (number, pairs of scenes)
    method : {"bures", "bures_metric", "neg_riem_dist"}
        See `neurn.compare.compare_rdms`.

    Returns
    -------
    ndarray of float64, shape (number of x, number of y)
    """
    if method == "neg_riem_dist":
        from_first = [[_from_first(_square(v)) for v in side] for side in (x, y)]
        return np.array([[_riemannian(a, b) for b in from_first[1]] for a in from_first[0]])
    centred = [[_centred(_square(v)) for v in side] for side in (x, y)]
    metric = method == "bures_metric"
    return np.array([[_bures(a, b, metric) for b in centred[1]] for a in centred[0]])


def _square(vector: Floats) -> Floats:
    n = round((1 + np.sqrt(1 + 8 * len(vector))) / 2)
    matrix = np.zeros((n, n))
    matrix[np.triu_indices(n, 1)] = vector
    return np.asarray(matrix + matrix.T)


def _centred(distances: Floats) -> Floats:
    """Return the second moments of patterns about their mean."""
    moments = -distances / 2
    rows = moments.mean(axis=0)
    return np.asarray(moments - rows - rows[:, None] + rows.mean())


def _from_first(distances: Floats) -> Floats:
    """Return the second moments of patterns about that of the first scene, which is left out."""
    first = distances[0, 1:]
    return np.asarray((first[:, None] + first - distances[1:, 1:]) / 2)


def _bures(a: Floats, b: Floats, metric: bool) -> float:
    values, vectors = np.linalg.eigh(a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ b @ root), 0)).sum()
    if metric:
        return float(np.trace(a) + np.trace(b) - 2 * shared)
    return float(shared / np.sqrt(np.trace(a) * np.trace(b)))


def _riemannian(a: Floats, b: Floats) -> float:
    """Return minus the distance of b from what a is with any scale and any noise added."""
    linalg = import_optional("scipy.linalg", "mouse")
    optimize = import_optional("scipy.optimize", "mouse")
    noise = np.eye(len(a)) + 1  # of scenes less the first

    def distance(logarithms: Floats) -> float:
        scale, added = np.exp(logarithms)
        values = linalg.eigvalsh(scale * a + added * noise, b)
        return float(np.sqrt((np.log(values) ** 2).sum()))

    try:
        with np.errstate(invalid="raise"):
            found = optimize.minimize(distance, (0, 0), method="Nelder-Mead")
    except (np.linalg.LinAlgError, FloatingPointError) as error:
        raise ValueError(
            "method='neg_riem_dist' needs RDMs of more channels than scenes, without correlation: "
            "their second moments must be positive definite"
        ) from error
    return -float(found.fun)
