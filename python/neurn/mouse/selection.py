"""Choose neurons: clusters of alike representations, or plain rules to hold against them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neurn._optional import MissingExtraError, import_optional

if TYPE_CHECKING:
    import xarray as xr

METHODS = ("clusters", "random", "reliable", "matched")
CLASSES = ("excitatory", "inhibitory")
EMBEDDINGS = ("auto", "umap", "pca")


@dataclass(frozen=True, eq=False)
class Selection:
    """Chosen neurons and how they came to be. `neurn.mouse.select` makes it.

    Attributes
    ----------
    index : ndarray of int64, shape (chosen,)
        Places of the chosen neurons in what was given, ascending.
    cell_class : ndarray of str, shape (neurons,)
        Of every neuron. The classes are embedded and clustered apart from each other.
    cluster : ndarray of int64, shape (neurons,)
        Cluster of every neuron, numbered through both classes; -1 without clusters.
    embedding : ndarray of float64, shape (neurons, 2)
        Coordinates of every neuron; NaN where there are none.
    method : str
    embedded_by : str
        ``"umap"``, ``"pca"`` or ``"none"``.
    seed : int
    simulated : bool
    """

    index: npt.NDArray[np.int64]
    cell_class: npt.NDArray[Any]
    cluster: npt.NDArray[np.int64]
    embedding: npt.NDArray[np.float64]
    method: str
    embedded_by: str
    seed: int
    simulated: bool

    def __len__(self) -> int:
        """Return the number of chosen neurons."""
        return len(self.index)

    def __repr__(self) -> str:
        how = self.method if self.embedded_by == "none" else f"{self.method} ({self.embedded_by})"
        return f"<Selection of {len(self)} of {len(self.cluster)} neurons: {how}, seed {self.seed}>"


def select(
    representations: xr.DataArray,
    *,
    excitatory: int = 500,
    inhibitory: int = 500,
    per_cluster: int = 50,
    method: str = "clusters",
    embedding: str = "auto",
    reliability: npt.ArrayLike | None = None,
    threshold: float = 0.3,
    seed: int = 0,
) -> Selection:
    """Choose neurons of both cell classes.

    Parameters
    ----------
    representations : DataArray, dims (neuron, y, x)
        With the coordinate ``cell_class``; ``area`` too for ``method="matched"``.
    excitatory, inhibitory : int
        How many of each class.
    per_cluster : int
        How many nearest to each cluster's centre; a class has as many clusters as that makes
        (500 of 50: 10).
    method : {"clusters", "random", "reliable", "matched"}
        ``"clusters"``: two dimensions by UMAP, k-means, the nearest to each centre (published).
        ``"random"``; ``"reliable"``: at random among those with `reliability` of `threshold` or
        more; ``"matched"``: at random, as many of each area as the least of all areas has.
    embedding : {"auto", "umap", "pca"}
        ``"auto"``: UMAP where umap-learn is installed, else PCA; the result says which.
    reliability : array, shape (neurons,), optional
    threshold : float
    seed : int

    Returns
    -------
    Selection

    Raises
    ------
    ValueError
        If an argument is not allowed or a class has too few neurons.
    MissingExtraError
        If scikit-learn, or umap-learn with ``embedding="umap"``, is not installed.
    """
    for name, value, allowed in (("method", method, METHODS), ("embedding", embedding, EMBEDDINGS)):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    if per_cluster < 1:
        raise ValueError(f"per_cluster must be at least 1, got {per_cluster}")
    classes = representations["cell_class"].values
    wanted = {"excitatory": excitatory, "inhibitory": inhibitory}
    allowed_neurons = _eligible(representations, method, reliability, threshold)
    n = len(classes)
    cluster = np.full(n, -1, dtype=np.int64)
    place = np.full((n, 2), np.nan)
    random = np.random.default_rng(seed)
    chosen: list[npt.NDArray[np.int64]] = []
    embedded_by = "none"
    for name in CLASSES:
        members = np.flatnonzero((classes == name) & allowed_neurons)
        count = wanted[name]
        if count < 0 or count > len(members):
            raise ValueError(f"{name} must be from 0 to {len(members)}, its neurons, got {count}")
        if not count:
            continue
        if method == "matched":
            chosen.append(_matched(representations["area"].values, members, count, random))
        elif method != "clusters":
            chosen.append(random.choice(members, count, replace=False))
        else:
            points, embedded_by = _embed(representations.values[members], embedding, seed)
            labels, centres = _kmeans(points, -(-count // per_cluster), seed)
            nearest = _nearest(points, labels, centres, count, per_cluster)
            chosen.append(members[nearest])
            cluster[members] = labels + cluster.max() + 1
            place[members] = points
    index = np.sort(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int64)
    simulated = bool(representations.attrs.get("simulated", 0))
    return Selection(index, classes, cluster, place, method, embedded_by, seed, simulated)


def stability(
    representations: xr.DataArray, seeds: Sequence[int] = range(5), **settings: Any
) -> npt.NDArray[np.float64]:
    """Return how alike the clusters of two seeds are: adjusted Rand index, (seeds, seeds).

    Parameters
    ----------
    representations : DataArray, dims (neuron, y, x)
    seeds : sequence of int
    **settings
        Of `select`.

    Returns
    -------
    ndarray of float64
        1 on the diagonal; about 0 where two seeds share no more than chance would have it.
    """
    metrics = import_optional("sklearn.metrics", "mouse")
    found = [select(representations, seed=seed, **settings).cluster for seed in seeds]
    return np.array([[metrics.adjusted_rand_score(a, b) for b in found] for a in found])


def _eligible(
    representations: xr.DataArray,
    method: str,
    reliability: npt.ArrayLike | None,
    threshold: float,
) -> npt.NDArray[np.bool_]:
    n = representations.sizes["neuron"]
    if method != "reliable":
        return np.ones(n, dtype=bool)
    if reliability is None:
        raise ValueError("reliability must be given with method='reliable'")
    values = np.asarray(reliability, dtype=np.float64)
    if values.shape != (n,):
        raise ValueError(f"reliability must have shape ({n},), got {values.shape}")
    return np.asarray(values >= threshold)


def _matched(
    areas: npt.NDArray[Any],
    members: npt.NDArray[np.int64],
    count: int,
    random: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Return at most `count` neurons, equally many of each area."""
    names, counts = np.unique(areas[members], return_counts=True)
    each = min(int(counts.min()), count // len(names))
    if not each:
        raise ValueError(f"matched: {count} neurons cannot be shared by {len(names)} areas")
    return np.concatenate(
        [random.choice(members[areas[members] == name], each, replace=False) for name in names]
    )


def _embed(
    maps: npt.NDArray[Any], embedding: str, seed: int
) -> tuple[npt.NDArray[np.float64], str]:
    flat = np.nan_to_num(maps.reshape(len(maps), -1).astype(np.float64))
    if embedding != "pca" and len(flat) > 3:
        try:
            umap = import_optional("umap", "umap")
        except MissingExtraError:
            if embedding == "umap":
                raise
        else:
            neighbours = min(15, len(flat) - 1)
            # One job: a seed alone makes UMAP repeatable only then.
            model = umap.UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1)
            return np.asarray(model.fit_transform(flat), dtype=np.float64), "umap"
    centred = flat - flat.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(flat), 2))
    kept = min(2, len(s))
    points[:, :kept] = u[:, :kept] * s[:kept]
    return points, "pca"


def _kmeans(
    points: npt.NDArray[np.float64], clusters: int, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    cluster = import_optional("sklearn.cluster", "mouse")
    model = cluster.KMeans(clusters, n_init=10, random_state=seed).fit(points)
    return model.labels_.astype(np.int64), np.asarray(model.cluster_centers_)


def _nearest(
    points: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    centres: npt.NDArray[np.float64],
    count: int,
    per_cluster: int,
) -> npt.NDArray[np.int64]:
    """Return the nearest to each centre; a small cluster's lack is filled by the next nearest."""
    distance = np.linalg.norm(points - centres[labels], axis=1)
    order = np.argsort(distance, kind="stable")
    rank = np.empty(len(points), dtype=np.int64)
    for k in range(len(centres)):
        members = order[labels[order] == k]
        rank[members] = np.arange(len(members))
    first = [i for i in order if rank[i] < per_cluster]
    rest = [i for i in order if rank[i] >= per_cluster]
    return np.array((first + rest)[:count], dtype=np.int64)
