"""The whole matrix of one pair, and its picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neurn._optional import import_optional
from neurn.align.scoring import Scoring
from neurn.align.text import display_width, label

LARGEST_IN_CELLS = 60  # tokens: up to here each cell shows its score and its arrows
LARGEST_WITH_TOKENS = 100  # and up to here the axes show tokens

_STEPS = {1: (-1, -1), 2: (-1, 0), 4: (0, -1)}  # rows and columns to the predecessor
_FONT = "DejaVu Serif"
_POINTS_PER_INCH = 72
_CHARACTER = 0.64  # widths of a digit in font sizes


@dataclass(frozen=True, eq=False, repr=False)
class ScoreMatrix:
    """Scores of all beginnings of a with all beginnings of b. `neurn.align.score_matrix` makes it.

    Attributes
    ----------
    scores : ndarray of int64 or float64, shape (len(a) + 1, len(b) + 1)
        ``scores[i, j]`` is the best score of ``a[:i]`` and ``b[:j]``.
    arrows : ndarray of uint8, shape (len(a) + 1, len(b) + 1)
        Flags of all steps that lead to that score: 1 from the diagonal, 2 from above (a token of a
        against a gap), 4 from the left (a token of b against a gap). 0 where nothing does: the
        first cell, and cells outside a band, whose scores mean nothing.
    path : ndarray of int64, shape (columns + 1, 2)
        Row and column of each cell of one best alignment, from (0, 0) to (len(a), len(b)). Of
        several best ones, read from the end: diagonal, then up, then left.
    a, b : sequence
        As they were given.
    scoring : Scoring

    Examples
    --------
    >>> from neurn import align
    >>> matrix = align.score_matrix("CRM", "CM")
    >>> matrix.scores
    array([[ 0, -2, -4],
           [-2,  1, -1],
           [-4, -1, -1],
           [-6, -3,  0]])
    >>> axes = matrix.plot(names=("VGG16", "VGG19"))  # doctest: +SKIP
    """

    scores: npt.NDArray[Any]
    arrows: npt.NDArray[np.uint8]
    path: npt.NDArray[np.int64]
    a: Sequence[Any]
    b: Sequence[Any]
    scoring: Scoring

    @property
    def score(self) -> int | float:
        """Score of all of a with all of b, the last cell's."""
        value: int | float = self.scores[-1, -1].item()
        return value

    def __repr__(self) -> str:
        return f"<ScoreMatrix of {len(self.a)} and {len(self.b)} tokens: score {self.score}>"

    def plot(
        self,
        ax: Any = None,
        *,
        names: tuple[str, str] = ("a", "b"),
        kind: str = "auto",
        cmap: str = "inferno",
    ) -> Any:
        """Draw the matrix: a from top to bottom, b from left to right.

        As cells, each shows its score and an arrow to every predecessor that gives it, coloured by
        the score; `path` is in bold black. As a heat image, the colour is the score and `path` a
        line.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure of a size that fits by default.
        names : tuple of str
            Names of a and b, for the axes.
        kind : {"auto", "cells", "heat"}
            "auto": cells where neither sequence is longer than 60 tokens.
        cmap : str
            Name of a matplotlib colour map, dark for low scores; its palest fifth is left out.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ValueError
            If `kind` is another one.
        MissingExtraError
            If matplotlib is not installed; the extra ``plot`` brings it.
        """
        kind = self._kind(kind)
        if ax is None:
            # pyplot: notebooks show its figures, and plt.show() finds them.
            ax = self.new_axes(import_optional("matplotlib.pyplot", "plot").figure, kind)
        painter = _Painter(self, ax, cmap)
        painter.draw(kind, names)
        return ax

    def new_axes(self, new_figure: Callable[..., Any], kind: str = "auto") -> Any:
        """Make a figure that fits the plot, and the Axes in it.

        Parameters
        ----------
        new_figure : callable
            Takes ``figsize``: `matplotlib.pyplot.figure`, or `matplotlib.figure.Figure` for one
            that no window system knows of.
        kind : {"auto", "cells", "heat"}

        Returns
        -------
        matplotlib.axes.Axes
            Its cells are between 0.31 and 0.5 inches wide.
        """
        rows, columns = self.scores.shape
        if self._kind(kind) == "cells":
            side = min(0.5, max(0.31, 15 / max(rows, columns)))
            left, top = (0.6 + 0.1 * _longest(sequence) for sequence in (self.a, self.b))
        else:
            side = 7.0 / max(rows, columns)
            left = top = 0.8
        width, height = columns * side, rows * side
        right, bottom = 1.1, 0.15
        size = (left + width + right, bottom + height + top)
        figure = new_figure(figsize=size)
        place = (left / size[0], bottom / size[1], width / size[0], height / size[1])
        return figure.add_axes(place)

    def _kind(self, kind: str) -> str:
        if kind not in ("auto", "cells", "heat"):
            raise ValueError(f"kind must be one of 'auto', 'cells', 'heat', got {kind!r}")
        if kind == "auto":
            cells = max(len(self.a), len(self.b)) <= LARGEST_IN_CELLS
            return "cells" if cells else "heat"
        return kind


class _Painter:
    """Draws one matrix on one Axes."""

    def __init__(self, matrix: ScoreMatrix, ax: Any, cmap: str) -> None:
        self.matrix = matrix
        self.ax = ax
        colours = import_optional("matplotlib.colors", "plot")
        whole = import_optional("matplotlib", "plot").colormaps[cmap]
        self.cmap = colours.ListedColormap(whole(np.linspace(0.05, 0.82, 256)), name=cmap)
        self.reached = matrix.arrows != 0
        self.reached[0, 0] = True
        seen = matrix.scores[self.reached]
        self.norm = colours.Normalize(seen.min(), seen.max())

    def draw(self, kind: str, names: tuple[str, str]) -> None:
        rows, columns = self.matrix.scores.shape
        self.ax.set_aspect("equal")
        self.ax.set_xlim(-0.5, columns - 0.5)
        self.ax.set_ylim(rows - 0.5, -0.5)
        mappable = self._cells() if kind == "cells" else self._heat()
        self._axes(names, tokens=kind == "cells" or max(rows, columns) <= LARGEST_WITH_TOKENS)
        width, height = self._inches()
        length = min(1.0, 6 / height)
        place = (1 + 0.2 / width, (1 - length) / 2, 0.14 / width, length)
        bar = self.ax.figure.colorbar(mappable, cax=self.ax.inset_axes(place))
        bar.set_label("score", fontfamily=_FONT)
        bar.outline.set_visible(False)
        for text in bar.ax.get_yticklabels():
            text.set_fontfamily(_FONT)

    def _cells(self) -> Any:
        matrix, ax = self.matrix, self.ax
        patches = import_optional("matplotlib.patches", "plot")
        cell = self._points_per_cell()
        on_path = {(int(i), int(j)) for i, j in matrix.path}
        texts = {
            (int(i), int(j)): f"{matrix.scores[i, j]:g}".replace("-", "\N{MINUS SIGN}")
            for i, j in np.argwhere(self.reached)
        }
        longest = max(map(len, texts.values()))
        size = min(0.31 * cell, 0.6 * cell / (_CHARACTER * longest))
        for (i, j), text in texts.items():
            bold = (i, j) in on_path
            ax.text(
                j,
                i,
                text,
                ha="center",
                va="center",
                fontsize=size,
                fontfamily=_FONT,
                fontweight="bold" if bold else "normal",
                color="black" if bold else "0.25",
            )
            if bold:
                corner = (j - 0.5, i - 0.5)
                ax.add_patch(patches.Rectangle(corner, 1, 1, color="0.93", zorder=0.5))
        ax.set_xticks(np.arange(matrix.scores.shape[1] + 1) - 0.5, minor=True)
        ax.set_yticks(np.arange(matrix.scores.shape[0] + 1) - 0.5, minor=True)
        ax.grid(which="minor", color="0.92", linewidth=0.6)
        half_width = _CHARACTER * longest * size / cell / 2
        starts, steps = self._all_arrows()
        values = matrix.scores[starts[:, 0], starts[:, 1]]
        mappable = self._quiver(starts, steps, half_width, 0.04, 2, values)
        ends = matrix.path[1:]
        self._quiver(ends, matrix.path[:-1] - ends, half_width, 0.075, 3, None)
        return mappable

    def _all_arrows(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return cells and steps to their predecessors, without those of the path."""
        matrix = self.matrix
        path = {
            (*map(int, end), *map(int, start - end))
            for start, end in zip(matrix.path[:-1], matrix.path[1:], strict=True)
        }
        found = [
            (int(i), int(j), *step)
            for flag, step in _STEPS.items()
            for i, j in np.argwhere(matrix.arrows & flag)
            if (int(i), int(j), *step) not in path
        ]
        table = np.array(found, dtype=np.int64).reshape(-1, 4)
        return table[:, :2], table[:, 2:]

    def _quiver(
        self,
        cells: npt.NDArray[np.int64],
        steps: npt.NDArray[np.int64],
        half_width: float,
        width: float,
        zorder: int,
        values: npt.NDArray[Any] | None,
    ) -> Any:
        """Draw arrows from cells to their predecessors, clear of the numbers in both."""
        beside = steps[:, 0] == 0
        clear = np.where(beside, half_width + 0.06, 0.25)[:, None]
        start = cells + clear * steps
        length = (1 - 2 * clear) * steps
        return self.ax.quiver(
            start[:, 1],
            start[:, 0],
            length[:, 1],
            length[:, 0],
            *([] if values is None else [values]),
            color="black" if values is None else None,
            cmap=self.cmap,
            norm=self.norm,
            angles="xy",
            scale_units="xy",
            scale=1,
            units="xy",
            width=width,
            headwidth=3.2,
            headlength=2.6,
            headaxislength=2.6,
            minlength=0,
            minshaft=1,
            zorder=zorder,
        )

    def _heat(self) -> Any:
        scores = np.ma.masked_array(self.matrix.scores, ~self.reached)
        image = self.ax.imshow(
            scores, cmap=self.cmap, norm=self.norm, interpolation="nearest", aspect="equal"
        )
        rows, columns = self.matrix.path.T
        # Black as in the cells; its white edge keeps it visible where the image is dark.
        for width, colour in ((3.2, "white"), (1.6, "black")):
            self.ax.plot(columns, rows, color=colour, linewidth=width, solid_capstyle="round")
        return image

    def _axes(self, names: tuple[str, str], tokens: bool) -> None:
        ax, matrix = self.ax, self.matrix
        ax.xaxis.tick_top()
        ax.xaxis.set_label_position("top")
        ax.set_ylabel(names[0], fontfamily=_FONT, fontsize=12, labelpad=6)
        ax.set_xlabel(names[1], fontfamily=_FONT, fontsize=12, labelpad=8)
        ax.tick_params(which="both", length=0)
        ax.spines[:].set_visible(False)
        if tokens:
            size = min(11.0, max(3.5, 0.42 * self._points_per_cell()))
            style = {"fontsize": size, "fontfamily": _FONT, "fontweight": "bold"}
            labels_a, labels_b = (["", *map(label, s)] for s in (matrix.a, matrix.b))
            upright = _longest(matrix.b) > 2
            ax.set_yticks(range(len(labels_a)), labels_a, **style)
            ax.set_xticks(range(len(labels_b)), labels_b, rotation=90 if upright else 0, **style)
        else:
            ax.set_ylabel(f"{names[0]} (tokens)")
            ax.set_xlabel(f"{names[1]} (tokens)")
            for text in [*ax.get_xticklabels(), *ax.get_yticklabels()]:
                text.set_fontfamily(_FONT)

    def _inches(self) -> tuple[float, float]:
        width, height = self.ax.get_window_extent().size / self.ax.figure.dpi
        return float(width), float(height)

    def _points_per_cell(self) -> float:
        rows, columns = self.matrix.scores.shape
        width, height = self._inches()
        return float(_POINTS_PER_INCH * min(width / columns, height / rows))


def _longest(sequence: Sequence[Any]) -> int:
    return max((display_width(label(token)) for token in sequence), default=1)
