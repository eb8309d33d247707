"""The section about unseen domains: what the layer does to images, and to accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from neurn import generalize
from neurn._files import open_atomic
from neurn._optional import import_optional
from neurn.generalize import domains, shifts
from neurn.generalize.datasets import EvaluationSet, Images
from neurn.generalize.variants import title
from neurn.layer import NeuRN
from neurn.mouse.figures import _figure as new_figure
from neurn.mouse.figures import _style as style
from neurn.study.report.parts import Figure, Section, Table
from neurn.study.report.results import Results
from neurn.study.stages.generalization import read_results

EXAMPLES = 10
GAP, FRAME_GREY = 1, 0.75  # pixels between images, and their grey level
COLOUR_MAP = "inferno"
# Stops of inferno, each with a mark of its own.
MARKS = (("o", "#6a176e"), ("s", "#e8760a"), ("^", "#0b0724"), ("D", "#b5367a"), ("v", "#808080"))


@dataclass(frozen=True)
class Example:
    """Some images of one domain and their NeuRN maps.

    Attributes
    ----------
    title, recipe : str
    images : ndarray of uint8, shape (N, 3, H, W)
    maps : ndarray of float32, shape (N, 3, H, W)
        Output of the published layer, 0 to 1.
    """

    title: str
    recipe: str
    images: Images
    maps: npt.NDArray[np.float32]


def generalization(results: Results) -> Section | None:
    """Show accuracy on domains never seen, with and without NeuRN, in pairs."""
    folders = results.folders("generalization")
    if not folders:
        return None
    found = read_results(list(folders.values()))
    settings = results.settings["generalization"]
    baseline, *others = settings["front_ends"]
    seeds = len(found.seeds)
    real = "scikit-learn's 1,797 real handwritten digits" if settings["source"] == "digits" else (
        f"real images of {settings['source']}"
    )  # fmt: skip
    about = (
        f"Trained on {real}, tested on domains never seen; {', '.join(found.models)}, "
        f"{settings['epochs']} epochs, {seeds} seeds"
    )
    parts: list[Figure | Table] = []
    shown = examples([settings["source"], *settings["targets"]], settings)
    if shown:
        parts.append(
            Figure(
                "neurn_at_work",
                "What the layer shows",
                f"Real images of {len(shown)} domains (the first {EXAMPLES} of each) above their "
                "NeuRN maps, 3 x 3, one maximum for an image. Grey images from black (0) to white "
                "(255), maps in inferno from 0 to 1; colour images and their maps in RGB. "
                + " ".join(f"{each.title}: {each.recipe}." for each in shown if each.recipe),
                "Rows of digits in several domains, each above its maps of local structure.",
                draw_examples(shown, columns=2),
            )
        )
    findings = []
    for model in found.models:
        one = found.select(model=model)
        frame = _table(one, settings["front_ends"], baseline)
        parts.append(
            Figure(
                f"differences_{_file(model)}",
                f"Accuracy with and without a front end: {model}",
                f"{about}. Paired difference to {title(baseline)}, same seed, split, weights and "
                f"batches: mean and 95 % t interval over {seeds} seeds. Filled: the interval "
                "excludes 0. Intervals are not adjusted for the number of domains; the table's p "
                "values are (exact paired test, Holm).",
                f"Differences of accuracy for each domain with intervals, for {model}.",
                draw_differences(one, others, baseline),
                frame,
            )
        )
        parts.append(
            Table(
                f"accuracy_{_file(model)}",
                f"Accuracy: {model}",
                f"{about}. Percent, mean [95 % t interval]; difference in percentage points.",
                _words(one, settings["front_ends"], baseline),
            )
        )
        findings += [_finding(one, name, baseline, model) for name in others]
    intro = (
        "NeuRN(a x + b) = NeuRN(x): what changes brightness, contrast or polarity only cannot "
        "change what a network behind it sees. Whether it helps elsewhere is what is measured "
        "here, beside an edge filter of the same invariance. No image or label of a target plays a "
        "part in training or selection."
    )
    return Section("generalization", "Unseen domains", intro, parts, findings)


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
        made.append(Example(words, recipe, images, maps))
    return made


def draw_examples(shown: Sequence[Example], columns: int = 1) -> Any:
    """Draw domains as pairs of rows: images above, NeuRN maps below.

    Parameters
    ----------
    shown : sequence of Example
    columns : int
        Number of domains side by side.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows = -(-len(shown) // columns)
    with style():
        figure = new_figure(5.2 * columns, rows * 1.24 + 0.5)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, example in zip(grid.flat, shown, strict=False):
            grey = bool((example.images == example.images[:, :1]).all())
            above = _strip(example.images / 255.0, None)
            below = _strip(example.maps, COLOUR_MAP if grey else None)
            axes.set_title(example.title, loc="left", pad=3)
            axes.imshow(np.concatenate([above, below[GAP:]]))
            for height, label in ((0.75, "image"), (0.25, "NeuRN")):
                axes.text(-0.01, height, label, transform=axes.transAxes, ha="right", va="center")
        figure.colorbar(
            import_optional("matplotlib.cm", "plot").ScalarMappable(cmap=COLOUR_MAP),
            ax=grid,
            location="bottom",
            fraction=0.02,
            aspect=40,
            label="NeuRN: local standard deviation / its maximum in the image",
        )
    return figure


def draw_differences(results: generalize.Results, names: Sequence[str], baseline: str) -> Any:
    """Draw the paired difference of accuracy to the baseline per domain, with 95 % intervals.

    Parameters
    ----------
    results : Results
        Of one model.
    names : sequence of str
        Front ends.
    baseline : str

    Returns
    -------
    matplotlib.figure.Figure
        Filled marks: the interval excludes 0. Open marks: it does not.
    """
    places = _tested(results)
    with style():
        figure = new_figure(5.6, 0.5 * len(places) + 1.1)
        axes = figure.subplots()
        axes.axvline(0, color="0.35", linewidth=1, zorder=1)
        offsets = np.linspace(-0.2, 0.2, len(names)) if len(names) > 1 else [0.0]
        for name, offset, (marker, colour) in zip(names, offsets, MARKS, strict=False):
            for place, domain in enumerate(places):
                interval = results.difference(name, baseline, domain)
                ends = [100 * interval.low, 100 * interval.high]
                clear = interval.verdict != "undecided"
                axes.plot(ends, [place + offset] * 2, "|-", color=colour, linewidth=1.5, zorder=2)
                axes.plot(
                    100 * interval.mean,
                    place + offset,
                    marker,
                    color=colour,
                    markerfacecolor=colour if clear else "white",
                    markersize=5,
                    zorder=3,
                )
            axes.plot([], [], marker + "-", color=colour, markersize=5, label=title(name))
        axes.set_yticks(range(len(places)), [results.title(domain) for domain in places])
        axes.margins(x=0.06)
        axes.set_ylim(len(places) - 0.5, -0.5)
        axes.set_xlabel(f"accuracy difference to {title(baseline).lower()}\n(percentage points)")
        axes.grid(axis="x", color="0.88", linewidth=0.8)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(left=False)
        figure.legend(loc="outside upper right", ncols=len(names), frameon=False)
    return figure


def save_neurn_at_work(path: str | Path, columns: int = 2, dpi: int = 200) -> None:
    """Write a PNG of digits in every domain of the demo above their NeuRN maps.

    Parameters
    ----------
    path : str or Path
        The PNG file; its directory must exist.
    columns : int
        Number of domains side by side.
    dpi : int
        Dots per inch.
    """
    from neurn.study.settings import Generalization

    settings = Generalization()
    names = [settings.source, *settings.targets]
    figure = draw_examples(examples(names, settings.model_dump()), columns)
    with open_atomic(Path(path)) as file:
        figure.savefig(file, format="png", dpi=dpi)


def _tested(results: generalize.Results) -> list[str]:
    there = {run.domain for run in results.runs}
    return [domain for domain in results.domains if domain in there]


def _table(results: generalize.Results, names: Sequence[str], baseline: str) -> Any:
    """Return accuracies and paired differences with intervals and p values, as fractions."""
    lines = []
    for name in names:
        tested = _tested(results)
        raw = [
            generalize.paired_test(
                [
                    round(a.accuracy * a.n) - round(b.accuracy * b.n)
                    for a, b in results.pairs(name, baseline, domain)
                ]
            )
            for domain in tested
        ]
        corrected = generalize.holm(raw)
        for domain, p, adjusted in zip(tested, raw, corrected, strict=True):
            accuracy = results.accuracy(name, domain)
            line = {
                "domain": domain,
                "front_end": name,
                "accuracy": accuracy.mean,
                "accuracy_low": accuracy.low,
                "accuracy_high": accuracy.high,
                "seeds": accuracy.n,
            }
            if name != baseline:
                change = results.difference(name, baseline, domain)
                line |= {"difference": change.mean, "difference_low": change.low}
                line |= {"difference_high": change.high, "p": p, "p_holm": adjusted}
            lines.append(line)
    return import_optional("pandas", "study").DataFrame(lines)


def _words(results: generalize.Results, names: Sequence[str], baseline: str) -> Any:
    lines = []
    for domain in results.domains:
        line = {"domain": results.title(domain)}
        about = results.info.get(domain)
        if about is not None and about.no_data:
            line |= {title(name): "no data" for name in names}
        else:
            for name in names:
                line[title(name)] = _percent(results.accuracy(name, domain))
            for name in names:
                if name != baseline:
                    change = results.difference(name, baseline, domain)
                    line[f"{title(name)} - {title(baseline).lower()}"] = _points(change)
        lines.append(line)
    return import_optional("pandas", "study").DataFrame(lines)


def _finding(results: generalize.Results, name: str, baseline: str, model: str) -> str:
    """Say where a front end does better, worse or undecided; a claim needs its interval."""
    places: dict[str, list[str]] = {"higher": [], "lower": [], "undecided": []}
    for domain in _tested(results):
        change = results.difference(name, baseline, domain)
        places[change.verdict].append(f"{results.title(domain)} ({_points(change)})")
    words = {"higher": "helps on", "lower": "hurts on", "undecided": "undecided on"}
    said = [f"{words[verdict]} {', '.join(found)}" for verdict, found in places.items() if found]
    return (
        f"{title(name)} before {model}, against {title(baseline).lower()}, percentage points of "
        f"accuracy over {len(results.seeds)} seeds: {'; '.join(said)}."
    )


def _percent(interval: generalize.Interval) -> str:
    return f"{100 * interval.mean:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _points(interval: generalize.Interval) -> str:
    return f"{100 * interval.mean:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"


def _strip(values: npt.NDArray[Any], colour_map: str | None) -> npt.NDArray[np.floating[Any]]:
    """Join images (N, 3, H, W), 0 to 1, into one framed row of RGB (H + 2 gaps, width, 3)."""
    if colour_map is None:
        pictures = np.moveaxis(values, 1, -1)
    else:
        pictures = import_optional("matplotlib", "plot").colormaps[colour_map](values[:, 0])
        pictures = pictures[..., :3]
    frame = ((0, 0), (GAP, GAP), (GAP, 0), (0, 0))
    framed = np.pad(pictures, frame, constant_values=FRAME_GREY)
    row = np.concatenate(list(framed), axis=1)
    return np.pad(row, ((0, 0), (0, GAP), (0, 0)), constant_values=FRAME_GREY)


def _file(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)
