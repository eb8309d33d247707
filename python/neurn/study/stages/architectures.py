"""Architectures: how alike the layer sequences of known models are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurn import arch
from neurn._files import write_atomic
from neurn.arch.similarity import VALUES
from neurn.arch.zoom import LARGEST
from neurn.study.graph import Cost, Item, Stage, Work
from neurn.study.read import StudyError

if TYPE_CHECKING:
    from neurn.study.settings import Study

_SCORES, _SEQUENCES = "scores.npz", "sequences.json"


def plan(study: Study, before: Mapping[str, Sequence[Item]]) -> list[Item]:
    """Return one item for the whole set."""
    settings = study.architectures
    if settings is None:
        return []
    known = arch.zoo.names()
    models = arch.zoo.names("published") if settings.models == "published" else settings.models
    for key, names in (("models", models), ("zoom", settings.zoom)):
        for name in names:
            if name not in known:
                raise StudyError(
                    f"architectures.{key}: {name!r} is not in the zoo; neurn arch list shows it"
                )
    for name in to_draw(settings.zoom, models):
        layers = len(arch.sequence(name, settings.vocabulary))
        if layers > LARGEST:
            raise StudyError(
                f"architectures.zoom: {name!r} has {layers} layers; give models of at most "
                f"{LARGEST}, or []"
            )
    parameters = settings.model_dump(mode="json")
    cost = Cost(1 + len(models) ** 2 * 1e-3, 4e8, len(models) ** 2 * 24 + 1e5)
    return [Item("architectures", "similarity", parameters, cost=cost)]


def run(work: Work) -> None:
    """Align all pairs."""
    settings = work.parameters
    found = arch.similarity(
        settings["models"], settings["vocabulary"], oddities=settings["oddities"], threads=1
    )
    values: dict[str, Any] = {
        what: found.values(what) for what in ("index", "correlation", "scores")
    }
    np.savez(work.folder / _SCORES, names=np.array(found.names), **values)
    zoom = {
        name: [str(token) for token in arch.sequence(name, settings["vocabulary"])]
        for name in settings["zoom"]
    }
    write_atomic(work.folder / _SEQUENCES, json.dumps(zoom))


def to_draw(zoom: Sequence[str], models: Sequence[str]) -> Sequence[str]:
    """Return the models to be drawn in detail: three that were compared, otherwise none."""
    return zoom if len(zoom) == 3 and set(zoom) <= set(models) else ()


def read_scores(folder: Path) -> tuple[list[str], dict[str, Any]]:
    """Return names and the matrices ``index``, ``correlation`` and ``scores`` of a result."""
    with np.load(folder / _SCORES) as kept:
        names = [str(name) for name in kept["names"]]
        return names, {what: kept[what] for what in VALUES}


def read_zoom(folder: Path) -> dict[str, list[str]]:
    """Return the tokens of the models that a result zooms in on."""
    found: dict[str, list[str]] = json.loads((folder / _SEQUENCES).read_text(encoding="utf-8"))
    return found


ARCHITECTURES = Stage(
    "architectures",
    "Architectures as sequences",
    (),
    ("neurn.align", "neurn.arch", "neurn._core", "neurn._ops", __name__),
    ("numpy", "scipy"),
    plan,
    run,
)
