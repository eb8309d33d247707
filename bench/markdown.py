"""Tables in Markdown, and a part of a file that is written anew."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path


def replace_between(path: Path, begin: str, end: str, body: str) -> None:
    """Replace what stands between two marks."""
    old = path.read_text(encoding="utf-8")
    head, found_begin, rest = old.partition(begin)
    _, found_end, tail = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"{path.name} has lost its marks: {begin} and {end}")
    write_whole(path, f"{head}{begin}\n{body}\n{end}{tail}")


def write_whole(path: Path, text: str) -> None:
    """Write a file; a killed run leaves the old one whole."""
    new = path.with_suffix(".tmp")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def table(rows: Sequence[dict[str, str]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines: list[Iterable[str]] = [columns, *([row.get(c, "") for c in columns] for row in rows)]
    texts = [list(line) for line in lines]
    widths = [max(3, *(len(text[i]) for text in texts)) for i in range(len(columns))]
    right = [_numeric(text[i] for text in texts[1:]) for i in range(len(columns))]

    def line(cells: Sequence[str]) -> str:
        parts = (
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(cells, widths, right, strict=True)
        )
        return f"| {' | '.join(parts)} |"

    rule = [
        "-" * (width - 1) + (":" if number else "-")
        for width, number in zip(widths, right, strict=True)
    ]
    return "\n".join([line(texts[0]), line(rule), *map(line, texts[1:])])


def _numeric(cells: Iterable[str]) -> bool:
    return all(re.fullmatch(r"[\d. to]*", cell) for cell in cells)
