"""Two models side by side: gapped columns in blocks and stages, as a picture and as a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from neurn._optional import import_optional
from neurn.align import html
from neurn.align.text import MARKERS, label
from neurn.arch.plot import FONT

if TYPE_CHECKING:
    from neurn.arch.blocks import BlockAlignment, BlockPair, StagePair

# As on pages: pale violet, orange and grey differ in lightness too.
COLOURS = {"=": "#e4d3ea", "X": "#fbb761", "I": "#f1f1f1", "D": "#f1f1f1"}
_MEANINGS = {"=": "identical", "X": "different", "D": "against a gap"}

_CELL = 0.185  # inches wide
_SIZE = 8.0  # points
_BETWEEN_BLOCKS = 0.12
_BETWEEN_STAGES = 0.3
_CHARACTER = 0.63  # of a font size, at most as a mean
# Inches that a character takes, at most as a mean: of a title, of the names below it, of counts.
_TITLE, _NAME, _TIMES = 0.092, 0.067, 0.075
_LEGEND = 8.0  # inches

_STYLE = """
.neurn-blocks { font: .95rem/1.5 Georgia, "DejaVu Serif", serif; color: #1b1b1f; margin: 1rem; }
.neurn-blocks h1 { font-size: 1.3rem; font-weight: normal; }
.neurn-blocks h2 { font-size: 1rem; margin: 1.1rem 0 .2rem; }
.neurn-blocks h2 small { font-weight: normal; color: #55555c; }
.neurn-blocks .blocks { display: flex; flex-wrap: wrap; gap: .5rem; }
.neurn-blocks .block { border: 1px solid #b9b9c0; border-radius: .3rem; padding: .1rem .3rem; }
.neurn-blocks .times { font-size: .85rem; color: #55555c; margin: 0; }
.neurn-blocks .columns { margin: .2rem 0 !important; }
"""


@dataclass(frozen=True)
class _Group:
    """Block pairs that are alike and follow each other."""

    a: tuple[str, ...]
    b: tuple[str, ...]
    operations: str
    times: int
    sides: tuple[bool, bool]

    @property
    def times_text(self) -> str:
        """How often a and b have it: nothing, ``"x 5"`` or ``"0 vs 17"``."""
        if all(self.sides):
            return f"\N{MULTIPLICATION SIGN} {self.times}" if self.times > 1 else ""
        return " vs ".join(str(self.times if side else 0) for side in self.sides)


def _groups(found: BlockAlignment, pair: StagePair, fold: bool) -> list[_Group]:
    groups: list[_Group] = []
    for block in pair.blocks:
        made = _group(found, block)
        last = groups[-1] if groups else None
        if fold and last and (last.a, last.b, last.sides) == (made.a, made.b, made.sides):
            groups[-1] = _Group(last.a, last.b, last.operations, last.times + 1, last.sides)
        else:
            groups.append(made)
    return groups


def _group(found: BlockAlignment, block: BlockPair) -> _Group:
    a, b = (
        tuple(tokens[slice(*span)]) if span else ()
        for tokens, span in ((found.alignment.a, block.a), (found.alignment.b, block.b))
    )
    i = j = 0
    operations = ""
    for move in block.moves.tolist():
        if move == 1:
            operations += "=" if a[i] == b[j] else "X"
        else:
            operations += "I" if move == 2 else "D"
        i += move != 4
        j += move != 2
    sides = block.a is not None, block.b is not None
    return _Group(a, b, operations, 1, sides)


def page(found: BlockAlignment) -> str:
    """Return a page of stages, each with its blocks; the same blocks stand once."""
    a, b = map(escape, found.names)
    parts = [
        f'<div class="neurn-blocks neurn-alignment"><style>{html.STYLE}{_STYLE}</style>',
        f"<h1>{a} above {b}</h1>\n<p>{escape(found.summary)}</p>\n<p>{html.LEGEND}</p>",
    ]
    for pair in found.stages:
        names = f" <small>{escape(pair.names)}</small>" if pair.number else ""
        parts.append(f'<h2>{escape(pair.title)}{names}</h2>\n<div class="blocks">')
        for group in _groups(found, pair, fold=True):
            columns = "".join(html.columns(group.a, group.b, group.operations))
            times = f'<p class="times">{group.times_text}</p>' if group.times_text else ""
            parts.append(f'<div class="block">{times}<div class="columns">{columns}</div></div>')
        parts.append("</div>")
    parts.append(f"<p><code>{escape(found.alignment.cigar)}</code></p></div>")
    return html.page("\n".join(parts), f"{found.names[0]} and {found.names[1]}")


@dataclass(frozen=True)
class _Placed:
    """A group in a line of the picture."""

    group: _Group
    x: float
    title: str
    names: str


def draw(found: BlockAlignment, figure: Any, fold: bool, width: float) -> Any:
    """Draw the picture; the arguments are those of `neurn.arch.BlockAlignment.plot`."""
    patches = import_optional("matplotlib.patches", "arch")
    texts = [label(token) for token in (*found.alignment.a, *found.alignment.b)]
    longest = max(map(len, texts), default=1)
    upright = longest > 2
    high = max(0.26, _CHARACTER * _SIZE / 72 * longest + 0.1) if upright else 0.26
    lines = list(_lines(found, fold, width))
    left = 0.3 + _CHARACTER * 10 / 72 * max(map(len, found.names))
    marker, above, below = 0.2, 0.62, 0.3
    one = above + 2 * high + marker + below
    head, foot = 0.5, 0.45
    needed = 0.4 + max(_TITLE * len(found.summary), left + _LEGEND)
    size = (max(left + width + 0.2, needed), head + one * len(lines) + foot)
    if figure is None:
        figure = import_optional("matplotlib.pyplot", "arch").figure(figsize=size)
    else:
        figure.set_size_inches(*size)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, size[0]), ylim=(0, size[1]))
    ax.axis("off")
    style = {"fontfamily": FONT, "color": "#1b1b1f"}
    ax.text(0.2, size[1] - 0.3, found.summary, fontsize=11, va="center", **style)
    for number, line in enumerate(lines):
        top = size[1] - head - number * one - above
        rows = (top - high / 2, top - high * 1.5 - marker)
        for row, name in zip(rows, found.names, strict=True):
            ax.text(left - 0.15, row, name, fontsize=10, ha="right", va="center", **style)
        for placed in line:
            x = left + placed.x
            if placed.title:
                ax.text(x, top + 0.38, placed.title, fontsize=9, fontweight="bold", **style)
            if placed.names:
                ax.text(x, top + 0.22, placed.names, fontsize=7.5, **(style | {"color": "0.4"}))
            _draw_group(ax, patches, placed.group, x, top, high, marker, upright)
    _legend(ax, patches, left)
    return figure


def _lines(found: BlockAlignment, fold: bool, width: float) -> Iterator[list[_Placed]]:
    """Break groups into lines; a group that is too long is cut."""
    most = max(1, int(width / _CELL))
    line: list[_Placed] = []
    x = 0.0
    for pair in found.stages:
        title, names = (pair.title, pair.names) if pair.number else ("", pair.names)
        titles = max(_TITLE * len(title), _NAME * len(names))
        begin = x
        for whole in _groups(found, pair, fold):
            for group in _cut(whole, most):
                slot = max(_CELL * len(group.operations), _TIMES * len(group.times_text))
                if line and x + max(slot, titles if names else 0) > width:
                    yield line
                    line, x, begin = [], 0.0, 0.0
                line.append(_Placed(group, x, title, names))
                if names:
                    begin = x
                title = names = ""
                x += slot + _BETWEEN_BLOCKS
        x = max(x - _BETWEEN_BLOCKS, begin + titles) + _BETWEEN_STAGES
    if line:
        yield line


def _cut(group: _Group, most: int) -> Iterator[_Group]:
    i = j = 0
    for start in range(0, len(group.operations), most):
        operations = group.operations[start : start + most]
        to_a = i + sum(operation != "D" for operation in operations)
        to_b = j + sum(operation != "I" for operation in operations)
        yield _Group(group.a[i:to_a], group.b[j:to_b], operations, group.times, group.sides)
        i, j = to_a, to_b


def _draw_group(
    ax: Any,
    patches: Any,
    group: _Group,
    x: float,
    top: float,
    high: float,
    marker: float,
    upright: bool,
) -> None:
    style = {"fontfamily": FONT, "ha": "center", "va": "center", "color": "#1b1b1f"}
    i = j = 0
    for place, operation in enumerate(group.operations):
        middle = x + (place + 0.5) * _CELL
        for row, shown, token in (
            (top - high, operation != "D", group.a[i] if operation != "D" else ""),
            (top - 2 * high - marker, operation != "I", group.b[j] if operation != "I" else ""),
        ):
            corner = (x + place * _CELL, row)
            colour = COLOURS[operation] if shown else "white"
            ax.add_patch(
                patches.Rectangle(corner, _CELL, high, facecolor=colour, edgecolor="white", lw=0.8)
            )
            turn = 90 if upright and shown else 0
            text = label(token) if shown else "\N{EN DASH}"
            ax.text(middle, row + high / 2, text, fontsize=_SIZE, rotation=turn, **style)
        mark = MARKERS[operation]
        if mark != "-":
            ax.text(middle, top - high - marker / 2, mark, fontsize=_SIZE, **style)
        i += operation != "D"
        j += operation != "I"
    length = _CELL * len(group.operations)
    box = patches.Rectangle(
        (x, top - 2 * high - marker), length, 2 * high + marker, fill=False, edgecolor="0.55"
    )
    box.set_linewidth(0.8)
    ax.add_patch(box)
    if group.times_text:
        under = top - 2 * high - marker - 0.05
        ax.text(x + length / 2, under, group.times_text, fontsize=8.5, **(style | {"va": "top"}))


def _legend(ax: Any, patches: Any, left: float) -> None:
    x = left
    shown: Sequence[tuple[str, str]] = tuple(_MEANINGS.items())
    for operation, meaning in shown:
        ax.add_patch(
            patches.Rectangle((x, 0.16), 0.18, 0.18, facecolor=COLOURS[operation], edgecolor="0.7")
        )
        ax.text(x + 0.25, 0.25, meaning, fontsize=8.5, va="center", fontfamily=FONT)
        x += 0.55 + 0.075 * len(meaning)
    note = "frames: blocks; below them how often they follow each other"
    ax.text(x + 0.1, 0.25, note, fontsize=8.5, va="center", fontfamily=FONT, color="0.4")
