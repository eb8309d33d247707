"""The alignment that keeps blocks whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from neurn import align
from neurn.arch.graded import Graded, gap_scores, prepared
from neurn.arch.layers import LayerSequence
from neurn.arch.stage import Stage, stages

_SHOWN = 12  # layers of a unit in text

Moves: TypeAlias = npt.NDArray[np.uint8]
Span: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class BlockPair:
    """Two blocks over each other, or one against a gap.

    Attributes
    ----------
    a, b : (int, int), optional
        First place and the one after the last.
    moves : ndarray of uint8
        As in `neurn.align.Alignment`, of their layers.

    Examples
    --------
    >>> from neurn import arch
    >>> a, b = (arch.zoo.sequence(name) for name in ("VGG16", "VGG19"))
    >>> for pair in arch.align_blocks(a, b).stages[2].blocks:
    ...     print(pair.a, pair.b)
    (9, 10) (9, 10)
    None (10, 12)
    (10, 12) (12, 14)
    (12, 14) (14, 16)
    (14, 16) (16, 18)
    """

    a: tuple[int, int] | None
    b: tuple[int, int] | None
    moves: Moves


@dataclass(frozen=True)
class StagePair:
    """Two stages over each other, or one against a gap.

    Attributes
    ----------
    a, b : Stage, optional
    blocks : tuple of BlockPair
    counts : tuple of int
        How many blocks of one kind a and b have.
    number : int
        Of the stages of blocks, from 1; 0 where nothing repeats.
    same : bool
        Whether a and b have the same tokens.

    Examples
    --------
    >>> from neurn import arch
    >>> a, b = (arch.zoo.sequence(name) for name in ("VGG16", "VGG19"))
    >>> for pair in arch.align_blocks(a, b).stages:
    ...     print(pair.title, pair.same)
    stage 1: 2 vs 2 blocks True
    stage 2: 2 vs 2 blocks True
    stage 3: 3 vs 4 blocks False
    stage 4: 3 vs 4 blocks False
    stage 5: 3 vs 4 blocks False
    block5_pool True
    stage 6: 2 vs 2 blocks True
    """

    a: Stage | None
    b: Stage | None
    blocks: tuple[BlockPair, ...]
    counts: tuple[int, int]
    number: int
    same: bool

    @property
    def unit(self) -> tuple[str, ...]:
        """Tokens of the most frequent block of the stage that has more."""
        either = (
            self.a if self.b is None or (self.a and self.counts[0] >= self.counts[1]) else self.b
        )
        return () if either is None else either.unit

    @property
    def title(self) -> str:
        """``"stage 3: 6 vs 23 blocks"``, or the names of layers where nothing repeats."""
        if self.number:
            first, second = self.counts
            return f"stage {self.number}: {first} vs {second} blocks"
        return self.names

    @property
    def names(self) -> str:
        """Names of both stages, once where they are the same."""
        names = ["-" if each is None else each.name for each in (self.a, self.b)]
        return names[0] if names[0] == names[1] else " | ".join(names)


@dataclass(frozen=True, eq=False, repr=False)
class BlockAlignment:
    """Two models aligned stage by stage, block by block, layer by layer. `align_blocks` makes it.

    Attributes
    ----------
    names : tuple of str
    sequences : tuple of LayerSequence
    alignment : neurn.align.Alignment
        Of their layers; its score is that of this alignment.
    best_score : int or float
        Of the best alignment that may cut blocks, at least ``alignment.score``.
    stages : tuple of StagePair

    Examples
    --------
    >>> from neurn import arch
    >>> a, b = (arch.zoo.sequence(name) for name in ("VGG16", "VGG19"))
    >>> print(arch.align_blocks(a, b, names=("VGG16", "VGG19")).summary)
    VGG16 and VGG19: score 69 with whole blocks (at best 69 without), similarity 0.92
    """

    names: tuple[str, str]
    sequences: tuple[LayerSequence, LayerSequence]
    alignment: align.Alignment
    best_score: float
    stages: tuple[StagePair, ...]

    def __repr__(self) -> str:
        return f"<BlockAlignment of {self.names[0]} and {self.names[1]}: {len(self.stages)} stages>"

    @cached_property
    def summary(self) -> str:
        """Score, beside that of the best alignment that may cut blocks."""
        score = self.alignment.score
        return (
            f"{self.names[0]} and {self.names[1]}: score {score:g} with whole blocks "
            f"(at best {self.best_score:g} without), similarity {self.alignment.similarity:.2f}"
        )

    def __str__(self) -> str:
        rows = [
            (
                pair.title,
                pair.names if pair.number else "",
                "same" if pair.same else "differs",
                _written(pair.unit),
            )
            for pair in self.stages
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(3)] if rows else []
        lines = [
            "  ".join([*(f"{text:<{w}}" for text, w in zip(row, widths, strict=False)), row[3]])
            for row in rows
        ]
        return "\n".join([f"a: {self.names[0]}", f"b: {self.names[1]}", self.summary, "", *lines])

    def to_html(self) -> str:
        """Return a page of gapped columns by stage and block that refers to no other file."""
        from neurn.arch.side_by_side import page

        return page(self)

    def plot(self, figure: Any = None, *, fold: bool = True, width: float = 12.0) -> Any:
        """Draw both models side by side, gapped columns in blocks.

        Parameters
        ----------
        figure : matplotlib.figure.Figure, optional
            An empty one; a new one of a size that fits by default.
        fold : bool
            Draw blocks that are alike and follow each other once, with their number.
        width : float
            Inches.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed; the extra ``arch`` brings it.
        """
        from neurn.arch.side_by_side import draw

        return draw(self, figure, fold, width)


def _written(unit: tuple[str, ...]) -> str:
    compact = all(len(token) == 1 for token in unit)
    separator = "" if compact else ", " if any(" " in token for token in unit) else " "
    more = f" ... ({len(unit)} layers)" if len(unit) > _SHOWN else ""
    return separator.join(unit[:_SHOWN]) + more


def align_blocks(
    a: LayerSequence,
    b: LayerSequence,
    scoring: align.Scoring | Graded | None = None,
    *,
    names: tuple[str, str] = ("a", "b"),
) -> BlockAlignment:
    """Align two models so that whole blocks face blocks or gaps, and whole stages stages.

    Stages are aligned so that the sum of the best alignments of their blocks is highest, blocks so
    that the sum of the best alignments of their layers is. Ties go as in `neurn.align.align`.

    Parameters
    ----------
    a, b : LayerSequence
    scoring : Scoring or Graded, optional
        That of the published heatmap by default: match 2, mismatch -1, gap -0.5. A gap's opening
        counts for each block that faces a gap.
    names : tuple of str

    Returns
    -------
    BlockAlignment

    Examples
    --------
    >>> from neurn import arch
    >>> a, b = (arch.zoo.sequence(f"torchvision/resnet{depth}") for depth in (50, 101))
    >>> [pair.title for pair in arch.align_blocks(a, b).stages if pair.counts[0] != pair.counts[1]]
    ['stage 3: 6 vs 23 blocks']
    """
    from neurn.arch.similarity import SCORING

    chosen = SCORING if scoring is None else scoring
    (first, second), plain = prepared([a, b], chosen)
    aligner = _Aligner(first, second, plain, gap_scores(chosen))
    parts = (stages(a), stages(b))
    made = {
        (i, j): aligner.blocks(x, y) for i, x in enumerate(parts[0]) for j, y in enumerate(parts[1])
    }
    scores = np.array([[made[i, j][0] for j in range(len(parts[1]))] for i in range(len(parts[0]))])
    gaps = [[sum(map(aligner.gap, stage.blocks)) for stage in each] for each in parts]
    pairs: list[StagePair] = []
    number = 0
    for i, j in _best_path(scores.reshape(len(parts[0]), len(parts[1])), gaps[0], gaps[1]):
        x = None if i is None else parts[0][i]
        y = None if j is None else parts[1][j]
        if i is not None and j is not None:
            blocks = made[i, j][1]
        else:
            blocks = [(block, None) for block in x.blocks] if x else []
            blocks += [(None, block) for block in y.blocks] if y else []
        inside = [
            () if each is None else model.tokens[each.start : each.stop]
            for each, model in ((x, a), (y, b))
        ]
        counts = _counts(x, y, inside)
        number += max(counts) > 0
        pairs.append(
            StagePair(
                x,
                y,
                tuple(map(aligner.pair, blocks)),
                counts,
                number if max(counts) > 0 else 0,
                x is not None
                and y is not None
                and first[x.start : x.stop] == second[y.start : y.stop],
            )
        )
    empty = np.zeros(0, dtype=np.uint8)
    moves = np.concatenate([empty, *(block.moves for pair in pairs for block in pair.blocks)])
    likeness = align.similarity(first, second, plain)
    whole = align.Alignment(0, moves, first, second, plain, likeness)
    return BlockAlignment(
        names,
        (a, b),
        replace(whole, score=whole.rescore()),
        align.score(first, second, plain),
        tuple(pairs),
    )


def _counts(x: Stage | None, y: Stage | None, inside: Sequence[tuple[str, ...]]) -> tuple[int, int]:
    """Count the blocks of two stages; what repeats in one is counted in the other too."""
    counts = [0 if each is None else each.count for each in (x, y)]
    for here, other in ((0, y), (1, x)):
        if not counts[here] and other is not None and other.count:
            tokens, unit = inside[here], other.unit
            counts[here] = sum(
                tokens[i : i + len(unit)] == unit for i in range(0, len(tokens) - len(unit) + 1)
            )
    return counts[0], counts[1]


class _Aligner:
    """Blocks of two models; each two that differ are aligned once."""

    def __init__(
        self,
        a: tuple[str, ...],
        b: tuple[str, ...],
        scoring: align.Scoring,
        gaps: tuple[float, float],
    ) -> None:
        self.a, self.b = a, b
        self.scoring = scoring
        self.gaps = gaps
        self.known: dict[tuple[tuple[str, ...], tuple[str, ...]], tuple[float, Moves]] = {}

    def gap(self, block: Span) -> float:
        return self.gaps[1] + self.gaps[0] * (block[1] - block[0])

    def aligned(self, a: Span, b: Span) -> tuple[float, Moves]:
        key = self.a[slice(*a)], self.b[slice(*b)]
        if key not in self.known:
            found = align.align(*key, self.scoring)
            self.known[key] = float(found.score), found.moves
        return self.known[key]

    def blocks(self, x: Stage, y: Stage) -> tuple[float, list[tuple[Span | None, Span | None]]]:
        """Align the blocks of two stages: the score, and who faces whom."""
        scores = np.array([[self.aligned(a, b)[0] for b in y.blocks] for a in x.blocks])
        gaps = list(map(self.gap, x.blocks)), list(map(self.gap, y.blocks))
        total, found = 0.0, []
        for i, j in _best_path(scores, *gaps):
            found.append((None if i is None else x.blocks[i], None if j is None else y.blocks[j]))
            if i is not None and j is not None:
                total += float(scores[i, j])
            else:
                total += gaps[0][i] if i is not None else 0.0
                total += gaps[1][j] if j is not None else 0.0
        return total, found

    def pair(self, blocks: tuple[Span | None, Span | None]) -> BlockPair:
        a, b = blocks
        if a is not None and b is not None:
            return BlockPair(a, b, self.aligned(a, b)[1])
        start, stop = a or b or (0, 0)
        move = 2 if b is None else 4
        return BlockPair(a, b, np.full(stop - start, move, dtype=np.uint8))


def _best_path(
    scores: npt.NDArray[np.float64], gaps_a: Sequence[float], gaps_b: Sequence[float]
) -> list[tuple[int | None, int | None]]:
    """Align units whose gaps score differently; ties, from the end: both, then a, then b."""
    rows, columns = len(gaps_a), len(gaps_b)
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows + 1):
        for j in range(columns + 1):
            options = [
                best[i - 1][j - 1] + float(scores[i - 1][j - 1]) if i and j else -math.inf,
                best[i - 1][j] + gaps_a[i - 1] if i else -math.inf,
                best[i][j - 1] + gaps_b[j - 1] if j else -math.inf,
            ]
            best[i][j] = max(options) if i or j else 0.0
    path: list[tuple[int | None, int | None]] = []
    i, j = rows, columns
    while i or j:
        here = best[i][j] - 1e-9
        if i and j and best[i - 1][j - 1] + float(scores[i - 1][j - 1]) >= here:
            i, j = i - 1, j - 1
            path.append((i, j))
        elif i and best[i - 1][j] + gaps_a[i - 1] >= here:
            i -= 1
            path.append((i, None))
        else:
            j -= 1
            path.append((None, j))
    return path[::-1]
