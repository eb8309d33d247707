"""Gapped rows as text, columns under each other whatever the width of their tokens."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

MARKERS = {"=": "|", "X": ".", "I": "-", "D": "-"}
GAP = "-"


def label(token: object) -> str:
    """Return a token as it is shown: its `str`, or its `repr` where that could not be seen."""
    text = str(token)
    return text if text and text.isprintable() else repr(token)


def display_width(text: str) -> int:
    """Return how many columns of a terminal a text takes: wide characters take two."""
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def gapped_rows(
    a: Sequence[object], b: Sequence[object], operations: str, width: int, *, compact: bool
) -> Iterator[str]:
    """Lay an alignment out in blocks of three lines, with an empty line between blocks.

    Parameters
    ----------
    a, b : sequence
        The tokens.
    operations : str
        One of ``=XID`` for each column.
    width : int
        Columns of text to fill; a token that is wider still gets a line of its own.
    compact : bool
        Set tokens side by side without a space, if each takes one column of text.

    Yields
    ------
    str
        The lines, without line ends.
    """
    labels_a, labels_b = [label(x) for x in a], [label(x) for x in b]
    if compact and all(display_width(x) == 1 for x in itertools.chain(labels_a, labels_b)):
        separator = ""
    else:
        spaced = any(" " in x for x in itertools.chain(labels_a, labels_b))
        separator = "  " if spaced else " "
    digits = len(str(max(len(labels_a), len(labels_b))))
    room = width - len("a ") - 2 * (digits + 1)
    columns = _columns(labels_a, labels_b, operations)
    start_a = start_b = 0
    for block in _blocks(columns, room, len(separator)):
        row_a, markers, row_b = (
            separator.join(
                _pad(text, column.width) for text, column in zip(row, block, strict=True)
            )
            for row in (
                [column.in_a for column in block],
                [column.marker for column in block],
                [column.in_b for column in block],
            )
        )
        end_a = start_a + sum(column.operation != "D" for column in block)
        end_b = start_b + sum(column.operation != "I" for column in block)
        if start_a or start_b:
            yield ""
        yield f"a {start_a:>{digits}} {row_a} {end_a}"
        yield f"{'':{digits + 2}} {markers}".rstrip()
        yield f"b {start_b:>{digits}} {row_b} {end_b}"
        start_a, start_b = end_a, end_b


class _Column(NamedTuple):
    in_a: str
    marker: str
    in_b: str
    width: int
    operation: str


def _columns(a: list[str], b: list[str], operations: str) -> Iterator[_Column]:
    tokens_a, tokens_b = iter(a), iter(b)
    for operation in operations:
        x = None if operation == "D" else next(tokens_a)
        y = None if operation == "I" else next(tokens_b)
        width = max(display_width(token) for token in (x, y) if token is not None)
        gap = GAP * width
        marker = MARKERS[operation] * width
        row_a, row_b = gap if x is None else x, gap if y is None else y
        yield _Column(row_a, marker, row_b, width, operation)


def _blocks(columns: Iterable[_Column], room: int, separator: int) -> Iterator[list[_Column]]:
    block: list[_Column] = []
    taken = 0
    for column in columns:
        if block and taken + separator + column.width > room:
            yield block
            block, taken = [], 0
        taken += column.width + (separator if block else 0)
        block.append(column)
    if block:
        yield block


def _pad(text: str, width: int) -> str:
    return text + " " * (width - display_width(text))
