"""The section about unseen domains: what the layer does to images, and to accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from neurn import generalize
from neurn._optional import import_optional
from neurn.generalize import domains, shifts, tables
from neurn.generalize.datasets import EvaluationSet
from neurn.generalize.figures import Example, draw_differences, draw_maps
from neurn.generalize.report import METHOD
from neurn.generalize.summary import findings, summarize
from neurn.layer import NeuRN
from neurn.study.report.parts import Figure, Section, Table
from neurn.study.report.results import Results
from neurn.study.stages.generalization import read_results

EXAMPLES = 10


def generalization(results: Results) -> Section | None:
    """Show accuracy on domains never seen, with and without NeuRN, in pairs."""
    folders = results.folders("generalization")
    if not folders:
        return None
    found = read_results(list(folders.values()))
    settings = results.settings["generalization"]
    seeds = len(found.seeds)
    digits = settings["source"] == "digits"
    real = "scikit-learn's 1,797 real handwritten digits" if digits else settings["source"]
    about = (
        f"Trained on {real} alone, tested on domains never seen; {', '.join(found.models)}, "
        f"{settings['epochs']} epochs, {seeds} seeds"
    )
    parts: list[Figure | Table] = []
    shown = examples([settings["source"], *settings["targets"]], settings)
    if shown:
        parts.append(
            Figure(
                "neurn_at_work",
                "What the layer shows",
                f"Real images: the first {EXAMPLES} of each of {len(shown)} domains above their "
                "NeuRN maps, 3 x 3, one maximum for an image. Grey images from black (0) to white "
                "(255), maps in inferno from 0 to 1; colour images and their maps in RGB. "
                + " ".join(f"{each.title}: {each.recipe}." for each in shown if each.recipe),
                "Rows of digits in several domains, each above its maps of local structure.",
                draw_maps(shown, columns=2),
            )
        )
    titles = {domain: found.title(domain) for domain in found.domains}
    said = []
    for model in found.models:
        rows = summarize(found.select(model=model))
        parts.append(
            Figure(
                f"differences_{_file(model)}",
                f"Accuracy with and without a front end: {model}",
                f"{about}. Paired difference to the same network without a front end: mean and "
                f"95 % t interval over {seeds} seeds. Filled: the interval excludes 0. Intervals "
                "are not adjusted for the number of domains; p values of the table are.",
                f"Differences of accuracy for each domain with intervals, for {model}.",
                draw_differences(rows, titles),
                found.select(model=model).to_frame(),
            )
        )
        parts += [
            Table(
                f"accuracy_{_file(model)}",
                f"Accuracy: {model}",
                f"{about}. Percent, mean [95 % t interval over seeds].",
                _frame(tables.accuracy_table(rows, titles)),
            ),
            Table(
                f"accuracy_differences_{_file(model)}",
                f"Paired differences: {model}",
                f"{about}. Percentage points, mean [95 % t interval over seeds]. {METHOD}",
                _frame(tables.difference_table(rows, titles, tests=True)),
            ),
        ]
        said += [f"{model}, {seeds} seeds. {finding}" for finding in findings(rows, titles)]
    intro = (
        "NeuRN(a x + b) = NeuRN(x): what changes brightness, contrast or polarity only cannot "
        "change what a network behind it sees. Whether it helps elsewhere is what is measured "
        "here, beside an edge filter of the same invariance. No image or label of a target plays a "
        "part in training or selection."
    )
    return Section("generalization", "Unseen domains", intro, parts, said)


def examples(names: Sequence[str], settings: Mapping[str, Any], seed: int = 0) -> list[Example]:
    """Show the first images of the source in each domain, with their NeuRN maps.

    Parameters
    ----------
    names : sequence of str
        The source, then shifts or domains; those without data are left out.
    settings : mapping
        ``data`` and ``size``, as of a study.
    seed : int
        For the random parts of shifts.
    """
    made = []
    first: EvaluationSet | None = None
    for name in names:
        if shifts.is_shift(name) and first is not None:
            change = shifts.shift(name)
            images, words, recipe = change.render(first, seed).images, change.title, change.recipe
        else:
            domain = domains.load_or_no_data(name, settings["data"] or None, settings["size"])
            if isinstance(domain, generalize.NoData):
                continue
            test = domain.as_target(EXAMPLES)
            first = first or test
            images, words, recipe = test.images, domain.title, ""
        maps = NeuRN()(torch.from_numpy(images.astype(np.float32) / 255)).numpy()
        made.append(Example(name, words, recipe, images, maps))
    return made


def _frame(table: Sequence[Sequence[str]]) -> Any:
    header, *lines = table
    return import_optional("pandas", "study").DataFrame(lines, columns=header)


def _file(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)
