"""Scores that tell layers of one type apart by their parameters."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from neurn import align
from neurn.arch.layers import Layer, LayerSequence

Array: TypeAlias = npt.NDArray[np.float64]

WEIGHTS = ("kernel", "stride", "groups", "width")
_DIMENSIONS = 3


@dataclass(frozen=True)
class Graded:
    """A scoring of layers by type and parameters, in place of `neurn.align.Scoring`.

    Two layers of one type (token of the vocabulary) score

        match - kernel d_kernel - stride d_stride - groups d_groups - width d_width

    and layers of different types `mismatch`. The differences d are from 0 to 1:

    - of kernels, strides and widths (output channels or features) 1 - smaller / larger; of kernels
      and strides the mean over their dimensions;
    - of groups the distance on a scale from 0, every output sees every input channel, to 1,
      depthwise: log(groups) / log(input channels);
    - 0 where one of the two does not tell, as norms do not tell a kernel.

    Scores are rounded to hundredths.

    Parameters
    ----------
    match, mismatch, gap, gap_open : number
        As in `neurn.align.Scoring`; those of the published heatmap by default.
    kernel, stride, groups, width : number, >= 0
        Weights of the differences. By default layers of one type score at least 0, and so more than
        a clash of types. 0 leaves a parameter out.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, or all of them together exceed match - mismatch: a
        layer of the same type would score less than one of another.

    Notes
    -----
    After Avila Pava, Groh, Kist (2024), Sequence Alignment-based Similarity Metric in Evolutionary
    Neural Architecture Search, AutoML: the score of a match less weighted differences of filters,
    kernel and stride, and a penalty where types clash. Theirs are absolute differences in a search
    space with known ranges; relative ones need no ranges, so that any two models compare.

    Examples
    --------
    >>> from neurn import arch
    >>> small = arch.Layer("a", "conv2d", parameters={"kernel": (3, 3), "stride": (1, 1)})
    >>> large = arch.Layer("b", "conv2d", parameters={"kernel": (5, 5), "stride": (2, 2)})
    >>> arch.Graded().pair("conv", small, "conv", large)
    1.55
    >>> arch.similarity(["VGG16", "VGG19"], scoring=arch.Graded()).index[0, 1].round(2)
    np.float64(0.92)
    """

    match: float = 2
    mismatch: float = -1
    gap: float = -0.5
    gap_open: float = 0
    kernel: float = 0.5
    stride: float = 0.5
    groups: float = 0.5
    width: float = 0.5

    def __post_init__(self) -> None:
        for each in fields(self):
            number = getattr(self, each.name)
            if not isinstance(number, (int, float)) or not math.isfinite(number):
                raise ValueError(f"{each.name} must be a finite number, got {number!r}")
            if each.name in WEIGHTS and number < 0:
                raise ValueError(f"{each.name} must be >= 0, got {number!r}")
            if each.name in ("gap", "gap_open") and number > 0:
                raise ValueError(f"{each.name} must be <= 0, got {number!r}")
        total = sum(getattr(self, name) for name in WEIGHTS)
        if total > self.match - self.mismatch:
            raise ValueError(
                "kernel + stride + groups + width must be at most match - mismatch = "
                f"{self.match - self.mismatch:g}, got {total:g}"
            )

    def tokens(self, sequence: LayerSequence) -> tuple[str, ...]:
        """Name layers by type and the parameters that have a weight: ``"conv 3x3 /2 to 64"``."""
        return tuple(
            self._label(token, layer)
            for token, layer in zip(sequence.tokens, sequence.layers, strict=True)
        )

    def pair(self, token_x: str, x: Layer, token_y: str, y: Layer) -> float:
        """Return the score of two layers under their tokens."""
        described = [_described(token_x, x), _described(token_y, y)]
        return float(self._table(described)[0, 1])

    def scoring(self, sequences: Iterable[LayerSequence]) -> align.Scoring:
        """Return the scoring of the `tokens` of some sequences, for `neurn.align`."""
        kinds: dict[Hashable, _Described] = {}
        for sequence in sequences:
            for token, layer in zip(sequence.tokens, sequence.layers, strict=True):
                kinds.setdefault(self._label(token, layer), _described(token, layer))
        if not kinds:
            return align.Scoring(self.match, self.mismatch, self.gap, self.gap_open)
        table = self._table(list(kinds.values()))
        return align.Scoring.from_array(table, kinds, self.gap, self.gap_open)

    def _label(self, token: str, layer: Layer) -> str:
        _, kernel, stride, _, width = _described(token, layer)
        groups = layer.parameters.get("groups", 1)
        parts = [token]
        if self.kernel and kernel:
            parts.append("x".join(map(str, kernel)))
        if self.stride and stride and any(step != 1 for step in stride):
            parts.append("/" + "x".join(map(str, stride if len(set(stride)) > 1 else stride[:1])))
        if self.groups and groups > 1:
            into = layer.parameters.get("channels", (0,))[0]
            parts.append("depthwise" if groups == into else f"in {groups} groups of {into}")
        if self.width and width:
            parts.append(f"to {width}")
        return " ".join(parts)

    def _table(self, kinds: Sequence[_Described]) -> Array:
        types = np.array([each[0] for each in kinds])
        kernels, strides = _sides([each[1] for each in kinds]), _sides([each[2] for each in kinds])
        groups = _column([each[3] for each in kinds])
        widths = _column([each[4] for each in kinds])
        differences = {
            "kernel": _mean(_relative(kernels)),
            "stride": _mean(_relative(strides)),
            "groups": np.nan_to_num(abs(groups[:, None, 0] - groups[None, :, 0])),
            "width": _mean(_relative(widths)),
        }
        scores = np.full((len(kinds), len(kinds)), float(self.match))
        for name, difference in differences.items():
            scores -= getattr(self, name) * difference
        scores[types[:, None] != types] = self.mismatch
        return np.asarray(scores.round(2), dtype=np.float64)


# Type, kernel, stride, place between dense and depthwise, output channels.
_Described: TypeAlias = tuple[
    str, tuple[int, ...] | None, tuple[int, ...] | None, float | None, int | None
]


def _described(token: str, layer: Layer) -> _Described:
    told = layer.parameters
    into, out = told.get("channels", (None, None))
    share = None
    if "groups" in told:
        groups = told["groups"]
        share = 0.0 if groups <= 1 or not into else math.log(groups) / math.log(into)
    return token, told.get("kernel") or None, told.get("stride") or None, share, out


def _sides(values: Sequence[tuple[int, ...] | None]) -> Array:
    found = np.full((len(values), _DIMENSIONS), np.nan)
    for row, value in zip(found, values, strict=True):
        if value:
            row[: len(value)] = value[:_DIMENSIONS]
    return found


def _column(values: Sequence[float | None]) -> Array:
    return np.array([np.nan if value is None else value for value in values])[:, None]


def _relative(values: Array) -> Array:
    """Return 1 - smaller / larger of each two rows; NaN where one does not tell."""
    x, y = values[:, None], values[None, :]
    return np.asarray(1 - np.minimum(x, y) / np.maximum(x, y))


def _mean(differences: Array) -> Array:
    """Return the mean over the last axis of what is known, 0 where nothing is."""
    known = ~np.isnan(differences)
    total = np.where(known, differences, 0).sum(-1)
    return np.asarray(total / np.maximum(known.sum(-1), 1))


def prepared(
    sequences: Sequence[LayerSequence], scoring: align.Scoring | Graded
) -> tuple[list[tuple[str, ...]], align.Scoring]:
    """Return the tokens to align and the scoring that knows them."""
    if isinstance(scoring, Graded):
        return [scoring.tokens(each) for each in sequences], scoring.scoring(sequences)
    return [each.tokens for each in sequences], scoring


def gap_scores(scoring: align.Scoring | Graded) -> tuple[float, float]:
    """Return the score of a token against a gap, and of a gap's opening."""
    values: tuple[Any, Any] = scoring.gap, scoring.gap_open
    return float(values[0]), float(values[1])
