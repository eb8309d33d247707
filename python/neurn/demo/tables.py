"""Results as CSV and as text for a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from neurn.demo.experiment import CONTRASTS, FRONT_END_TITLES
from neurn.demo.summary import SummaryRow, find, percent, points
from neurn.generalize import Results


def runs_csv(results: Results) -> str:
    """One line per seed, front end and domain; accuracy is a fraction, `n` counts images."""
    return _csv(
        ("seed", "front_end", "domain", "accuracy", "n"),
        ((r.seed, r.front_end, r.domain, repr(r.accuracy), r.n) for r in results.runs),
    )


def summary_csv(rows: Sequence[SummaryRow]) -> str:
    """One line per summary row; mean, low and high are fractions, empty baseline = accuracy."""
    header = (
        *("quantity", "domain", "front_end", "baseline", "mean", "low", "high"),
        *("n_seeds", "n_images", "verdict"),
    )
    return _csv(
        header,
        (
            (
                "difference" if row.baseline else "accuracy",
                *(row.domain, row.front_end, row.baseline),
                *(repr(row.interval.mean), repr(row.interval.low), repr(row.interval.high)),
                *(row.interval.n, row.n_images),
                row.interval.verdict if row.baseline else "",
            )
            for row in rows
        ),
    )


def accuracy_table(rows: Sequence[SummaryRow], titles: Mapping[str, str]) -> list[list[str]]:
    """Header and one line per domain: accuracy in percent with its interval."""
    header = ["Domain", *FRONT_END_TITLES.values()]
    return [header] + [
        [title, *(percent(find(rows, domain, name)) for name in FRONT_END_TITLES)]
        for domain, title in titles.items()
    ]


def difference_table(rows: Sequence[SummaryRow], titles: Mapping[str, str]) -> list[list[str]]:
    """Header and one line per domain: paired differences in points with their intervals."""
    header = [
        "Domain",
        *(f"{FRONT_END_TITLES[name]} - {FRONT_END_TITLES[base]}" for name, base in CONTRASTS),
    ]
    return [header] + [
        [title, *(points(find(rows, domain, name, base)) for name, base in CONTRASTS)]
        for domain, title in titles.items()
    ]


def align_columns(table: Sequence[Sequence[str]]) -> str:
    """Lay a table out in columns of text, the first flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in table
    )
    return "\n".join(line.rstrip() for line in lines)


def _csv(header: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return text.getvalue()
