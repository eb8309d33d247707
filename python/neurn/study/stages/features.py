"""Features: what layers of models make of the stimuli, behind each front end."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from neurn import features
from neurn._files import write_atomic
from neurn._optional import MissingExtraError, import_optional
from neurn.study.graph import NEURN, Cost, Item, Stage, Work
from neurn.study.read import StudyError
from neurn.study.stages.stimuli import LIBRARIES, read_images

if TYPE_CHECKING:
    import xarray as xr

    from neurn.study.settings import Study

_ACTIVITY, _ABOUT = "activity.npz", "layers.json"


def plan(study: Study, before: Mapping[str, Sequence[Item]]) -> list[Item]:
    """Return an item for each model and front end."""
    settings = study.models
    if settings is None:
        return []
    common = settings.model_dump(mode="json", exclude={"names", "front_ends"})
    common["seed"] = study.seed
    inputs = tuple(item.id for item in before["stimuli"])
    items = []
    for name in settings.names:
        files = _files(name, settings.weights)
        _check(name, settings.front_ends)
        for front_end in settings.front_ends:
            parameters = {**common, "model": name, "front_end": front_end}
            seconds = 20 if settings.train == "none" else 3 + 3 * settings.epochs
            cost = Cost(seconds, 2e9, 2e6)
            items.append(Item("features", f"{name} {front_end}", parameters, inputs, files, cost))
    return items


def run(work: Work) -> None:
    """Extract the mean activity of layers for all images."""
    settings = work.parameters
    images = read_images(work.of("stimuli")[0])
    model = _model(settings)
    names = features.layer_names(model)
    places = np.unique(np.linspace(0, len(names) - 1, settings["layers"]).round().astype(int))
    found = features.extract(
        model,
        images / np.float32(255),
        [names[i] for i in places],
        reduce="mean",
        device=settings["device"],
        seed=settings["seed"],
        name=settings["model"].rpartition(":")[2],
        weights=_said(model, settings),
    )
    # Layers that run more than once come as name:2, ...
    arrays: dict[str, Any] = {str(i): layer.values for i, layer in enumerate(found.values())}
    np.savez(work.folder / _ACTIVITY, **arrays)
    about = [
        {"layer": name, "attrs": {k: v for k, v in layer.attrs.items() if _plain(v)}}
        for name, layer in found.items()
    ]
    stimulus = images["stimulus"].values.tolist()
    write_atomic(work.folder / _ABOUT, json.dumps({"stimulus": stimulus, "layers": about}))


def read_features(folder: Path) -> dict[str, xr.DataArray]:
    """Return the activity of each layer in a result, dims (stimulus, feature)."""
    xarray = import_optional("xarray", "mouse")
    about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    with np.load(folder / _ACTIVITY) as kept:
        return {
            layer["layer"]: xarray.DataArray(
                kept[str(i)],
                dims=("stimulus", "feature"),
                coords={"stimulus": about["stimulus"]},
                name=layer["layer"],
                attrs=layer["attrs"],
            )
            for i, layer in enumerate(about["layers"])
        }


def _check(name: str, front_ends: Sequence[str]) -> None:
    """Say before anything runs that a model or front end is unknown."""
    from neurn.features.models import _recipe

    try:
        _recipe(name)
        for front_end in front_ends:
            features.with_front_end(nn.Identity(), front_end)
    except (ValueError, MissingExtraError) as error:
        raise StudyError(f"models: {error}") from None


def _files(name: str, weights: str) -> tuple[str, ...]:
    """Return what decides over a model beside its name: its source, if it is your own, or weights.

    Raises
    ------
    StudyError
        If a module of your own is not there.
    """
    from neurn.features.models import _cached, _recipe

    module, colon, _ = name.partition(":")
    if colon:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):  # of a package around it
            spec = None
        if spec is None:
            raise StudyError(
                f"models: {name!r}: there is no module {module!r}, neither installed nor here; run "
                "from the directory that holds it"
            )
        return (spec.origin,) if spec.has_location and spec.origin else ()
    try:
        file = _cached(_recipe(name)) if weights == "cached" else None
    except (ImportError, ValueError, RuntimeError):  # said when the model is made
        return ()
    return () if file is None else (str(file),)


def _model(settings: Mapping[str, Any]) -> nn.Module:
    model: nn.Module = features.build(
        settings["model"], settings["weights"], settings["seed"], settings["size"] or None
    )
    model = features.with_front_end(model, settings["front_end"])
    if settings["train"] == "digits":
        trained = features.finetune(
            model,
            "digits",
            epochs=settings["epochs"],
            seed=settings["seed"],
            device=settings["device"],
        )
        return trained.model
    return model


def _said(model: nn.Module, settings: Mapping[str, Any]) -> str | None:
    """Return what results say of the weights; None: what is known of them."""
    if settings["train"] == "digits" and ":" in settings["model"]:
        epochs = "1 epoch" if settings["epochs"] == 1 else f"{settings['epochs']} epochs"
        return f"trained on digits, {epochs}, seed {settings['seed']}"
    return f"random weights (seed {settings['seed']})" if ":" in settings["model"] else None


def _plain(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool, list, tuple)) or value is None


FEATURES = Stage(
    "features",
    "Features of models",
    ("stimuli",),
    ("neurn.features", "neurn.generalize", "neurn.front_ends", *NEURN, __name__),
    (*LIBRARIES, "timm", "torch", "torchvision"),
    plan,
    run,
)
