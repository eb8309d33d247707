"""Shape distances between neurons and features: Procrustes and angular."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from neurn._progress import Progress
from neurn.compare import population
from neurn.compare.inputs import Floats, Responses, one_of
from neurn.compare.rdm import gram

if TYPE_CHECKING:
    import pandas as pd

DISTANCES = ("angular", "procrustes")


def shape(
    neurons: Any,
    features: Any,
    *,
    distance: str = "angular",
    by: str | npt.ArrayLike | None = None,
    permutations: int = 200,
    bootstrap: int = 100,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: bool | Progress | None = None,
) -> pd.DataFrame:
    """Return how far two sets of patterns are from each other under the best rotation.

    Patterns are centred over scenes and scaled to unit norm. The nuclear norm of X^T Y is the
    largest sum of products that a rotation can reach, and needs matrices of scenes x scenes only.

    Parameters
    ----------
    neurons : DataArray or array, (neuron, stimulus) or (neuron, stimulus, trial)
    features : DataArray or array, (stimulus, feature, ...)
    distance : {"angular", "procrustes"}
        ``"angular"``: arc cosine of the nuclear norm, 0 to pi/2 radians; ``"procrustes"``: the
        root of 2 - 2 times the nuclear norm, 0 to sqrt 2. Both are metrics.
    by, permutations, seed, device, progress
        As in `neurn.compare.rsa`.
    bootstrap : int
        Resamplings of mice and of their neurons; scenes stay, as in `neurn.compare.cka`.

    Returns
    -------
    DataFrame, a line for each group
        As of `neurn.compare.rsa`; less is closer, and ``p`` tells how often shuffled scenes come
        as close. ``ceiling_low`` is odd against even trials. With more features than scenes any
        two sets come close: look at ``null``.

    References
    ----------
    Williams, Kunz, Kornblith, Linderman (2021), arXiv:2110.14739 (netrep's ``LinearMetric`` with
    alpha = 1).

    Examples
    --------
    The same patterns, seen from another side:

    >>> import numpy as np
    >>> from neurn import compare
    >>> rng = np.random.default_rng(0)
    >>> features = rng.standard_normal((40, 5))
    >>> turned, _ = np.linalg.qr(rng.standard_normal((5, 5)))
    >>> neurons = (features @ turned).T
    >>> found = compare.shape(neurons, features, permutations=20, bootstrap=0)
    >>> found[["score", "null"]].round(1)
       score  null
    0    0.0   1.3
    """
    one_of("distance", distance, DISTANCES)
    return population.run(
        _Shape(distance, device),
        neurons,
        features,
        by=by,
        permutations=permutations,
        bootstrap=bootstrap,
        resample=("mice", "neurons"),
        seed=seed,
        progress=progress,
        least_scenes=4,
        metric="shape",
        distance=distance,
    )


class _Shape:
    lower_is_better = True
    least_neurons = 1
    uses_trials = False

    def __init__(self, distance: str, device: Any) -> None:
        self.distance, self.device = distance, device
        self.limits = (0.0, float(np.pi / 2 if distance == "angular" else np.sqrt(2)))

    def ready(self, patterns: Floats) -> Floats:
        """Return the root of the Gram matrix of centred patterns, of unit norm."""
        centred = patterns - patterns.mean(axis=0)
        values, vectors = np.linalg.eigh(gram(centred, self.device))
        root: Floats = vectors * np.sqrt(np.maximum(values, 0))
        norm = np.linalg.norm(root)
        return root / norm if norm > 0 else root

    def ready_neurons(self, neurons: Responses) -> Floats:
        return self.ready(neurons.mean.T)

    def order(self, ready: Floats, scenes: npt.NDArray[Any]) -> Floats:
        ordered: Floats = ready[scenes]
        return ordered

    def score(self, a: Floats, b: Floats, scenes: npt.NDArray[Any] | None = None) -> float:
        nuclear = float(min(np.linalg.svd(a.T @ b, compute_uv=False).sum(), 1.0))
        if self.distance == "angular":
            return float(np.arccos(nuclear))
        return float(np.sqrt(max(2 - 2 * nuclear, 0.0)))

    def ceiling(self, neurons: Responses) -> tuple[float, float]:
        if neurons.odd is None or neurons.even is None:
            return float("nan"), float("nan")
        return self.score(self.ready(neurons.odd.T), self.ready(neurons.even.T)), float("nan")
