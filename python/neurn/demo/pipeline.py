"""The demo from data to files."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

from neurn._files import prepare_directory, write_atomic
from neurn._optional import import_optional
from neurn.demo.experiment import FRONT_END_TITLES, DemoConfig, Experiment
from neurn.demo.figures import draw_differences, draw_maps, make_examples, to_png
from neurn.demo.page import make_page
from neurn.demo.progress import show_progress
from neurn.demo.record import make_record
from neurn.demo.summary import Finding, SummaryRow, findings, summarize
from neurn.demo.tables import (
    accuracy_table,
    align_columns,
    difference_table,
    runs_csv,
    summary_csv,
)
from neurn.generalize import Results


@dataclass(frozen=True)
class DemoReport:
    """What a demo run found and where it was written.

    Attributes
    ----------
    results : Results
    rows : tuple of SummaryRow
    record : dict
        The content of ``results.json``.
    text : str
        The tables and findings as text.
    page : Path
        The HTML report; the other files lie beside it.
    """

    results: Results
    rows: tuple[SummaryRow, ...]
    record: dict[str, Any]
    text: str
    page: Path


def run(
    out: str | Path,
    config: DemoConfig | None = None,
    *,
    command: str = "neurn.demo.run",
    quiet: bool = False,
    stream: TextIO | None = None,
) -> DemoReport:
    """Train and test the small network with and without NeuRN and write the report.

    Parameters
    ----------
    out : str or Path
        Output directory, created if missing. Files of an earlier run are replaced, each at once:
        ``report.html``, ``runs.csv``, ``summary.csv``, ``results.json``, ``maps.png``,
        ``differences.png``. The report is written last.
    config : DemoConfig, optional
    command : str
        Command line to record.
    quiet : bool
        Show no progress.
    stream : text file, optional
        Where progress goes; standard error by default.

    Returns
    -------
    DemoReport

    Raises
    ------
    neurn.demo.OutputError
        If `out` is a file or cannot be written to; before any training.
    neurn.demo.MissingExtraError
        If scikit-learn or matplotlib, or on a terminal tqdm, is not installed; before any
        training.
    """
    directory, settings = Path(out), config or DemoConfig()
    prepare_directory(directory)
    import_optional("matplotlib")
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    start = time.perf_counter()
    experiment = Experiment.load(settings)
    trainings = settings.seeds * len(FRONT_END_TITLES)
    with show_progress(trainings, settings.epochs, stream or sys.stderr, quiet) as on_epoch:
        results = experiment.run(on_epoch)
    seconds = time.perf_counter() - start

    rows = summarize(results)
    titles = {name: title for name, (title, _) in experiment.domains.items()}
    found = findings(rows, titles)
    record = make_record(experiment, results, rows, found, command, created, seconds)
    accuracy, difference = accuracy_table(rows, titles), difference_table(rows, titles)

    examples = make_examples(experiment)
    chart = to_png(draw_differences(rows, titles))
    gallery = [(e, to_png(draw_maps([e], standalone=False), dpi=150)) for e in examples]
    page = directory / "report.html"
    contents: dict[Path, bytes | str] = {
        directory / "runs.csv": runs_csv(results),
        directory / "summary.csv": summary_csv(rows),
        directory / "results.json": json.dumps(record, indent=1, allow_nan=False) + "\n",
        directory / "maps.png": to_png(draw_maps(examples, columns=2)),
        directory / "differences.png": chart,
        page: make_page(record, accuracy, difference, chart, gallery),
    }
    for path, content in contents.items():
        write_atomic(path, content)
    text = _text(accuracy, difference, found, settings)
    return DemoReport(results, tuple(rows), record, text, page)


def _text(
    accuracy: Sequence[Sequence[str]],
    difference: Sequence[Sequence[str]],
    found: Sequence[Finding],
    config: DemoConfig,
) -> str:
    n = f"{config.seeds} seeds"
    parts = [
        f"Accuracy in percent, mean [95 % interval] over {n}:",
        align_columns(accuracy),
        "",
        f"Paired difference in percentage points, mean [95 % interval] over {n}:",
        align_columns(difference),
        "",
        *map(str, found),
    ]
    if config.quick:
        parts.append("Quick run: it shows that everything works; too short for conclusions.")
    return "\n".join(parts)
