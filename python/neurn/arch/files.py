"""Models in files: ONNX, torch.export, Keras, and lists of layers in JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from neurn._optional import import_optional
from neurn.arch.graph import exported
from neurn.arch.keras import import_keras, keras_layers
from neurn.arch.layers import Layer
from neurn.arch.onnx import onnx_layers

SUFFIXES = (".onnx", ".pt2", ".keras", ".json")


def is_file(model: Any) -> bool:
    """Return whether a path is meant, or a text that ends as files do."""
    return isinstance(model, Path) or (isinstance(model, str) and Path(model).suffix in SUFFIXES)


def read_file(path: Path) -> tuple[tuple[Layer, ...], str]:
    """Return the layers of a model in a file, and how they were read.

    Parameters
    ----------
    path : Path
        ``.onnx``; ``.pt2``, of `torch.export.save`; ``.keras``; ``.json``, what
        ``neurn arch show --json`` prints, or a list of kinds.

    Raises
    ------
    FileNotFoundError
        If there is none.
    MissingExtraError
        If the package that reads it is not installed.
    ValueError
        If it ends otherwise, or does not hold such a model.
    """
    suffix = path.suffix
    if suffix not in SUFFIXES:
        raise ValueError(
            f"model must be a file that ends in {', '.join(SUFFIXES)}, got {str(path)!r}; files of "
            "weights do not tell layers: build the model and give that"
        )
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    if suffix == ".onnx":
        import_optional("onnx", "onnx")
    if suffix == ".keras":
        keras = import_keras()
    try:
        if suffix == ".onnx":
            layers = onnx_layers(path)
            if not layers:
                raise ValueError("it holds no operators")
            return layers, "operators of ONNX"
        if suffix == ".pt2":
            return exported(torch.export.load(path)), "graph"
        if suffix == ".keras":
            model = keras.saving.load_model(path, compile=False)
            return keras_layers(model), "layers of Keras"
        return _json(json.loads(path.read_text("utf-8")))
    except Exception as error:  # each reader raises its own
        first = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"model must be a whole {suffix} file, and {str(path)!r} cannot be read: "
            f"{first or type(error).__name__}"
        ) from error


def _json(record: Any) -> tuple[tuple[Layer, ...], str]:
    if isinstance(record, list) and all(isinstance(each, str) for each in record):
        return tuple(Layer(str(place), kind) for place, kind in enumerate(record)), "list"
    if not isinstance(record, dict) or "layers" not in record:
        raise ValueError("it is neither a list of kinds nor of neurn arch show --json")
    layers = []
    for each in record["layers"]:
        told = {key: _tuple(value) for key, value in each.get("parameters", {}).items()}
        layers.append(
            Layer(each["name"], each["kind"], each["class"], told, _tuple(each.get("shape")))
        )
    return tuple(layers), str(record.get("source", "list"))


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
