"""The section about the study itself: what is done to what, and how many of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurn._figures import new_figure, style
from neurn._optional import import_optional
from neurn.study.report.parts import Figure, Section
from neurn.study.report.results import Results

_MICE, _NETWORKS, _BOTH = "#5b3a8e", "#e08214", "#444444"
# Where a box stands, in boxes: mice above, networks below, what is shown and compared between.
_PLACES: Mapping[str, tuple[float, float, str]] = {
    "stimuli": (0.0, 1.0, _BOTH),
    "recordings": (1.0, 1.5, _MICE),
    "statistics": (2.0, 1.5, _MICE),
    "representations": (3.0, 1.5, _MICE),
    "selection": (4.0, 1.5, _MICE),
    "models": (1.5, 0.5, _NETWORKS),
    "features": (3.0, 0.5, _NETWORKS),
    "compare": (5.0, 1.0, _BOTH),
    "architectures": (1.5, -0.5, _NETWORKS),
    "generalization": (3.0, -0.5, _NETWORKS),
}
_ARROWS = (
    ("stimuli", "recordings"),
    ("recordings", "statistics"),
    ("statistics", "representations"),
    ("representations", "selection"),
    ("selection", "compare"),
    ("stimuli", "models"),
    ("models", "features"),
    ("features", "compare"),
)
_WIDTH, _HEIGHT, _LINE = 0.8, 0.66, 0.17


def framework(results: Results) -> Section | None:
    """Show the steps of the study and how they hang together."""
    texts = _texts(results)
    if not texts:
        return None
    shown = "mice violet, networks orange"
    if "compare" in texts:
        shown = (
            "the same images are shown to mice (violet) and to networks (orange), and what both "
            "make of them is compared"
        )
    source = " The recordings are simulated." if results.simulated else ""
    figure = Figure(
        "framework",
        "The steps of this study",
        f"From left to right: {shown}.{source} Counts are of what this study did; architectures "
        "and unseen domains need no recordings.",
        "Boxes with arrows: "
        + "; ".join(" ".join(text.split("\n")) for text in texts.values())
        + ".",
        _draw(texts),
    )
    intro = "Each step is kept under the content of its inputs, its parameters and its code."
    return Section("steps", "What was done", intro, [figure])


def _texts(results: Results) -> dict[str, str]:
    """Return a heading and a line of counts for each box that this study has."""
    settings = results.settings
    texts: dict[str, str] = {}
    images, neurons = results.images, results.statistics
    if images is not None:
        kind = "simulated" if results.simulated else "natural scenes"
        texts["stimuli"] = f"Stimuli\n{images.sizes['stimulus']} images\n{kind}"
    if neurons is not None:
        count, sessions = neurons.sizes["neuron"], len(set(neurons["experiment"].values.tolist()))
        kind = "simulated" if results.simulated else "two-photon"
        texts["recordings"] = f"Recordings\n{sessions} sessions\n{kind}"
        texts["statistics"] = f"Responses\n{count:,} neurons"
    maps = results.maps
    if maps is not None:
        texts["representations"] = (
            f"Representations\n{maps.sizes['y']} x {maps.sizes['x']} pixels\nof each neuron"
        )
    chosen = results.chosen
    if chosen is not None:
        texts["selection"] = f"Choice\n{chosen:,} neurons"
    features = results.folders("features")
    if features:
        models = settings["models"]
        layers, count = models["layers"], len(models["names"])
        texts["models"] = (
            f"Networks\n{_count(count, 'model')}\n{len(models['front_ends'])} front ends"
        )
        texts["features"] = f"Features\n{_count(layers, 'layer')}\nof each model"
    if results.folders("compare"):
        metrics = len(settings["compare"]["metrics"])
        texts["compare"] = f"Comparison\n{_count(metrics, 'measure')},\nnulls, ceilings"
    if results.folders("architectures"):
        models = settings["architectures"]["models"]
        which = "44 published" if models == "published" else f"{len(models)} models"
        texts["architectures"] = f"Architectures\n{which}\naligned in pairs"
    if results.folders("generalization"):
        training = settings["generalization"]
        targets = _count(len(training["targets"]), "target")
        texts["generalization"] = f"Unseen domains\n{targets}\n{training['seeds']} seeds"
    return texts


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _draw(texts: Mapping[str, str]) -> Any:
    patches = import_optional("matplotlib.patches", "plot")
    rows = [_PLACES[name][1] for name in texts]
    low, high = min(rows) - 0.45, max(rows) + 0.45
    with style():
        figure = new_figure(9.2, 0.3 + 1.25 * (high - low))
        axes = figure.add_subplot()
        axes.set_axis_off()
        axes.set_xlim(-0.45, 5.45)
        axes.set_ylim(low, high)
        for name, text in texts.items():
            x, y, colour = _PLACES[name]
            axes.add_patch(
                patches.FancyBboxPatch(
                    (x - _WIDTH / 2, y - _HEIGHT / 2),
                    _WIDTH,
                    _HEIGHT,
                    boxstyle="round,pad=0,rounding_size=0.06",
                    facecolor=colour + "14",
                    edgecolor=colour,
                    linewidth=1.3,
                )
            )
            title, *lines = text.split("\n")
            top = y + _LINE * len(lines) / 2
            axes.text(x, top, title, ha="center", va="center", weight="bold", fontsize=8.5)
            for i, line in enumerate(lines, 1):
                axes.text(x, top - i * _LINE, line, ha="center", va="center", color="0.25")
        for start, end in _ARROWS:
            if start in texts and end in texts:
                _arrow(axes, _PLACES[start], _PLACES[end])
    return figure


def _arrow(axes: Any, start: tuple[float, float, str], end: tuple[float, float, str]) -> None:
    level = start[1] == end[1]
    # Between rows an arrow leaves and enters at the sides, a little towards the other row.
    lean = 0.0 if level else (0.14 if end[1] > start[1] else -0.14)
    axes.annotate(
        "",
        (end[0] - _WIDTH / 2 - 0.01, end[1] - lean),
        (start[0] + _WIDTH / 2 + 0.01, start[1] + lean),
        arrowprops={"arrowstyle": "-|>", "color": "0.35", "shrinkA": 0, "shrinkB": 0},
    )
