"""The section about architectures: the heat table, and three models in detail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neurn import align, arch
from neurn._optional import import_optional
from neurn.arch.plot import new_figure_axes
from neurn.arch.similarity import Array
from neurn.arch.zoom import _LETTERS as LETTERS
from neurn.study.report.parts import Figure, Section, Table
from neurn.study.report.results import Results
from neurn.study.stages.architectures import read_scores, read_zoom, to_draw

_SHORTLIST = 5


def architectures(results: Results) -> Section | None:
    """Show how alike architectures are."""
    folders = results.folders("architectures")
    if not folders:
        return None
    (folder,) = folders.values()
    names, values = read_scores(folder)
    settings = results.settings["architectures"]
    # Sequences come from the catalogue that the stage read; all pairs take less than a second.
    found = arch.similarity(
        settings["models"], settings["vocabulary"], oddities=settings["oddities"]
    )
    about = f"{len(names)} architectures, vocabulary {settings['vocabulary']}, no weights needed"
    zoom = to_draw(settings["zoom"], names)
    parts: list[Figure | Table] = []
    for what, title, words in (
        (
            "correlation",
            "Architectures: correlation of score profiles",
            "Pearson correlation between rows of alignment scores (match 2, mismatch -1, gap "
            "-0.5), the measure of the published heat table. A pair's value depends on the whole "
            "set.",
        ),
        (
            "index",
            "Architectures: similarity index",
            "Of the two alone: 1 means identical sequences, 0 nothing in common.",
        ),
    ):
        frame = _block(names, settings["zoom"])
        axes = new_figure_axes(found, dendrogram=what == "index")
        found.plot(axes, what=what, dendrogram=what == "index",
                   frame=frame if what == "correlation" else ())  # fmt: skip
        framed = ", framed in green: " + ", ".join(frame) if frame and what != "index" else ""
        parts.append(
            Figure(
                f"architectures_{what}",
                title,
                f"{about}{framed}. {words}"
                + (" Like ones side by side (average linkage)." if what == "index" else ""),
                f"Heat table of {len(names)} by {len(names)} architectures.",
                axes.figure,
                _frame(names, values[what]),
            )
        )
    if zoom:
        tokens = read_zoom(folder)
        matrix = align.score_matrix(tokens[zoom[1]], tokens[zoom[2]])
        score = f"{matrix.scores[-1, -1]:g}"
        used = {token for name in zoom[1:] for token in tokens[name]}
        letters = [f"{short} {what}" for short, what in LETTERS.items() if short in used]
        key = f" ({', '.join(letters)})" if letters else ""
        parts[1:1] = [
            Figure(
                "architectures_zoom",
                f"{', '.join(zoom)} in detail",
                f"Above: the layers of {', '.join(zoom)}; violet: without a match in the middle "
                "one. Below: score matrices (match 1, mismatch -2, gap -2), with arrows to all "
                "best predecessors and a best path in black.",
                f"Three drawings of the layers of {', '.join(zoom)} and three score matrices.",
                arch.zoom({name: name for name in zoom}, settings["vocabulary"]),
            ),
            Figure(
                "architectures_matrix",
                f"{zoom[1]} against {zoom[2]}, layer by layer",
                f"Layers of {zoom[1]} from top to bottom, of {zoom[2]} from left to right{key}. "
                "Each cell: the best score of the two beginnings that end there (match 1, mismatch "
                "-2, gap -2), with arrows to where it comes from. In black the path of the whole "
                f"alignment, which scores {score}.",
                f"Score matrix of {zoom[1]} and {zoom[2]}; the alignment's score is {score}.",
                matrix.plot(names=(zoom[1], zoom[2])).figure,
            ),
        ]
    short = found.shortlist(min(_SHORTLIST, len(names)))
    nearest = _nearest(names, values["index"])
    parts.append(
        Table(
            "architectures_nearest",
            "Nearest architecture of each",
            f"{about}; by similarity index. {len(short)} that cover the set best: "
            f"{', '.join(short)}.",
            nearest,
            lines=len(nearest) if len(nearest) <= 20 else 15,
        )
    )
    off = values["index"][~np.eye(len(names), dtype=bool)]
    findings = [
        f"{about}: median similarity index of two {np.median(off):.2f}; {len(short)} that cover "
        f"the set: {', '.join(short)}."
    ]
    intro = (
        "Architectures are read as sequences of layers and aligned globally (Needleman-Wunsch), "
        "each with each. This says how alike networks are built, not how alike they see."
    )
    return Section("architectures", "Architectures", intro, parts, findings)


def _block(names: list[str], some: Sequence[str]) -> list[str]:
    """Return some names in their order where they stand side by side, and otherwise none."""
    places = sorted(names.index(name) for name in some if name in names)
    together = len(places) == len(some) > 1 and places[-1] - places[0] == len(some) - 1
    return [names[place] for place in places] if together else []


def _frame(names: list[str], values: Array) -> Any:
    return import_optional("pandas", "arch").DataFrame(
        values, columns=names, index=names
    ).rename_axis("architecture").reset_index()  # fmt: skip


def _nearest(names: list[str], index: Array) -> Any:
    others = index.copy()
    np.fill_diagonal(others, -np.inf)
    place = others.argmax(axis=1)
    return import_optional("pandas", "arch").DataFrame(
        {
            "architecture": names,
            "nearest": [names[i] for i in place],
            "index": others.max(axis=1),
        }
    )
