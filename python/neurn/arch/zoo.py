"""Known architectures by name: their sequences at once, the models themselves if asked for."""

from __future__ import annotations

import difflib
import gzip
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

from neurn.arch.layers import Layer, LayerSequence, tokenize
from neurn.arch.recipes import CURRENT, PUBLISHED, RECIPES, Recipe
from neurn.arch.vocabulary import Vocabulary, find

KINDS = ("all", "published", "current")


def names(which: str = "all") -> list[str]:
    """List the architectures.

    Parameters
    ----------
    which : {"all", "published", "current"}
        ``"published"``: the 44 of the published heatmap, in its order. ``"current"``: others, with
        the package that defines them in their name (``"timm/convnextv2_tiny"``).

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        If `which` is another one.
    """
    if which not in KINDS:
        raise ValueError(f"which must be one of {', '.join(map(repr, KINDS))}, got {which!r}")
    recipes: tuple[Recipe, ...] = (*PUBLISHED, *CURRENT)
    if which != "all":
        recipes = PUBLISHED if which == "published" else CURRENT
    return [recipe.name for recipe in recipes]


def sequence(
    name: str, vocabulary: str | Vocabulary = "canonical", *, unknown: str | None = None
) -> LayerSequence:
    """Return the sequence of an architecture from the catalogue; nothing is imported or built.

    Parameters
    ----------
    name : str
    vocabulary, unknown
        As in `neurn.arch.sequence`. ``"published"`` names the modules in the order of their
        definition, any other vocabulary the functions of a forward pass; models of Keras have
        layers, which both name.

    Returns
    -------
    LayerSequence

    Raises
    ------
    ValueError
        If the name is unknown; and as `neurn.arch.sequence`.

    Examples
    --------
    >>> from neurn import arch
    >>> arch.zoo.sequence("VGG16").counts()["conv"]
    13
    """
    entry = _entry(name)
    vocabulary = find(vocabulary)
    readings = entry["readings"]
    order = ("modules", "trace") if vocabulary.name == "published" else ("trace", "modules")
    reading = readings.get("layers") or readings[order[0]]
    layers = _layers(reading)
    if reading is readings.get("modules"):
        # The modules as they are defined have no shapes; what ran under their names has.
        shapes = {layer.name: layer.shape for layer in _layers(readings["trace"])}
        layers = tuple(replace(layer, shape=shapes.get(layer.name)) for layer in layers)
    return tokenize(layers, vocabulary, unknown, f"zoo: {reading['source']}")


def published(oddities: bool = False) -> dict[str, LayerSequence]:
    """Return the 44 published architectures, in letters, in the order of the heatmap.

    Parameters
    ----------
    oddities : bool
        As the heatmap shows them: EfficientNetB2 to B7 are B1's sequence, and ``inception_V3`` is
        that of Keras again.

    Returns
    -------
    dict of str to LayerSequence
    """
    return {
        recipe.name: sequence((recipe.shown_as if oddities else "") or recipe.name, "published")
        for recipe in PUBLISHED
    }


def build(name: str) -> Any:
    """Make the real model, with random weights.

    Parameters
    ----------
    name : str

    Returns
    -------
    torch.nn.Module or keras.Model

    Raises
    ------
    MissingExtraError
        If the package that defines it is not installed; the extra ``zoo`` brings them all.
    ValueError
        If the name is unknown.
    """
    return recipe(name).build()


def recipe(name: str) -> Recipe:
    """Return how an architecture is built."""
    if name not in RECIPES:
        close = difflib.get_close_matches(name, RECIPES, 3, 0.5)
        hint = f"; close to it: {', '.join(close)}" if close else ""
        raise ValueError(f"name must be one of arch.zoo.names(), got {name!r}{hint}")
    return RECIPES[name]


def provenance(name: str) -> dict[str, str]:
    """Return where an architecture's sequence comes from: package, version, target."""
    found = recipe(name)
    versions = _catalogue()["versions"]
    return {
        "package": found.package,
        "version": versions.get(found.package, ""),
        "target": found.target,
        "backend": _entry(name).get("backend", ""),
    }


def _entry(name: str) -> Mapping[str, Any]:
    recipe(name)
    entry: Mapping[str, Any] = _catalogue()["models"][name]
    return entry


@cache
def _catalogue() -> Any:
    data = resources.files("neurn.arch").joinpath("catalogue.json.gz").read_bytes()
    return json.loads(gzip.decompress(data))


def _layers(reading: Mapping[str, Any]) -> tuple[Layer, ...]:
    shared = _catalogue()["shared"]
    found = []
    for name, (kind, module, parameters, shape) in zip(
        reading["names"], reading["layers"], strict=True
    ):
        values = {key: _tuple(value) for key, value in shared[parameters].items()}
        found.append(Layer(name, shared[kind], shared[module], values, _tuple(shared[shape])))
    return tuple(found)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
