"""What a run leaves behind for others to check: versions, data, settings, results."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from neurn._optional import import_optional
from neurn.demo.experiment import THREADS, Experiment
from neurn.demo.summary import Finding, SummaryRow
from neurn.generalize import FRONT_ENDS, Results, lenet
from neurn.generalize.datasets import sha256_of
from neurn.generalize.training import SELECTION_RULE

RUN_KEYS = ("seed", "front_end", "domain", "accuracy", "n")
MODULES = ("neurn", "torch", "numpy", "sklearn", "scipy", "matplotlib", "PIL")


def make_record(
    experiment: Experiment,
    results: Results,
    rows: Sequence[SummaryRow],
    found: Sequence[Finding],
    command: str,
    created: str,
    seconds: float,
) -> dict[str, Any]:
    """Collect everything about a run in one object that ``json`` can write.

    Parameters
    ----------
    experiment : Experiment
    results : Results
    rows : sequence of SummaryRow
    found : sequence of Finding
    command : str
        The command line that started the run.
    created : str
        Time of the run, ISO 8601 with zone.
    seconds : float
        Wall time of loading, training and testing.

    Returns
    -------
    dict
    """
    config, source = experiment.config, experiment.source
    return {
        "format": "neurn demo 1",
        "created": created,
        "command": command,
        "seconds": round(seconds, 1),
        "quick": config.quick,
        "versions": {
            "python": platform.python_version(),
            **{module: import_optional(module).__version__ for module in MODULES},
        },
        "machine": {
            "platform": platform.platform(),
            "device": "cpu",
            "cpus": os.cpu_count(),
            "torch_threads": THREADS,
        },
        "data": {
            "digits": {
                "from": "sklearn.datasets.load_digits",
                "n": len(source.data),
                "sha256": source.data.sha256(),
            },
            "photographs": {
                "from": "sklearn.datasets.load_sample_images (china.jpg, flower.jpg)",
                "n": len(experiment.photos),
                "sha256": sha256_of(*experiment.photos),
            },
        },
        "protocol": {
            "seeds": list(results.seeds),
            "split": {
                "train": source.n_train,
                "validation": source.n_validation,
                "test": source.n_test,
                "rule": "stratified by class, at random, new for each seed, without overlap",
            },
            "network": str(lenet()),
            "parameters": sum(p.numel() for p in lenet().parameters()),
            "training": asdict(config.training),
            "selection": SELECTION_RULE,
            "front_ends": {name: str(FRONT_ENDS[name]()) for name in results.front_ends},
            "interval": "95 % Student t over seeds; differences are paired by seed",
        },
        "domains": [
            {"name": name, "title": title, "recipe": recipe}
            for name, (title, recipe) in experiment.domains.items()
        ],
        "findings": [asdict(finding) for finding in found],
        "summary": [
            {
                **{"domain": row.domain, "front_end": row.front_end},
                **{"baseline": row.baseline or None, "n_images": row.n_images},
                **asdict(row.interval),
            }
            for row in rows
        ],
        "trainings": [
            {"seed": t.seed, "front_end": t.front_end, **asdict(t.fit)} for t in results.trainings
        ],
        "runs": [{key: getattr(run, key) for key in RUN_KEYS} for run in results.runs],
    }
