"""``neurn demo``: the embedded study, from data to report."""

from __future__ import annotations

import argparse
from importlib import resources
from typing import TYPE_CHECKING

from neurn._command import ArgumentError
from neurn.study.command import finish
from neurn.study.read import StudyError, parse

if TYPE_CHECKING:
    from neurn.study.settings import Study

SETTINGS = "demo.toml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``neurn demo``."""
    parser.add_argument(
        "--out", metavar="DIR", default="neurn-demo", help="results (default: %(default)s)"
    )
    parser.add_argument("--workers", metavar="N", type=int, help="processes (default: 2)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a tenth of the work: shows that everything runs, no conclusions",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan with its costs only")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress, no text")
    parser.set_defaults(no_report=False)


def run(options: argparse.Namespace) -> int:
    """Run the embedded study and report.

    Returns
    -------
    int
        0, or 1 if an item failed.

    Raises
    ------
    ArgumentError
        If an argument is not allowed.
    """
    try:
        return finish(settings(options.quick), options)
    except StudyError as error:
        raise ArgumentError(str(error)) from error


def settings(quick: bool = False) -> Study:
    """Return the embedded study.

    Parameters
    ----------
    quick : bool
        With few neurons, seeds and epochs; the title says so.
    """
    text = resources.files("neurn.study").joinpath(SETTINGS).read_text(encoding="utf-8")
    whole = parse(text, SETTINGS)
    if not quick:
        return whole
    assert whole.recordings is not None and whole.models is not None
    assert whole.selection is not None
    assert whole.compare is not None and whole.generalization is not None
    changes = {
        "title": f"{whole.title} (quick: too short for conclusions)",
        "recordings": {"areas": ("VISp", "VISl"), "neurons": 8, "repetitions": 8},
        "selection": {"per_cluster": 5, "embedding": "pca"},
        "models": {"names": whole.models.names[:1], "epochs": 1},
        "compare": {"permutations": 10, "bootstrap": 10},
        "generalization": {"seeds": 2, "epochs": 1},
    }
    return whole.model_copy(
        update={
            name: change
            if isinstance(change, str)
            else getattr(whole, name).model_copy(update=change)
            for name, change in changes.items()
        }
    )
