"""Results as text, tables, pictures and one page, written to a directory."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from neurn._files import open_atomic, prepare_directory, write_atomic
from neurn._optional import import_optional
from neurn.generalize import html, tables
from neurn.generalize.domains import KNOWN
from neurn.generalize.figures import (
    draw_confusion,
    draw_curves,
    draw_differences,
    draw_examples,
    to_png,
)
from neurn.generalize.results import DomainInfo, Results
from neurn.generalize.shifts import is_shift, shift
from neurn.generalize.summary import (
    Contrast,
    SummaryRow,
    default_contrasts,
    findings,
    summarize,
)

METHOD = (
    "Mean and 95 % t interval over seeds, paired: for a given seed all front ends share split, "
    "initial weights, batches and test images. p: exact paired permutation test over seeds (the "
    "smallest possible with n seeds is 2 / 2^n) and over images (these trained models, new "
    "images), both adjusted for the number of domains (Holm). The epoch is chosen by accuracy on "
    "source validation images; no target label is read before training ends."
)

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Generalization to unseen domains</title>
<style>$style</style>
</head>
<body>
<h1>Generalization to unseen domains</h1>
<p class="meta">Made by <code>$command</code>.</p>
$parts
<h2>How it was measured</h2>
<p>$method</p>
<details><summary>Command, versions, machine, data</summary>
<pre>$record</pre>
</details>
</body>
</html>
""")


def known_info(names: Iterable[str]) -> dict[str, DomainInfo]:
    """Say what domains are that only their names are left of, as in a CSV file."""
    found = {}
    for name in names:
        if is_shift(name):
            made = shift(name)
            found[name] = DomainInfo(made.title, made.recipe, made.family, made.severity)
        else:
            found[name] = DomainInfo(KNOWN[name].title if name in KNOWN else name)
    return found


def text(results: Results, contrasts: Sequence[Contrast] | None = None) -> str:
    """Return tables and findings for a terminal."""
    blocks = []
    for heading, part, rows in _parts(results, contrasts):
        titles = _titles(part)
        blocks.append(heading)
        blocks.append("Accuracy in percent, mean [95 % interval]:")
        blocks.append(tables.align_columns(tables.accuracy_table(rows, titles, _oracle(rows))))
        if any(row.baseline for row in rows):
            blocks.append("Paired difference in percentage points, mean [95 % interval]:")
            table = tables.difference_table(rows, titles, tests=True)
            blocks.append(tables.align_columns(table))
            blocks += [str(finding) for finding in findings(rows, titles)]
    return "\n\n".join(blocks)


def markdown(results: Results, contrasts: Sequence[Contrast] | None = None) -> str:
    """Return tables and findings as Markdown."""
    blocks = []
    for heading, part, rows in _parts(results, contrasts):
        titles = _titles(part)
        blocks.append(f"## {heading}\n")
        blocks.append(tables.markdown(tables.accuracy_table(rows, titles, _oracle(rows))))
        if any(row.baseline for row in rows):
            blocks.append(tables.markdown(tables.difference_table(rows, titles, tests=True)))
            blocks += [f"- {finding}" for finding in findings(rows, titles)] + [""]
    return "\n".join([*blocks, METHOD, ""])


def latex(results: Results, contrasts: Sequence[Contrast] | None = None) -> str:
    """Return tables as LaTeX, for the package booktabs."""
    blocks = []
    for heading, part, rows in _parts(results, contrasts):
        titles = _titles(part)
        caption = f"{heading}. Accuracy in percent. {METHOD}"
        blocks.append(tables.latex(tables.accuracy_table(rows, titles, _oracle(rows)), caption))
        if any(row.baseline for row in rows):
            table = tables.difference_table(rows, titles, tests=True)
            blocks.append(tables.latex(table, f"{heading}. Paired differences in points."))
    return "\n".join(blocks)


def page(results: Results, contrasts: Sequence[Contrast] | None = None) -> str:
    """Return one HTML file with tables, findings and pictures, that needs no other file."""
    parts = []
    for heading, part, rows in _parts(results, contrasts):
        titles = _titles(part)
        parts.append(f"<h2>{escape(heading)}</h2>")
        compared = any(row.baseline for row in rows)
        if compared:
            parts.append('<div class="box">')
            for finding in findings(rows, titles):
                answers = "".join(f"<li>{html.typeset(a)}</li>" for a in finding.answers)
                parts.append(f"<p>{escape(finding.question)}:</p><ul>{answers}</ul>")
            parts.append("</div>")
        accuracy = tables.accuracy_table(rows, titles, _oracle(rows))
        parts.append(html.table(accuracy, "Accuracy in percent: mean and 95 % interval."))
        if compared:
            differences = [row for row in rows if row.baseline]
            parts.append(
                html.table(
                    tables.difference_table(rows, titles, tests=True),
                    "Paired differences in percentage points: mean, 95 % interval, and exact "
                    "p values adjusted for the number of domains.",
                )
            )
            parts.append(_picture(draw_differences(differences, titles), "Paired differences."))
        parts += [
            _picture(figure, caption)
            for _, figure, caption in _pictures(part)
            if figure is not None
        ]
        for domain in part.domains:
            about = part.info.get(domain)
            if about is not None and about.no_data:
                parts.append(f'<p class="note">No data: {escape(about.no_data)}</p>')
    record = json.dumps(results.record, indent=1, default=str)
    return _PAGE.substitute(
        style=html.STYLE,
        command=escape(str(results.record.get("command", "neurn.generalize"))),
        parts="\n".join(parts),
        method=escape(METHOD),
        record=escape(record),
    )


def save(
    results: Results, directory: str | Path, contrasts: Sequence[Contrast] | None = None
) -> list[Path]:
    """Write all of it, each file at once.

    Parameters
    ----------
    results : Results
    directory : str or Path
        Made if missing. Gets ``runs.csv``, ``summary.csv``, ``per_class.csv``, ``flips.csv``,
        ``tables.md``, ``tables.tex``, ``record.json``, ``runs.parquet`` where pyarrow is
        installed, pictures, and, last, ``report.html``.
    contrasts : sequence of (str, str), optional
        Front end and baseline; each with the first one otherwise.

    Returns
    -------
    list of Path
        The files.
    """
    folder = Path(directory)
    prepare_directory(folder)
    pairs = default_contrasts(results) if contrasts is None else contrasts
    contents: dict[str, bytes | str] = {
        "runs.csv": tables.runs_csv(results),
        "summary.csv": tables.summary_csv(summarize(results, contrasts)),
        "tables.md": markdown(results, contrasts),
        "tables.tex": latex(results, contrasts),
        "record.json": json.dumps(results.record, indent=1, default=str) + "\n",
    }
    if results.runs and all(run.correct is not None for run in results.runs):
        contents["per_class.csv"] = tables.per_class_csv(results)
        contents["flips.csv"] = tables.flips_csv(results, pairs)
    several = len(results.models) * len(results.sources) > 1
    for _, part, rows in _parts(results, contrasts):
        slug = f"-{_slug(part.models[0])}-{_slug(part.sources[0])}" if several else ""
        differences = [row for row in rows if row.baseline]
        if differences:
            figure = draw_differences(differences, _titles(part))
            contents[f"differences{slug}.png"] = to_png(figure)
        contents |= {f"{name}{slug}.png": to_png(figure) for name, figure, _ in _pictures(part)}
    written = []
    for name, content in contents.items():
        write_atomic(folder / name, content)
        written.append(folder / name)
    try:
        import_optional("pyarrow", "parquet")
    except ImportError:
        pass
    else:
        written.append(to_parquet(results, folder / "runs.parquet"))
    write_atomic(folder / "report.html", page(results, contrasts))
    return [*written, folder / "report.html"]


def to_parquet(results: Results, path: str | Path) -> Path:
    """Write one line per run as Parquet.

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed.
    """
    import_optional("pyarrow", "parquet")
    with open_atomic(Path(path)) as file:
        buffer = io.BytesIO()
        results.to_frame().to_parquet(buffer, index=False)
        file.write(buffer.getvalue())
    return Path(path)


def _parts(
    results: Results, contrasts: Sequence[Contrast] | None
) -> Iterator[tuple[str, Results, list[SummaryRow]]]:
    """Yield each model and source: a heading, its results, its rows."""
    for model in results.models:
        for source in results.select(model).sources:
            part = results.select(model, source)
            seeds = len({run.seed for run in part.runs})
            heading = f"{model} trained on {source}, {seeds} seed{'s' * (seeds > 1)}"
            wanted = contrasts if contrasts is not None else default_contrasts(part)
            yield heading, part, summarize(part, wanted)


def _pictures(part: Results) -> Iterator[tuple[str, Any, str]]:
    if part.examples:
        caption = "The first test images of each domain, and their NeuRN maps."
        yield "examples", draw_examples(part), caption
    known = [part.info[domain] for domain in part.domains if domain in part.info]
    families = [about.family for about in known if about.family]
    if len(families) > len(set(families)):
        yield (
            "curves",
            draw_curves(part),
            "Accuracy by severity; bands are 95 % intervals (from 3 seeds on).",
        )
    if part.runs and all(run.confusion is not None for run in part.runs):
        shown = part.front_ends[:3]
        for domain in _most_changed(part):
            name = f"confusion-{_slug(domain)}"
            yield name, draw_confusion(part, domain, shown), f"Confusion on {part.title(domain)}."


def _most_changed(part: Results) -> list[str]:
    """Return the domain on which the second front end changes most."""
    if len(part.front_ends) < 2:
        return []
    first, second = part.front_ends[:2]
    change = {
        domain: abs(part.difference(second, first, domain).mean)
        for domain in part.domains
        if part.find(first, domain) and part.find(second, domain)
    }
    return [max(change, key=lambda domain: change[domain])] if change else []


def _titles(part: Results) -> dict[str, str]:
    return {domain: part.title(domain) for domain in part.domains}


def _oracle(rows: Sequence[SummaryRow]) -> bool:
    return any(row.oracle == row.oracle for row in rows)


def _picture(figure: Any, caption: str) -> str:
    source = html.data_uri(to_png(figure, dpi=150))
    return (
        f'<figure class="chart"><img src="{source}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in "._" else "-" for c in name)
