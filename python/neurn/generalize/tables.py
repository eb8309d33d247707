"""Results as CSV, and as tables for a terminal, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from neurn.generalize.results import COLUMNS, Results
from neurn.generalize.summary import NO_DATA, SummaryRow, find, p_value, percent, points
from neurn.generalize.variants import title

Table = list[list[str]]


def runs_csv(results: Results) -> str:
    """One line per run; accuracies and errors are fractions, `n` counts images, "" is no value."""
    return _csv(
        COLUMNS,
        ([_cell(getattr(run, name)) for name in COLUMNS] for run in results.runs),
    )


def summary_csv(rows: Sequence[SummaryRow]) -> str:
    """One line per summary row; mean, low and high are fractions, empty baseline = accuracy."""
    header = (
        *("model", "source", "quantity", "domain", "front_end", "baseline", "mean", "low", "high"),
        *("n_seeds", "n_images", "verdict", "bootstrap_low", "bootstrap_high"),
        *("p_seeds", "p_seeds_holm", "p_images", "p_images_holm"),
        *("calibration_error", "oracle"),
    )
    return _csv(
        header,
        (
            [
                *(row.model, row.source, "difference" if row.baseline else "accuracy"),
                *(row.domain, row.front_end, row.baseline),
                *map(_cell, (row.interval.mean, row.interval.low, row.interval.high)),
                *(row.interval.n, row.n_images),
                row.interval.verdict if row.baseline and row.interval.n else "",
                *map(_cell, (row.bootstrap.low, row.bootstrap.high)),
                *map(_cell, (row.p_seeds, row.p_seeds_holm, row.p_images, row.p_images_holm)),
                *map(_cell, (row.calibration.mean, row.oracle)),
            ]
            for row in rows
        ),
    )


def per_class_csv(results: Results) -> str:
    """One line per model, source, domain, front end and class: share of right ones over seeds."""
    lines = []
    for model in results.models:
        for source in results.select(model).sources:
            part = results.select(model, source)
            for domain in part.domains:
                for name in part.front_ends:
                    if not part.find(name, domain):
                        continue
                    counts = part.confusion(name, domain).sum(axis=1)
                    for label, share in enumerate(part.per_class(name, domain)):
                        lines.append(
                            [
                                *(model, source, domain, name, label),
                                *(_cell(float(share)), int(counts[label])),
                            ]
                        )
    return _csv(("model", "source", "domain", "front_end", "class", "accuracy", "n"), lines)


def flips_csv(results: Results, contrasts: Sequence[tuple[str, str]]) -> str:
    """One line per image that any seed turned: seeds gained with the front end, seeds lost."""
    lines: list[list[object]] = []
    for model in results.models:
        for source in results.select(model).sources:
            part = results.select(model, source)
            for domain in part.domains:
                for name, baseline in contrasts:
                    if not part.pairs(name, baseline, domain):
                        continue
                    flips = part.flips(name, baseline, domain)
                    columns = (flips.ids, flips.seeds, flips.gained, flips.lost)
                    lines += [
                        [model, source, domain, name, baseline, *map(int, row)]
                        for row in zip(*columns, strict=True)
                        if row[2] or row[3]
                    ]
    header = ("model", "source", "domain", "front_end", "baseline", "image", "seeds")
    return _csv((*header, "gained", "lost"), lines)


def accuracy_table(
    rows: Sequence[SummaryRow], titles: Mapping[str, str], oracle: bool = False
) -> Table:
    """Header and one line per domain: accuracy in percent with its interval.

    Parameters
    ----------
    rows : sequence of SummaryRow
        Of one model and source.
    titles : mapping of str to str
        Title of each domain by name.
    oracle : bool
        Add a marked column for each front end: the best epoch by the target's own labels.
    """
    names = list(dict.fromkeys(row.front_end for row in rows if not row.baseline))
    header = ["Domain", *map(title, names)]
    ran = _ran(rows)
    best = {(row.domain, row.front_end): row.oracle for row in rows if not row.baseline}
    if oracle:
        header += [f"{title(name)} (oracle: epoch chosen on target labels)" for name in names]
    return [header] + [
        [
            heading,
            *(_or_not_run(percent(find(rows, domain, name)), domain, ran) for name in names),
            *((_share(best[domain, name]) for name in names) if oracle else ()),
        ]
        for domain, heading in titles.items()
    ]


def difference_table(
    rows: Sequence[SummaryRow], titles: Mapping[str, str], tests: bool = False
) -> Table:
    """Header and one line per domain: paired differences in points with their intervals.

    Parameters
    ----------
    rows : sequence of SummaryRow
        Of one model and source.
    titles : mapping of str to str
        Title of each domain by name.
    tests : bool
        Add p values over seeds and over images, adjusted for the number of domains.
    """
    pairs = list(dict.fromkeys((r.front_end, r.baseline) for r in rows if r.baseline))
    header = ["Domain"]
    for name, baseline in pairs:
        header.append(f"{title(name)} - {title(baseline)}")
        header += ["p (seeds)", "p (images)"] if tests else []
    table = [header]
    ran = _ran(rows)
    by_key = {(r.domain, r.front_end, r.baseline): r for r in rows}
    for domain, heading in titles.items():
        line = [heading]
        for pair in pairs:
            row = by_key[(domain, *pair)]
            line.append(_or_not_run(points(row.interval), domain, ran))
            if tests:
                line += [p_value(row.p_seeds_holm), p_value(row.p_images_holm)]
        table.append(line)
    return table


def _ran(rows: Sequence[SummaryRow]) -> set[str]:
    """Return the domains that any front end was tested on."""
    return {row.domain for row in rows if row.interval.n}


def _or_not_run(text: str, domain: str, ran: set[str]) -> str:
    return "not run" if text == NO_DATA and domain in ran else text


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


def markdown(table: Sequence[Sequence[str]]) -> str:
    """Write a table in GitHub's Markdown, minus signs set as such."""
    rows = [[_minus(cell).replace("|", "\\|") for cell in line] for line in table]
    header, *body = rows
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *body]) + "\n"


def latex(table: Sequence[Sequence[str]], caption: str = "") -> str:
    """Write a table in LaTeX, for the package booktabs."""
    header, *body = [[_latex(cell) for cell in line] for line in table]
    lines = [
        "\\begin{table}",
        *([f"\\caption{{{_latex(caption)}}}"] if caption else []),
        f"\\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
        "\\toprule",
        " & ".join(header) + " \\\\",
        "\\midrule",
        *(" & ".join(line) + " \\\\" for line in body),
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex(text: str) -> str:
    escaped = re.sub(r"([&%$#_{}])", r"\\\1", text)
    escaped = escaped.replace("<", "$<$")
    return re.sub(r"(?<![\w-])([+-])(?=\d)|(?<= )-(?= )", lambda sign: f"${sign[0]}$", escaped)


def _minus(text: str) -> str:
    return re.sub(r"(?<![\w-])-(?=\d)|(?<= )-(?= )", "\N{MINUS SIGN}", text)


def _share(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.1f}"


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    return value


def _csv(header: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return text.getvalue()
