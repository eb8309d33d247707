"""Gapped columns as HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from neurn.align.text import MARKERS, label

# Violet, orange and grey differ in lightness too, and the marker between the rows says the same.
STYLE = """
.neurn-alignment { color: #1b1b1f; background: #fff;
  font: .9rem/1.4 Georgia, "DejaVu Serif", serif; }
.neurn-alignment p { margin: .3rem 0; }
.neurn-alignment .columns { display: flex; flex-wrap: wrap; row-gap: .7rem; margin: .6rem 0;
  font-family: "DejaVu Sans Mono", Consolas, monospace; line-height: 1.25; }
.neurn-alignment .columns > span { display: flex; flex-direction: column; align-items: center;
  padding: 0 .2rem; border: 1px solid #fff; min-width: .8rem; white-space: pre; }
.neurn-alignment i { font-style: normal; color: #55555c; }
.neurn-alignment .match { background: #e4d3ea; }
.neurn-alignment .mismatch { background: #fbb761; }
.neurn-alignment .gap { background: #f1f1f1; }
.neurn-alignment .cut { align-self: center; padding: 0 .6rem; }
.neurn-alignment code { overflow-wrap: anywhere; font-size: .85em; }
.neurn-alignment small { color: #55555c; }
.neurn-alignment b { padding: 0 .35rem; font-weight: normal; }
"""

_CLASSES = {"=": "match", "X": "mismatch", "I": "gap", "D": "gap"}

LEGEND = (
    '<small>a above b; <b class="match">| identical</b> <b class="mismatch">. different</b> '
    '<b class="gap">- gap</b></small>'
)


def fragment(
    a: Sequence[object],
    b: Sequence[object],
    operations: str,
    summary: str,
    cigar: str,
    shown: int | None = None,
) -> str:
    """Return a ``<div>`` of gapped columns with its own style.

    Parameters
    ----------
    a, b : sequence
        The tokens.
    operations : str
        One of ``=XID`` for each column.
    summary, cigar : str
        Text above and below the columns.
    shown : int, optional
        Leave out columns in the middle if there are more than this.
    """
    inside = "".join(columns(a, b, operations, shown))
    return (
        f'<div class="neurn-alignment"><style>{STYLE}</style>\n<p>{escape(summary)}</p>\n'
        f'<div class="columns">{inside}</div>\n<p><code>{escape(cigar)}</code></p>\n'
        f"<p>{LEGEND}</p></div>"
    )


def page(body: str, title: str) -> str:
    """Return a whole document around a fragment."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def columns(
    a: Sequence[object], b: Sequence[object], operations: str, shown: int | None = None
) -> Iterator[str]:
    """Yield a ``<span>`` for each column; the arguments are those of `fragment`."""
    total = len(operations)
    head = tail = total
    if shown is not None and total > shown:
        head, tail = shown // 2, total - shown // 2
    i = j = 0
    for place, operation in enumerate(operations):
        in_a, in_b = operation != "D", operation != "I"
        if place < head or place >= tail:
            yield _column(label(a[i]) if in_a else "-", operation, label(b[j]) if in_b else "-")
        elif place == head:
            yield f'<span class="cut">... {tail - head:,} columns ...</span>'
        i += in_a
        j += in_b


def _column(x: str, operation: str, y: str) -> str:
    return (
        f'<span class="{_CLASSES[operation]}">{escape(x)}'
        f"<i>{MARKERS[operation]}</i>{escape(y)}</span>"
    )
