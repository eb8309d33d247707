"""Draws everything that a study has brought, and writes page, pictures and tables."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from neurn._files import write_atomic
from neurn._optional import import_optional
from neurn.study.read import StudyError
from neurn.study.report.architectures import architectures
from neurn.study.report.comparison import comparison, grids
from neurn.study.report.framework import framework
from neurn.study.report.generalization import generalization
from neurn.study.report.page import make_page
from neurn.study.report.parts import Figure, Section, Table
from neurn.study.report.recordings import data, representations, selection
from neurn.study.report.results import Results

SECTIONS: tuple[Callable[[Results], Section | None], ...] = (
    framework,
    data,
    selection,
    representations,
    grids,
    comparison,
    architectures,
    generalization,
)
FORMATS = ("png", "svg")
PAGE = "report.html"

_DPI = 160  # of pictures in the page, sharp on dense screens
_CSS = 96
_WIDEST = 960


def make_report(
    folder: str | Path,
    *,
    formats: Sequence[str] = FORMATS,
    progress: Callable[[str], object] | None = None,
) -> Path:
    """Write the report of what a study has brought so far.

    Parameters
    ----------
    folder : str or Path
        Of the study. ``report.html``, ``figures/`` and ``tables/`` in it are replaced.
    formats : sequence of str
        Of the pictures beside the page: png, svg, pdf.
    progress : callable, optional
        Told what is being drawn.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    StudyError
        If the folder holds no study.
    """
    unknown = [kind for kind in formats if kind not in ("png", "svg", "pdf")]
    if unknown:
        raise StudyError(f"formats must be of png, svg, pdf, got {unknown[0]!r}")
    results = Results(Path(folder))
    sections: list[Section] = []
    for make in SECTIONS:
        if progress is not None:
            progress(make.__name__.replace("_", " "))
        section = make(results)
        if section is not None:
            sections.append(section)
    place = results.store.folder
    with import_optional("matplotlib", "plot").rc_context({"svg.hashsalt": "neurn"}):
        pictures = _write_parts(place, sections, formats)
    page = make_page(results.about, _notes(results), sections, pictures, formats)
    write_atomic(place / PAGE, page)
    return place / PAGE


def _write_parts(
    place: Path, sections: Sequence[Section], formats: Sequence[str]
) -> dict[str, tuple[bytes, tuple[int, int]]]:
    """Write pictures and tables; return the PNG of each figure and its size in the page."""
    fresh = {name: place / f".{name}.part" for name in ("figures", "tables")}
    for folder in fresh.values():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    pictures = {}
    for part in [part for section in sections for part in section.parts]:
        if isinstance(part, Figure):
            drawn = {kind: _render(part.figure, kind) for kind in {"png", *formats}}
            for kind in formats:
                (fresh["figures"] / f"{part.name}.{kind}").write_bytes(drawn[kind])
            inches = part.figure.get_size_inches()
            scale = min(_CSS, _WIDEST / inches[0])
            size = round(inches[0] * scale), round(inches[1] * scale)
            pictures[part.name] = drawn["png"], size
        frame = part.frame if isinstance(part, Table) else part.data
        if frame is not None:
            frame.to_csv(fresh["tables"] / f"{part.name}.csv", index=False, lineterminator="\n")
    for name, folder in fresh.items():
        shutil.rmtree(place / name, ignore_errors=True)
        folder.rename(place / name)
    return pictures


def _render(figure: Any, kind: str) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"CreationDate": None} if kind == "pdf" else {}
    figure.savefig(buffer, format=kind, dpi=_DPI, metadata=metadata)
    return buffer.getvalue()


def _notes(results: Results) -> list[str]:
    """Return warnings for the top of the page."""
    notes = []
    if results.simulated:
        notes.append(
            "The recordings in this report are simulated: they show that the method runs and what "
            "it recovers, and say nothing about mice. Figures made of them are marked."
        )
        others = results.settings.get("generalization") or {}
        if others.get("source") == "digits":
            notes[-1] += " Digits, photographs, trained networks and architectures are real."
    missing = [i for i in results.about["items"] if i["status"] not in ("done", "kept")]
    if missing:
        names = ", ".join(f"{i['stage']}/{i['name']}" for i in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        notes.append(
            f"This study is not complete: {len(missing)} of {len(results.about['items'])} work "
            f"items are missing ({names}{more}). Run it again to take it up."
        )
    return notes
