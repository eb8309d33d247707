"""``neurn study``: init, run, report."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurn import study
from neurn._command import ArgumentError, add_actions
from neurn._files import write_atomic
from neurn.study.store import LOG, Store

if TYPE_CHECKING:
    from neurn.study.settings import Study

TEMPLATE = "template.toml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions of ``neurn study`` and their arguments."""
    add = add_actions(parser)
    init = add("init", _init, "write a commented example of a study's file")
    init.add_argument("file", metavar="FILE", nargs="?", default="study.toml")
    init.add_argument("--force", action="store_true", help="replace a file that is there")

    run = add("run", _run, "run a study, or what is left of it, and report")
    run.add_argument("file", metavar="FILE", help="the study, study.toml")
    run.add_argument("--out", metavar="DIR", required=True, help="results; used again where it is")
    run.add_argument("--workers", metavar="N", type=int, help="processes (default: of the file)")
    run.add_argument("--dry-run", action="store_true", help="print the plan with its costs only")
    run.add_argument("--no-report", action="store_true", help="no pages and pictures at the end")

    report = add("report", _report, "write page, pictures and tables of what a study has brought")
    report.add_argument("folder", metavar="DIR", help="results of neurn study run")
    report.add_argument(
        "--formats",
        nargs="+",
        choices=("png", "svg", "pdf"),
        default=["png", "svg"],
        help="of the pictures (default: png svg)",
    )


def run(options: argparse.Namespace) -> int:
    """Do what the arguments say.

    Returns
    -------
    int
        0, or 1 if an item failed.

    Raises
    ------
    ArgumentError
        If an argument, or the study that it names, is not allowed.
    """
    try:
        return int(options.act(options) or 0)
    except study.StudyError as error:
        raise ArgumentError(str(error)) from error


def _init(options: argparse.Namespace) -> None:
    path = Path(options.file)
    if path.exists() and not options.force:
        raise ArgumentError(
            f"argument FILE: {options.file!r} is there already; --force replaces it"
        )
    if not path.parent.is_dir():
        raise ArgumentError(f"argument FILE: there is no directory {str(path.parent)!r}")
    write_atomic(path, template())
    if options.json:
        print(json.dumps({"written": str(path)}))
    elif not options.quiet:
        print(f"{path}: read it, change it, then neurn study run {path} --out results")


def template() -> str:
    """Return the commented example."""
    return resources.files("neurn.study").joinpath(TEMPLATE).read_text(encoding="utf-8")


def _run(options: argparse.Namespace) -> int:
    return finish(study.read(options.file), options)


def finish(settings: Study, options: argparse.Namespace) -> int:
    """Run a study as the options say: plan only, or all of it with report and summary.

    Parameters
    ----------
    settings : Study
    options : Namespace
        Of ``neurn study run``.

    Returns
    -------
    int
        0, or 1 if an item failed.
    """
    if options.workers is not None and not 1 <= options.workers <= 1024:
        raise ArgumentError(f"argument --workers: give 1 to 1024, got {options.workers}")
    if options.dry_run:
        _print_plan(settings, Store(Path(options.out)), options)
        return 0
    silent = options.quiet or options.json
    result = study.run(
        settings,
        options.out,
        workers=options.workers,
        command=options.command_line,
        quiet=silent,
    )
    page = None
    if not options.no_report:
        from neurn.study.report import make_report

        page = make_report(options.out, progress=None if silent else _say)
    if options.json:
        about = {"folder": str(result.folder), "done": result.done, "kept": result.kept}
        about |= {"report": None if page is None else str(page)}
        about |= {"failed": result.failed, "skipped": list(result.skipped)}
        print(json.dumps(about | {"seconds": round(result.seconds, 2)}))
    elif not options.quiet:
        print(f"{result.done} done, {result.kept} kept from before, in {result.seconds:.0f} s")
        if page is not None:
            print(f"Report: {page}")
    for name, sentence in result.failed.items():
        print(f"neurn {options.command}: {name}: {sentence}", file=sys.stderr)
    if not result.complete:
        count = len(result.skipped)
        skipped = f"{count} more {'was' if count == 1 else 'were'} skipped; " if count else ""
        details = f"{skipped}details are in {result.folder / LOG}"
        print(f"neurn {options.command}: {details}", file=sys.stderr)
    return 0 if result.complete else 1


def _report(options: argparse.Namespace) -> None:
    from neurn.study.report import make_report

    say = None if options.quiet or options.json else _say
    page = make_report(options.folder, formats=options.formats, progress=say)
    if options.json:
        print(json.dumps({"report": str(page)}))
    elif not options.quiet:
        print(f"Report: {page}")


def _say(section: str) -> None:
    print(f"drawing {section}", file=sys.stderr, flush=True)


def _print_plan(settings: Study, store: Store, options: argparse.Namespace) -> None:
    plan = study.make_plan(settings, store)
    rows = []
    for stage in plan.stages:
        items = plan.of(stage.name)
        kept = [p for p in items if store.has(stage.name, p.key)]
        left = [p.item.cost for p in items if p not in kept]
        rows.append(
            {
                "stage": stage.name,
                "items": len(items),
                "kept": len(kept),
                "seconds": round(sum(cost.seconds for cost in left), 1),
                "memory": int(max((cost.memory for cost in left), default=0)),
                "disk": int(sum(cost.disk for cost in left)),
            }
        )
    if options.json:
        print(json.dumps({"title": settings.title, "stages": rows}))
        return
    if options.quiet:
        return
    print(f"{'stage':<16}{'items':>7}{'kept':>7}{'core time':>12}{'memory':>10}{'disk':>10}")
    for row in [*rows, _total(rows)]:
        sizes = f"{row['memory'] / 1e9:>7.1f} GB{row['disk'] / 1e9:>7.2f} GB"
        print(
            f"{row['stage']:<16}{row['items']:>7}{row['kept']:>7}{_time(row['seconds']):>12}{sizes}"
        )
    print("core time, memory (of the largest item) and disk are estimates of what is left to do")


def _total(rows: list[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {"stage": "all"}
    for key in ("items", "kept", "seconds", "disk"):
        total[key] = sum(row[key] for row in rows)
    total["memory"] = max((row["memory"] for row in rows), default=0)
    return total


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
