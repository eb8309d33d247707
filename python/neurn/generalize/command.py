"""``neurn generalize``: train on a source, test on targets, write tables and pictures."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from neurn._command import ArgumentError
from neurn.front_ends import FRONT_ENDS
from neurn.generalize import distributed, domains, models, report, sweeps
from neurn.generalize.augmentations import AUGMENTATIONS
from neurn.generalize.progress import show_progress
from neurn.generalize.results import Results
from neurn.generalize.shifts import FAMILIES
from neurn.generalize.sweeps import Sweep
from neurn.generalize.tables import align_columns
from neurn.generalize.training import OPTIMIZERS, PRECISIONS, SCHEDULES, TrainingConfig

LISTS = ("domains", "shifts", "models", "front-ends")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``neurn generalize``."""
    none = argparse.SUPPRESS  # what is not given is left to Sweep, or to the file
    parser.add_argument("--out", metavar="DIR", default="neurn-generalize", help="output directory")
    parser.add_argument("--data", metavar="DIR", help="folder with the files of named domains")
    parser.add_argument(
        "--from",
        dest="runs",
        metavar="FILE",
        help="runs.csv or runs.jsonl: report on it, train nothing",
    )
    parser.add_argument("--config", metavar="FILE", help="TOML with sweeps, in place of the below")
    parser.add_argument(
        "--source", metavar="NAME", nargs="+", default=none, help="default: digits, embedded"
    )
    parser.add_argument(
        "--targets",
        metavar="NAME",
        nargs="+",
        default=none,
        help="domains, NAME=PATH for your own, shifts such as contrast=0.1+noise=0.02; "
        "default: standard, six shifts of the source",
    )
    parser.add_argument(
        "--curves", metavar="SHIFT", nargs="+", default=none, help="shifts at all severities"
    )
    parser.add_argument(
        "--model",
        default=none,
        help="a known name, torchvision/NAME, timm/NAME or module:callable; default: lenet",
    )
    parser.add_argument(
        "--front-ends",
        metavar="NAME",
        nargs="+",
        default=none,
        help="such as none neurn neurn:5 sobel neurn+randconv; the first is the baseline; "
        "default: none neurn sobel",
    )
    parser.add_argument("--seeds", metavar="N", type=int, default=none, help="default: 5")
    parser.add_argument("--first", metavar="N", type=int, default=none, help="images of the source")
    parser.add_argument("--limit", metavar="N", type=int, default=none, help="of each test set")
    parser.add_argument("--size", metavar="PIXELS", type=int, default=none, help="default: 32")
    parser.add_argument(
        "--protocol", choices=sweeps.PROTOCOLS, default=none, help="default: single"
    )
    parser.add_argument(
        "--oracle",
        action="store_true",
        default=none,
        help="also note the best epoch by target labels, as a marked bound",
    )
    training = parser.add_argument_group("training")
    for name, kind in (
        *(("epochs", int), ("batch-size", int), ("learning-rate", float), ("weight-decay", float)),
        *(("momentum", float), ("warmup", float), ("accumulate", int), ("label-smoothing", float)),
        *(("compile", str), ("device", str), ("threads", int)),
    ):
        training.add_argument(f"--{name}", metavar="X", type=kind, default=none)
    training.add_argument("--optimizer", choices=OPTIMIZERS, default=none)
    training.add_argument("--schedule", choices=SCHEDULES, default=none)
    training.add_argument("--amp", choices=PRECISIONS, default=none)
    training.add_argument("--channels-last", action="store_true", default=none)
    training.add_argument("--checkpoints", action="store_true", help="after every epoch")
    training.add_argument("--tensorboard", action="store_true", help="write event files")
    parser.add_argument("--list", choices=LISTS, help="print what is known, and stop")
    parser.add_argument("--json", action="store_true", help="print the record and runs as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress, no tables")


def run(options: argparse.Namespace) -> int:
    """Do what the arguments say and return 0.

    Raises
    ------
    ArgumentError
        If they do not go together, or data do not fit.
    """
    try:
        if options.list:
            _list(options.list)
        elif options.runs is not None:
            lines = options.runs.endswith(".jsonl")
            read = Results.read_jsonl if lines else Results.read_csv
            found = read(options.runs)
            found = replace(found, info=report.known_info(found.domains))
            report.save(found, options.out)
            if not options.quiet:
                print(f"{report.text(found)}\n\nReport: {Path(options.out) / 'report.html'}")
        else:
            _evaluate(options)
    except (ValueError, TypeError, FloatingPointError, domains.NoDataError) as error:
        raise ArgumentError(str(error)) from error
    return 0


def _evaluate(options: argparse.Namespace) -> None:
    chosen = _sweeps(options)
    parts = []
    with distributed.process_group(chosen[0].training.place.type):
        quiet = options.quiet or not distributed.is_first()
        trainings = sum(sweep.trainings for sweep in chosen)
        with show_progress(trainings, sys.stderr, quiet) as on_epoch:
            for sweep in chosen:
                parts.append(
                    sweep.run(
                        options.data,
                        options.out,
                        on_epoch,
                        checkpoints=options.checkpoints,
                        tensorboard=options.tensorboard,
                        command=options.command_line,
                    )
                )
        if not distributed.is_first():
            return
        found = Results.join(parts) if len(parts) > 1 else parts[0]
        report.save(found, options.out)
    if options.json:
        frame = found.to_frame()
        runs = json.loads(frame.to_json(orient="records"))
        print(json.dumps({"record": found.record, "runs": runs}, indent=1, default=str))
    elif not options.quiet:
        print(f"{report.text(found)}\n\nReport: {Path(options.out) / 'report.html'}")


def _sweeps(options: argparse.Namespace) -> list[Sweep]:
    known = {f.name for f in fields(Sweep)} | {f.name for f in fields(TrainingConfig)}
    given: dict[str, Any] = {k: v for k, v in vars(options).items() if k in known}
    if options.config is not None:
        if given:
            name = min(given).replace("_", "-")
            raise ArgumentError(f"argument --{name}: not beside --config; write it into the file")
        return sweeps.read(options.config)
    defaults = Sweep().training
    given.setdefault("epochs", defaults.epochs)
    given.setdefault("learning_rate", defaults.learning_rate)
    if given.get("model", Sweep.model) == Sweep.model:
        given.setdefault("threads", defaults.threads)
    return [Sweep.of(given)]


def _list(kind: str) -> None:
    if kind == "domains":
        for row in domains.table():
            print(f"{row['name']}: {row['title']}, {row['what']}")
            print(f"    licence: {row['licence']}; files: {row['files']}; sha256: {row['sha256']}")
            print(f"    {row['how to get it']}")
    elif kind == "shifts":
        rows = [
            [name, family.title, family.parameter, " ".join(f"{v:g}" for v in family.levels)]
            for name, family in FAMILIES.items()
        ]
        print(align_columns([["shift", "title", "number", "severities"], *rows]))
    elif kind == "models":
        print("\n".join(models.names()))
    else:
        print("\n".join([*FRONT_ENDS, *(f"+{name}" for name in AUGMENTATIONS)]))
