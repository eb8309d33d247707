"""How alike the architectures of a set are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neurn import align
from neurn._optional import import_optional
from neurn._progress import Progress
from neurn.arch import zoo
from neurn.arch.graded import Graded, gap_scores, prepared
from neurn.arch.layers import LayerSequence
from neurn.arch.read import sequence
from neurn.arch.vocabulary import Vocabulary, find

SCORING = align.Scoring(2, -1, -0.5)
VALUES = ("index", "correlation", "scores")
LINKAGES = ("average", "complete", "single", "weighted")
_ROWS = 256

Array = npt.NDArray[np.float64]


def similarity(
    models: Mapping[str, Any] | Iterable[Any],
    vocabulary: str | Vocabulary = "canonical",
    *,
    scoring: align.Scoring | Graded | None = None,
    oddities: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
    **reading: Any,
) -> Similarity:
    """Align every model of a set with every one.

    Parameters
    ----------
    models : mapping of str to model, or iterable
        What `neurn.arch.sequence` takes; without a mapping, names of `neurn.arch.zoo` are their own
        names, and others are numbered. ``"published"`` stands for the 44 published architectures.
    vocabulary : str or Vocabulary
        As in `neurn.arch.sequence`.
    scoring : Scoring or Graded, optional
        That of the published heatmap by default: match 2, mismatch -1, gap -0.5.
        `neurn.arch.Graded` scores layers of one type by kernel, stride, groups and width.
    oddities : bool
        With ``"published"`` models and letters: the sequences that the heatmap shows, see
        `neurn.arch.zoo.published`.
    threads, progress
        As in `neurn.align.all_pairs`.
    **reading
        ``method``, ``input`` and ``unknown`` of `neurn.arch.sequence`.

    Returns
    -------
    Similarity
        Memory grows with the square of the number of models, 8 bytes a pair and 8 more for each of
        `index` and `correlation`; time with that square and the square of their lengths.

    Raises
    ------
    ValueError
        If there is no model, a name comes twice, or `oddities` is asked of other models.

    Examples
    --------
    >>> from neurn import arch
    >>> found = arch.similarity(["VGG16", "VGG19", "ViT-B"])
    >>> found.nearest("VGG16", 1)[0][0]
    'VGG19'
    """
    vocabulary = find(vocabulary)
    if oddities and not (models == "published" and vocabulary.name == "published"):
        raise ValueError(
            "oddities belong to models='published' with vocabulary='published', "
            f"got vocabulary {vocabulary.name!r}"
        )
    if oddities:
        models = zoo.published(oddities=True)
    elif isinstance(models, str):
        if models not in zoo.KINDS:
            raise ValueError(
                f"models must be several, or one of {', '.join(map(repr, zoo.KINDS))}, "
                f"got {models!r}"
            )
        models = zoo.names(models)
    named = named_models(models)
    if not named:
        raise ValueError("models must hold at least one model, got none")
    sequences = {name: sequence(model, vocabulary, **reading) for name, model in named.items()}
    scoring = SCORING if scoring is None else scoring
    tokens, plain = prepared(list(sequences.values()), scoring)
    scores = align.all_pairs(tokens, plain, dtype=np.float64, threads=threads, progress=progress)
    return Similarity(tuple(sequences), tuple(sequences.values()), scores, scoring, vocabulary)


def named_models(models: Mapping[str, Any] | Iterable[Any]) -> Mapping[str, Any]:
    """Return models by name: names of the zoo are their own names, others are numbered."""
    if isinstance(models, Mapping):
        return models
    named: dict[str, Any] = {}
    for place, model in enumerate(models):
        name = model if isinstance(model, str) else str(place)
        if name in named:
            raise ValueError(f"models must have names of their own, got {name!r} twice")
        named[name] = model
    return named


@dataclass(frozen=True, eq=False, repr=False)
class Similarity:
    """Scores of a set of architectures, and what follows from them. `similarity` makes it.

    Attributes
    ----------
    names : tuple of str, length n
    sequences : tuple of LayerSequence, length n
    scores : ndarray of float64, shape (n, n)
        Score of the best global alignment of each pair.
    scoring : Scoring or Graded
    vocabulary : Vocabulary

    Examples
    --------
    >>> from neurn import arch
    >>> found = arch.similarity(["VGG16", "VGG19", "ViT-B"])
    >>> found
    <Similarity of 3 architectures: vocabulary 'canonical'>
    >>> found.index.round(2)
    array([[1.  , 0.92, 0.17],
           [0.92, 1.  , 0.17],
           [0.17, 0.17, 1.  ]])
    >>> found.shortlist(2)
    ['VGG16', 'ViT-B']
    """

    names: tuple[str, ...]
    sequences: tuple[LayerSequence, ...]
    scores: Array
    scoring: align.Scoring | Graded
    vocabulary: Vocabulary

    def __repr__(self) -> str:
        return (
            f"<Similarity of {len(self.names)} architectures: vocabulary {self.vocabulary.name!r}>"
        )

    @property
    def index(self) -> Array:
        """`neurn.align.similarity` of each pair, shape (n, n).

        From 0 (nothing is worth aligning) to 1 (identical). It depends on the two alone.
        """
        index = np.empty(self.scores.shape)
        # A part at a time: what it takes on the way stays small beside the result.
        for start in range(0, len(index), _ROWS):
            rows = slice(start, start + _ROWS)
            index[rows] = self._index(rows)
        return index

    def _index(self, rows: slice) -> Array:
        """Return some rows of `index`."""
        gap, gap_open = gap_scores(self.scoring)
        lengths = np.array([len(each) for each in self.sequences], dtype=np.float64)
        lowest = gap * lengths + gap_open * (lengths > 0)
        low = lowest[rows, None] + lowest
        own = np.diag(self.scores)
        room = (own[rows, None] + own) / 2 - low
        both = (self.scores[rows] + self.scores[:, rows].T) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            index = np.clip((both - low) / room, 0.0, 1.0)
        for i, j in np.argwhere(room <= 0).tolist():
            index[i, j] = self.sequences[rows.start + i].tokens == self.sequences[j].tokens
        here = np.arange(len(index))
        index[here, here + rows.start] = 1.0
        return np.asarray(index, dtype=np.float64)

    def correlation(self) -> Array:
        """Pearson correlation between the rows of `scores`, shape (n, n), from -1 to 1.

        The published heatmap, for its 44 architectures in letters. It compares how two score
        against all of the set, themselves included: that of a pair changes with the set, and 1 does
        not say that they align.

        Notes
        -----
        Qazi, Jalil, Iqbal (2025), arXiv:2505.06886, Fig. 4; read from the figure: match 2,
        mismatch -1, gap -0.5, no normalization by length.
        """
        if len(self.names) == 1:
            return np.ones((1, 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.asarray(np.corrcoef(self.scores))
        np.fill_diagonal(found, 1.0)
        return np.asarray((found + found.T) / 2, dtype=np.float64)

    def values(self, what: str = "index") -> Array:
        """Return ``"index"``, ``"correlation"`` or ``"scores"``, shape (n, n)."""
        if what not in VALUES:
            raise ValueError(f"what must be one of {', '.join(map(repr, VALUES))}, got {what!r}")
        if what == "index":
            return self.index
        return self.correlation() if what == "correlation" else self.scores

    def cluster(self, what: str = "index", method: str = "average") -> Clusters:
        """Cluster hierarchically, at distances of 1 - index or 1 - correlation.

        Parameters
        ----------
        what : {"index", "correlation"}
        method : {"average", "complete", "single", "weighted"}
            As in `scipy.cluster.hierarchy.linkage`.

        Raises
        ------
        MissingExtraError
            If scipy is not installed; the extra ``arch`` brings it.
        ValueError
            If `what` or `method` is another one, or there is only one architecture.
        """
        if what == "scores":
            raise ValueError("what must be 'index' or 'correlation', got 'scores'")
        if method not in LINKAGES:
            raise ValueError(
                f"method must be one of {', '.join(map(repr, LINKAGES))}, got {method!r}"
            )
        if len(self.names) < 2:
            raise ValueError(f"a cluster needs two architectures, got {len(self.names)}")
        hierarchy = import_optional("scipy.cluster.hierarchy", "arch")
        distances = self.values(what)
        np.maximum(np.subtract(1, distances, out=distances), 0, out=distances)
        np.fill_diagonal(distances, 0)
        condensed = import_optional("scipy.spatial.distance", "arch").squareform(
            distances, checks=False
        )
        del distances  # of 10,000 sequences 800 MB
        linkage = hierarchy.linkage(condensed, method, optimal_ordering=len(self.names) <= 1000)
        return Clusters(self.names, np.asarray(linkage), what, method)

    def shortlist(self, k: int, what: str = "index") -> list[str]:
        """Choose k architectures that cover the set: each of all has a near one among them.

        One after another, each time the one that raises the sum, over all architectures, of the
        value with the nearest chosen one the most. That sum is at least 63 % of the best possible
        (Nemhauser, Wolsey, Fisher 1978, Math. Program. 14, 265-294), and the first k - 1 of k are
        those for k - 1. Ties go to the first of the names.

        Parameters
        ----------
        k : int, from 1 to n
        what : {"index", "correlation"}

        Raises
        ------
        ValueError
            If k is out of range, or `what` is another one.
        """
        count = len(self.names)
        if not isinstance(k, (int, np.integer)) or not 1 <= k <= count:
            raise ValueError(f"k must be a whole number from 1 to {count}, got {k!r}")
        if what == "scores":
            raise ValueError("what must be 'index' or 'correlation', got 'scores'")
        values = self.values(what)
        covered = np.full(count, -1.0)
        chosen: list[int] = []
        for _ in range(k):
            gains = np.array([np.maximum(row, covered).sum() for row in values])
            gains[chosen] = -np.inf
            # Sums that differ by rounding alone are a tie.
            best = int(np.flatnonzero(gains >= gains.max() - 1e-9)[0])
            chosen.append(best)
            covered = np.maximum(covered, values[best])
        return [self.names[i] for i in chosen]

    def nearest(
        self, name: str, k: int | None = None, what: str = "index"
    ) -> list[tuple[str, float]]:
        """Return the k architectures most like one of them, all by default, with their values."""
        place = self._place(name)
        only = slice(place, place + 1)
        row = self._index(only)[0] if what == "index" else self.values(what)[place]
        order = [i for i in np.argsort(-row, kind="stable").tolist() if i != place]
        return [(self.names[i], float(row[i])) for i in order[:k]]

    def insert(self, name: str, model: Any, **reading: Any) -> Similarity:
        """Return the set with one more model; only its own pairs are aligned.

        Parameters
        ----------
        name : str
        model
            As `neurn.arch.sequence` takes it, read by this set's vocabulary.
        **reading
            As in `neurn.arch.sequence`.

        Raises
        ------
        ValueError
            If the name is in the set.
        """
        if name in self.names:
            raise ValueError(f"name must be a new one, got {name!r}")
        added = sequence(model, self.vocabulary, **reading)
        sequences = (*self.sequences, added)
        tokens, plain = prepared(sequences, self.scoring)
        row = align.cross_pairs(tokens[-1:], tokens, plain, dtype=np.float64)[0]
        column = align.cross_pairs(tokens[:-1], tokens[-1:], plain, dtype=np.float64)
        scores = np.vstack([np.hstack([self.scores, column]), row])
        return Similarity((*self.names, name), sequences, scores, self.scoring, self.vocabulary)

    def align(self, a: str, b: str) -> align.Alignment:
        """Align two of the set, column by column."""
        (first, second), plain = prepared(
            [self.sequences[self._place(name)] for name in (a, b)], self.scoring
        )
        return align.align(first, second, plain)

    def to_frame(self, what: str = "index") -> Any:
        """Return values as a pandas.DataFrame, names on both axes.

        Raises
        ------
        MissingExtraError
            If pandas is not installed; the extra ``arch`` brings it.
        """
        pandas = import_optional("pandas", "arch")
        return pandas.DataFrame(self.values(what), index=self.names, columns=self.names)

    def plot(
        self,
        ax: Any = None,
        *,
        what: str = "index",
        order: str = "given",
        dendrogram: bool = False,
        frame: Sequence[str] = (),
        cmap: str = "magma",
    ) -> Any:
        """Draw the set as a heat table.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            A new figure of a size that fits by default.
        what : {"index", "correlation", "scores"}
        order : {"given", "cluster"}
        dendrogram : bool
            Draw the clusters above; they decide the order.
        frame : sequence of str
            Neighbours in the table to put a green frame around, as the published figure does with
            VGG16, VGG19 and VGG11.
        cmap : str
            Name of a matplotlib colour map.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed, or scipy where clusters are asked for; the extra
            ``arch`` brings both.
        ValueError
            If `what` or `order` is another one, or `frame` holds names that are not neighbours.
        """
        from neurn.arch.plot import heat_table

        return heat_table(self, ax, what, order, dendrogram, frame, cmap)

    def _place(self, name: str) -> int:
        if name not in self.names:
            raise ValueError(f"name must be one of the set, got {name!r}")
        return self.names.index(name)


@dataclass(frozen=True, eq=False)
class Clusters:
    """A hierarchy of architectures. `Similarity.cluster` makes it.

    Attributes
    ----------
    names : tuple of str, length n
    linkage : ndarray of float64, shape (n - 1, 4)
        As of `scipy.cluster.hierarchy.linkage`.
    what, method : str
        As they were asked for.

    Examples
    --------
    >>> from neurn import arch
    >>> found = arch.similarity(["VGG16", "VGG19", "ResNet50", "ResNet101"])
    >>> found.cluster().groups(2)
    [['VGG16', 'VGG19'], ['ResNet50', 'ResNet101']]
    """

    names: tuple[str, ...]
    linkage: Array
    what: str
    method: str

    @property
    def order(self) -> list[int]:
        """Places of the architectures from left to right, like ones side by side."""
        hierarchy = import_optional("scipy.cluster.hierarchy", "arch")
        return [int(i) for i in hierarchy.leaves_list(self.linkage)]

    def groups(self, k: int) -> list[list[str]]:
        """Cut the hierarchy into k groups, the largest first.

        Raises
        ------
        ValueError
            If k is not from 1 to n.
        """
        if not 1 <= k <= len(self.names):
            raise ValueError(f"k must be a whole number from 1 to {len(self.names)}, got {k!r}")
        hierarchy = import_optional("scipy.cluster.hierarchy", "arch")
        labels = hierarchy.cut_tree(self.linkage, k).ravel().tolist()
        found: dict[int, list[str]] = {}
        for name, group in zip(self.names, labels, strict=True):
            found.setdefault(group, []).append(name)
        return sorted(found.values(), key=len, reverse=True)


def diversity(population: Mapping[str, Any] | Iterable[Any], **options: Any) -> float:
    """Return how different the models of a population are: the mean of 1 - index over all pairs.

    Parameters
    ----------
    population : mapping or iterable of at least two models
    **options
        As in `similarity`.

    Returns
    -------
    float
        From 0, all alike, to 1.

    Raises
    ------
    ValueError
        If there are fewer than two.

    Examples
    --------
    >>> from neurn import arch
    >>> round(arch.diversity(["VGG16", "VGG19"]), 2)
    0.08
    >>> round(arch.diversity(["VGG16", "ViT-B"]), 2)
    0.83
    """
    found = similarity(population, **options)
    count = len(found.names)
    if count < 2:
        raise ValueError(f"population must hold at least two models, got {count}")
    index = found.index
    return float(1 - (index.sum() - count) / (count * (count - 1)))
