"""Choose neurons: clusters of alike representations, or plain rules to hold against them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from neurn._optional import MissingExtraError, import_optional

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

METHODS = ("clusters", "random", "reliable", "matched")
CLASSES = ("excitatory", "inhibitory")
EMBEDDINGS = ("auto", "umap", "pca")
_STEP = 0.05  # of reliability, within which neurons count as alike


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

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from neurn import mouse
    >>> maps = xr.DataArray(
    ...     np.random.default_rng(0).standard_normal((30, 5, 5)),
    ...     dims=("neuron", "y", "x"),
    ...     coords={"cell_class": ("neuron", ["excitatory"] * 20 + ["inhibitory"] * 10)},
    ... )
    >>> chosen = mouse.select(maps, excitatory=8, inhibitory=4, method="random")
    >>> chosen
    <Selection of 12 of 30 neurons: random, seed 0>
    >>> maps.isel(neuron=chosen.index).shape
    (12, 5, 5)
    >>> int(chosen.to_frame(maps)["chosen"].sum())
    12
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

    def to_frame(self, representations: xr.DataArray) -> pd.DataFrame:
        """Return a line for every neuron: who it is, where it lies, whether it was chosen.

        Parameters
        ----------
        representations : DataArray, dims (neuron, y, x)
            What was chosen from; its coordinates of neurons become columns.
        """
        pandas = import_optional("pandas", "mouse")
        coords = representations.coords.items()
        return cast(
            "pd.DataFrame",
            pandas.DataFrame(
                {
                    **{str(key): c.values for key, c in coords if c.dims == ("neuron",)},
                    "place": np.arange(len(self.cluster)),
                    "chosen": np.isin(np.arange(len(self.cluster)), self.index),
                    "cluster": self.cluster,
                    "embedding_1": self.embedding[:, 0],
                    "embedding_2": self.embedding[:, 1],
                    "embedding": self.embedded_by,
                    "method": self.method,
                    "seed": self.seed,
                    "simulated": self.simulated,
                }
            ),
        )

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
    by: str = "area",
    seed: int = 0,
) -> Selection:
    """Choose neurons of both cell classes.

    Parameters
    ----------
    representations : DataArray, dims (neuron, y, x)
        With the coordinate ``cell_class``, and `by` for ``method="matched"``. Neurons whose map
        is NaN are not chosen.
    excitatory, inhibitory : int
        How many of each class.
    per_cluster : int
        How many nearest to each cluster's centre; a class has as many clusters as that makes
        (500 of 50: 10).
    method : {"clusters", "random", "reliable", "matched"}
        ``"clusters"``: two dimensions by UMAP, k-means, the nearest to each centre (published).
        ``"random"``; ``"reliable"``: at random among those with `reliability` of `threshold` or
        more; ``"matched"``: at random, as many of each group, with the same distribution of
        `reliability` in each, so that groups differ neither in number nor in how well their
        neurons were measured.
    embedding : {"auto", "umap", "pca"}
        ``"auto"``: UMAP where umap-learn is installed, else PCA; the result says which.
    reliability : array, shape (neurons,), optional
        Of `neurn.mouse.reliability`; neurons with NaN are not chosen.
    threshold : float
    by : str
        Coordinate whose values are the groups of ``method="matched"``, for example ``"area"``,
        ``"cre_line"``, ``"genotype_group"`` or ``"layer"``: groups are matched within each class
        and between the classes. Steps of reliability of 0.05 are matched exactly: every group has
        the same number of neurons from each, at most what the poorest group has. A class gets
        the largest number that its groups can share, `excitatory` or `inhibitory` at most.
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

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from neurn import mouse
    >>> maps = xr.DataArray(
    ...     np.random.default_rng(0).standard_normal((30, 5, 5)),
    ...     dims=("neuron", "y", "x"),
    ...     coords={"cell_class": ("neuron", ["excitatory"] * 20 + ["inhibitory"] * 10)},
    ... )
    >>> chosen = mouse.select(maps, excitatory=8, inhibitory=4, per_cluster=4, embedding="pca")
    >>> chosen
    <Selection of 12 of 30 neurons: clusters (pca), seed 0>
    >>> np.unique(chosen.cluster[chosen.cell_class == "excitatory"])  # 8 by 4: 2 clusters
    array([0, 1])
    >>> maps["cell_class"].values[chosen.index].tolist().count("inhibitory")
    4
    """
    for name, value, allowed in (("method", method, METHODS), ("embedding", embedding, EMBEDDINGS)):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    if per_cluster < 1:
        raise ValueError(f"per_cluster must be at least 1, got {per_cluster}")
    dims = tuple(getattr(representations, "dims", ()))
    if dims != ("neuron", "y", "x") or "cell_class" not in representations.coords:
        raise ValueError(
            "representations must be a DataArray (neuron, y, x) with the coordinate 'cell_class', "
            f"such as neurn.mouse.representations returns, got {type(representations).__name__} "
            f"{dims}"
        )
    classes = representations["cell_class"].values
    n = len(classes)
    known = _reliability(reliability, n, method)
    eligible = known >= threshold if method == "reliable" else ~np.isnan(known)
    eligible &= ~np.isnan(representations.values).all(axis=(1, 2))
    wanted = {"excitatory": excitatory, "inhibitory": inhibitory}
    members = {name: np.flatnonzero((classes == name) & eligible) for name in CLASSES}
    for name, count in wanted.items():
        most = len(members[name])
        if count < 0 or count > most:
            raise ValueError(f"{name} must be from 0 to {most}, its neurons, got {count}")
    cluster = np.full(n, -1, dtype=np.int64)
    place = np.full((n, 2), np.nan)
    random = np.random.default_rng(seed)
    members = {name: rows for name, rows in members.items() if wanted[name]}
    chosen: list[npt.NDArray[np.int64]] = []
    embedded_by = "none"
    if method == "matched":
        if by not in representations.coords or representations[by].dims != ("neuron",):
            raise ValueError(f"by must be a coordinate of the neurons, got {by!r}")
        chosen = _matched(representations[by].values, known, members, wanted, random)
    elif method == "clusters":
        for name, rows in members.items():
            count = wanted[name]
            points, embedded_by = _embed(representations.values[rows], embedding, seed)
            labels, centres = _kmeans(points, -(-count // per_cluster), seed)
            chosen.append(rows[_nearest(points, labels, centres, count, per_cluster)])
            cluster[rows] = labels + cluster.max() + 1
            place[rows] = points
    else:
        for name, rows in members.items():
            chosen.append(random.choice(rows, wanted[name], replace=False))
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

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from neurn import mouse
    >>> values = np.random.default_rng(0).standard_normal((40, 5, 5))
    >>> values[:20] += 5  # two groups of neurons, far from each other
    >>> maps = xr.DataArray(values, dims=("neuron", "y", "x"))
    >>> maps = maps.assign_coords(cell_class=("neuron", ["excitatory"] * 40))
    >>> mouse.stability(
    ...     maps, seeds=[0, 1], excitatory=20, inhibitory=0, per_cluster=10, embedding="pca"
    ... )
    array([[1., 1.],
           [1., 1.]])
    """
    metrics = import_optional("sklearn.metrics", "mouse")
    found = [select(representations, seed=seed, **settings).cluster for seed in seeds]
    return np.array([[metrics.adjusted_rand_score(a, b) for b in found] for a in found])


def _reliability(reliability: npt.ArrayLike | None, n: int, method: str) -> npt.NDArray[np.float64]:
    """Return the neurons' reliability; zeros for methods that need none."""
    if method not in ("reliable", "matched"):
        return np.zeros(n)
    if reliability is None:
        raise ValueError(f"reliability must be given with method={method!r}")
    values = np.asarray(reliability, dtype=np.float64)
    if values.shape != (n,):
        raise ValueError(f"reliability must have shape ({n},), got {values.shape}")
    return values


def _matched(
    groups: npt.NDArray[Any],
    reliability: npt.NDArray[np.float64],
    members: dict[str, npt.NDArray[np.int64]],
    wanted: dict[str, int],
    random: np.random.Generator,
) -> list[npt.NDArray[np.int64]]:
    """Return equally many neurons of each group, with equal histograms of reliability."""
    step = np.floor(np.nan_to_num(reliability) / _STEP).astype(np.int64)
    steps = np.unique(step)
    pools = [
        (name, [here[step[here] == s] for s in steps])
        for name, rows in members.items()
        for group in np.unique(groups[rows])
        for here in [rows[groups[rows] == group]]
    ]
    if not pools:
        return []
    # What every group has of each step.
    shared = np.min([[len(rows) for rows in found] for _, found in pools], axis=0)
    chosen = []
    for name, found in pools:
        n_groups = sum(other == name for other, _ in pools)
        quota = _share_out(min(wanted[name] // n_groups, int(shared.sum())), shared)
        if not quota.sum():
            raise ValueError(
                f"matched: {wanted[name]} {name} neurons cannot be shared by {n_groups} groups, "
                f"each of which has {shared.sum()} of a reliability that all have"
            )
        chosen += [random.choice(r, q, replace=False) for r, q in zip(found, quota, strict=True)]
    return chosen


def _share_out(total: int, room: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return whole numbers that add up to `total`, in proportion to `room` and none above it."""
    exact = total * room / max(int(room.sum()), 1)
    quota = np.floor(exact).astype(np.int64)
    largest = np.argsort(quota - exact, kind="stable")[: total - int(quota.sum())]
    quota[largest] += 1
    return quota


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
