"""Generalization: networks trained on one domain, with and without NeuRN, tested on others."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurn import generalize
from neurn._files import write_atomic
from neurn.generalize import domains, shifts
from neurn.generalize.evaluation import RUNS_FILE
from neurn.generalize.models import resolve_model
from neurn.generalize.variants import resolve_variants
from neurn.study.graph import NEURN, Cost, Item, Stage, Work
from neurn.study.read import StudyError

if TYPE_CHECKING:
    from neurn.study.settings import Study

_INFO, _ORDER = "domains.json", "order.json"
_TRAINING = ("epochs", "batch_size", "learning_rate", "optimizer", "schedule", "device")
_SECONDS = 0.25  # of an epoch of a small network behind a front end


def plan(study: Study, before: Mapping[str, Sequence[Item]]) -> list[Item]:
    """Return an item for each model and seed; front ends of a seed share all that is drawn."""
    settings = study.generalization
    if settings is None:
        return []
    names = [settings.source, *settings.targets]
    try:
        for name in names:
            if shifts.is_shift(name):
                shifts.shift(name)
        resolve_variants(settings.front_ends)
        for model in settings.models:
            resolve_model(model)
    except (ValueError, ImportError) as error:
        raise StudyError(f"generalization: {error}") from None
    files = tuple(
        file for name in names if not shifts.is_shift(name) for file in _files(name, settings.data)
    )
    common = settings.model_dump(mode="json", exclude={"models", "seeds"})
    trainings = len(settings.front_ends) * settings.epochs * settings.processes
    cost = Cost(2 + trainings * _SECONDS, 1e9, 1e5)
    return [
        Item(
            "generalization",
            f"{model} seed {seed}",
            {**common, "model": model, "seed": study.seed + seed},
            files=files,
            cost=cost,
        )
        for model in settings.models
        for seed in range(settings.seeds)
    ]


def run(work: Work) -> None:
    """Train and test one model with one seed behind every front end."""
    settings = dict(work.parameters)
    if settings["processes"] == 1:
        train(settings, work.folder)
        return
    write_atomic(work.folder / _ORDER, json.dumps(settings))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", str(settings["processes"]), "-m", __name__, str(work.folder)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    (work.folder / _ORDER).unlink()
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "Error: " in line]
        raise RuntimeError(
            errors[0].strip() if errors else f"torchrun failed: {done.stderr[-500:]}"
        )


def train(settings: Mapping[str, Any], folder: Path) -> None:
    """Evaluate and write the runs, under torchrun by the first process only."""
    found = generalize.evaluate(
        settings["model"],
        settings["source"],
        settings["targets"],
        settings["front_ends"],
        [settings["seed"]],
        generalize.TrainingConfig(**{key: settings[key] for key in _TRAINING}),
        name=settings["model"],
        data=settings["data"] or None,
        size=settings["size"],
        out=folder,
    )
    if generalize.distributed.rank() == 0:
        info = {name: dataclasses.asdict(about) for name, about in found.info.items()}
        for about in info.values():
            about["severity"] = None if math.isnan(about["severity"]) else about["severity"]
        write_atomic(folder / _INFO, json.dumps(info))


def read_results(folders: Sequence[Path]) -> generalize.Results:
    """Return the runs of some results, joined."""
    parts = []
    for folder in folders:
        info = json.loads((folder / _INFO).read_text(encoding="utf-8"))
        for about in info.values():
            about["severity"] = math.nan if about["severity"] is None else about["severity"]
        known = {name: generalize.DomainInfo(**about) for name, about in info.items()}
        parts.append(generalize.Results.read_jsonl(folder / RUNS_FILE, known))
    found = generalize.Results.join(parts)
    # Domains without data have no run, and a row all the same.
    return dataclasses.replace(found, domains=tuple(found.info))


def _files(name: str, data: str) -> list[str]:
    """Return the files that a domain consists of; none where there is no data."""
    own, equals, path = name.partition("=")
    if equals and own:
        found = [Path(path)]
    else:
        known = domains.KNOWN.get(name)
        if known is None:
            raise StudyError(
                f"generalization: {name!r} is neither a shift ({', '.join(shifts.FAMILIES)}) nor a "
                f"domain ({', '.join(domains.names())})"
            )
        if not known.files or not data:
            return []
        try:
            found = list(domains._find(name, known, data))
        except domains.NoDataError:
            return []
    return sorted(
        str(file)
        for place in found
        for file in (place.rglob("*") if place.is_dir() else [place])
        if file.is_file()
    )


GENERALIZATION = Stage(
    "generalization",
    "Generalization to unseen domains",
    (),
    ("neurn.generalize", "neurn.front_ends", *NEURN, __name__),
    ("numpy", "scikit-learn", "scipy", "torch"),
    plan,
    run,
)

if __name__ == "__main__":  # in a process of torchrun
    _folder = Path(sys.argv[1])
    train(json.loads((_folder / _ORDER).read_text(encoding="utf-8")), _folder)
