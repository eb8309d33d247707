"""Three models in detail: their layers drawn in three dimensions, and their score matrices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from neurn import align
from neurn._optional import import_optional
from neurn.align.text import label
from neurn.arch.graded import Graded, prepared
from neurn.arch.layers import LayerSequence
from neurn.arch.plot import FONT
from neurn.arch.read import sequence
from neurn.arch.vocabulary import Vocabulary

MODELS = ("VGG11", "VGG16", "VGG19")
LARGEST = 60  # layers: as many as a score matrix shows cell by cell

_LETTERS = {
    "C": "convolution",
    "B": "batch norm",
    "R": "ReLU",
    "M": "max pool",
    "A": "adaptive average pool",
    "V": "average pool",
    "L": "linear",
    "D": "dropout",
}
_VIOLET, _PLAIN, _EDGE = "#7b3fa0", "#d9d9de", "#3c3c42"
_LEAN = 0.42  # what one unit of depth moves to the right and up
_CELL = 0.25  # inches of a matrix
_DRAWING = 2.1  # inches high


def zoom(
    models: Mapping[str, Any] | Sequence[Any] = MODELS,
    vocabulary: str | Vocabulary = "published",
    *,
    scoring: align.Scoring | Graded | None = None,
    figure: Any = None,
    **reading: Any,
) -> Any:
    """Draw three models in detail, as the published figure does VGG11, VGG16 and VGG19.

    Above, the layers of each: height and depth follow the logarithm of the sides of what a layer
    puts out, width that of its channels, as far as they are known. Layers of the first and the last
    model that the best alignment with the middle one does not match are violet. Below, the score
    matrices of the middle one with the first and with the last, and of the last with the first.

    Parameters
    ----------
    models : mapping of str to model, or sequence
        Three, of at most 60 layers each, as in `neurn.arch.similarity`.
    vocabulary : str or Vocabulary
        As in `neurn.arch.sequence`.
    scoring : Scoring or Graded, optional
        That of the published matrices by default: match 1, mismatch -2, gap -2.
    figure : matplotlib.figure.Figure, optional
        An empty one; a new one of a size that fits by default.
    **reading
        ``method``, ``input`` and ``unknown`` of `neurn.arch.sequence`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed; the extra ``arch`` brings it.
    ValueError
        If there are not three models, or one has no layers or more than 60.

    Examples
    --------
    >>> from neurn import arch
    >>> figure = arch.zoom(["VGG11", "VGG16", "VGG19"])
    >>> len(figure.axes)
    6
    >>> figure.savefig("vgg.png")  # doctest: +SKIP
    """
    from neurn.arch.similarity import named_models

    named = named_models(models)
    if len(named) != 3:
        raise ValueError(f"models must be three, got {len(named)}")
    read = {name: sequence(model, vocabulary, **reading) for name, model in named.items()}
    for name, each in read.items():
        if not 1 <= len(each) <= LARGEST:
            raise ValueError(
                f"models must have 1 to {LARGEST} layers each to be drawn, "
                f"got {len(each)} in {name!r}"
            )
    names = list(read)
    tokens, plain = prepared(list(read.values()), align.Scoring() if scoring is None else scoring)
    differing = [
        set() if place == 1 else unmatched(tokens[place], tokens[1], plain) for place in range(3)
    ]
    pairs = [(1, 0), (1, 2), (2, 0)]
    matrices = [align.score_matrix(tokens[i], tokens[j], plain) for i, j in pairs]
    panels = [_Panel(matrix) for matrix in matrices]
    gap = 0.55
    width = sum(panel.width for panel in panels) + gap * 4
    bottom = max(panel.height for panel in panels) + 0.45
    height = bottom + _DRAWING + 0.9
    if figure is None:
        figure = import_optional("matplotlib.pyplot", "arch").figure(figsize=(width, height))
    else:
        figure.set_size_inches(width, height)
    each_width = (width - 0.3) / 3
    for place, (name, found) in enumerate(read.items()):
        box = (0.15 + place * each_width, bottom + 0.5, each_width, _DRAWING)
        ax = figure.add_axes(_part(box, width, height))
        _draw_layers(ax, found, differing[place], box[2], box[3])
        text = f"{name}: {len(found)} layers"
        ax.set_title(text, fontfamily=FONT, fontsize=13, pad=4)
    note = f"violet: not matched by {names[1]} in the best alignment"
    used = {token for each in tokens for token in each}
    letters = [f"{letter} {meaning}" for letter, meaning in _LETTERS.items() if letter in used]
    if read[names[0]].vocabulary.name == "published" and letters:
        note += f"   ({', '.join(letters)})"
    figure.text(0.5, (bottom + 0.25) / height, note, ha="center", fontfamily=FONT, fontsize=11)
    x = gap
    for (i, j), matrix, panel in zip(pairs, matrices, panels, strict=True):
        top = bottom - 0.25
        box = (x + panel.left, top - panel.top - panel.rows, panel.columns, panel.rows)
        ax = figure.add_axes(_part(box, width, height))
        matrix.plot(ax, names=(names[i], names[j]), kind="cells")
        x += panel.width + gap
    return figure


def unmatched(tokens: Sequence[str], reference: Sequence[str], scoring: align.Scoring) -> set[int]:
    """Return the places of tokens that the best alignment with others does not match."""
    pairs = align.align(tokens, reference, scoring).pairs
    return {i for i, j in pairs if i is not None and (j is None or tokens[i] != reference[j])}


class _Panel:
    """Inches of a score matrix and what stands around it."""

    def __init__(self, matrix: align.ScoreMatrix) -> None:
        rows, columns = matrix.scores.shape
        longest = [max(len(label(token)) for token in each) for each in (matrix.a, matrix.b)]
        self.left, self.top = (0.45 + 0.08 * length for length in longest)
        self.rows, self.columns = rows * _CELL, columns * _CELL
        self.width = self.left + self.columns + 0.85
        self.height = self.top + self.rows


def _part(box: tuple[float, ...], width: float, height: float) -> tuple[float, ...]:
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height


def _draw_layers(
    ax: Any, found: LayerSequence, differing: set[int], width: float, height: float
) -> None:
    """Draw each layer as a box, leaning to the right and up."""
    patches = import_optional("matplotlib.patches", "arch")
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.axis("off")
    sizes = _sizes(found)
    room = height - 0.45  # under the boxes stand the tokens
    scale = room / (1 + _LEAN) / max(side for side, _ in sizes)
    boxes = [(side * scale, thick) for side, thick in sizes]
    space = 0.35
    free = width - 0.3 - _LEAN * boxes[-1][0]
    unit = free / sum(thick + space for _, thick in boxes)
    unit = min(unit, 0.16)
    x = (width - unit * sum(thick + space for _, thick in boxes) - _LEAN * boxes[-1][0]) / 2
    middle = 0.4 + room / 2
    upright = max(len(label(token)) for token in found.tokens) > 2
    for place, ((side, thick), token) in enumerate(zip(boxes, found.tokens, strict=True)):
        wide, lean = thick * unit, _LEAN * side
        base = middle - (side + lean) / 2
        colour = _VIOLET if place in differing else _PLAIN
        faces = {
            1.0: [(x, base), (x + wide, base), (x + wide, base + side), (x, base + side)],
            0.82: [
                (x + wide, base),
                (x + wide + lean, base + lean),
                (x + wide + lean, base + lean + side),
                (x + wide, base + side),
            ],
            1.12: [
                (x, base + side),
                (x + wide, base + side),
                (x + wide + lean, base + side + lean),
                (x + lean, base + side + lean),
            ],
        }
        for light, corners in faces.items():
            ax.add_patch(
                patches.Polygon(
                    corners,
                    facecolor=_shade(colour, light),
                    edgecolor=_EDGE,
                    linewidth=0.5,
                    joinstyle="round",
                    zorder=2 + place * 0.01,
                )
            )
        ax.text(
            x + wide / 2,
            0.12,
            label(token),
            ha="center",
            va="bottom",
            rotation=90 if upright else 0,
            fontsize=8.5,
            fontfamily=FONT,
            fontweight="bold" if place in differing else "normal",
            color=_VIOLET if place in differing else "#1b1b1f",
        )
        x += wide + unit * space


def _sizes(found: LayerSequence) -> list[tuple[float, float]]:
    """Return side and thickness of each layer's box; those not known are as the one before."""
    sizes: list[tuple[float, float]] = []
    last = (1.0, 1.0)
    for layer in found.layers:
        shape = layer.shape
        if shape is not None and len(shape) == 4:
            # Whichever axis the channels are: of pictures both sides are the same.
            first = shape[1] == shape[2]
            side, channels = (shape[1], shape[3]) if first else (shape[2], shape[1])
            last = (1 + math.log2(max(side, 1)), 0.6 + math.log2(max(channels, 1)) / 8)
        elif shape is not None:
            last = (1.0, 0.6 + math.log2(max(shape[-1], 1)) / 8)
        sizes.append(last)
    return sizes


def _shade(colour: str, light: float) -> tuple[float, ...]:
    colours = import_optional("matplotlib.colors", "arch")
    return tuple(min(1.0, part * light) for part in colours.to_rgb(colour))
