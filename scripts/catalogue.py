"""Make the catalogue of the zoo from real models: python scripts/catalogue.py.

With --check, make models anew and compare them with the catalogue that is there. Needs the extra
``zoo``. Keras reads its backend once, so that its models are made by processes of their own: on
torch's meta device, and with jax where torch cannot build them. Weights are never read.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.metadata
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from neurn._files import write_atomic
from neurn.arch import zoo
from neurn.arch.keras import keras_layers
from neurn.arch.read import read_torch as read_torch_model
from neurn.arch.recipes import RECIPES, Recipe

CATALOGUE = Path(__file__).parents[1] / "python" / "neurn" / "arch" / "catalogue.json.gz"
BACKENDS = ("torch", "jax")
NEEDS_JAX = ("NASNetMobile",)
PACKAGES = ("torch", "torchvision", "timm", "keras", "transformers", "pytorchcv", "jax")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=CATALOGUE)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail where a model differs"
    )
    parser.add_argument("--models", metavar="NAME", nargs="+", help="with --check: only these")
    parser.add_argument("--backend", choices=BACKENDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    names = set(options.models or RECIPES)
    if unknown := names - set(RECIPES):
        parser.error(f"argument --models: there is no {min(unknown)!r}")
    if options.models and not options.check:
        parser.error("argument --models: only with --check")
    if options.backend:
        json.dump(read_keras(options.backend, names), sys.stdout)
        return
    models = read_torch(names)
    for backend in BACKENDS:
        if of_keras(backend, names):
            command = [sys.executable, __file__, "--backend", backend]
            command += ["--check", "--models", *sorted(names)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            models |= json.loads(done.stdout)
    if not options.check:
        write(models, options.out)
        return
    differing = [name for name in models if not agrees(name, models[name])]
    if differing:
        sys.exit(f"the catalogue differs: {', '.join(differing)}")
    print(f"{len(models)} models agree with the catalogue")


def agrees(name: str, made: dict[str, Any]) -> bool:
    """Return whether the catalogue holds just these readings of a model."""
    entry = zoo._entry(name)
    if made.get("backend", "") != entry.get("backend", ""):
        return False
    found = {
        method: reading(zoo._layers(each), each["source"])
        for method, each in entry["readings"].items()
    }
    plain: bool = json.loads(json.dumps(found)) == json.loads(json.dumps(made["readings"]))
    return plain


def of_keras(backend: str, names: Collection[str]) -> list[Recipe]:
    """Return the models of Keras that are made with one backend."""
    return [
        recipe
        for recipe in RECIPES.values()
        if recipe.package == "keras"
        and recipe.name in names
        and (recipe.name in NEEDS_JAX) == (backend == "jax")
    ]


def read_keras(backend: str, names: Collection[str]) -> dict[str, Any]:
    """Read the models of Keras that are made with one backend."""
    os.environ["KERAS_BACKEND"] = backend
    import keras

    found = {}
    for recipe in of_keras(backend, names):
        keras.backend.clear_session()  # names of layers count from the start
        with keras.device("cpu" if backend == "jax" else "meta"):
            layers = keras_layers(recipe.build())
        found[recipe.name] = {
            "backend": backend,
            "readings": {"layers": reading(layers, "layers of Keras")},
        }
    return found


def read_torch(names: Collection[str]) -> dict[str, Any]:
    """Read the models of torch."""
    found = {}
    keep = declare_torchvision()
    for recipe in RECIPES.values():
        if recipe.package == "keras" or recipe.name not in names:
            continue
        start = time.perf_counter()
        try:
            with torch.device("meta"):
                model = recipe.build()
        except (NotImplementedError, RuntimeError):  # it computes with numbers while it is made
            model = recipe.build()
        wanted = {"trace": {"input": recipe.shape}, "modules": {}}
        read = {
            method: read_torch_model(model, method, **kwargs) for method, kwargs in wanted.items()
        }
        found[recipe.name] = {
            "readings": {method: reading(*result) for method, result in read.items()}
        }
        print(
            f"{recipe.name}: {len(read['trace'][0])} layers, {time.perf_counter() - start:.2f} s",
            file=sys.stderr,
        )
    del keep
    return found


def declare_torchvision() -> Any:
    """Declare torchvision's own operators where its library does not fit torch's build."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return library
    return None


def reading(layers: Any, source: str) -> dict[str, Any]:
    """Return layers as JSON holds them."""
    return {
        "source": source,
        "layers": [
            [layer.name, layer.kind, layer.module, dict(layer.parameters), layer.shape]
            for layer in layers
        ],
    }


def write(models: dict[str, Any], path: Path) -> None:
    """Write the catalogue: what many layers share is kept once; the same models, the same bytes."""
    shared: dict[str, int] = {}

    def place(value: Any) -> int:
        return shared.setdefault(json.dumps(value, sort_keys=True), len(shared))

    for name in RECIPES:
        for each in models[name]["readings"].values():
            layers = each["layers"]
            each["names"] = [layer[0] for layer in layers]
            each["layers"] = [[place(value) for value in layer[1:]] for layer in layers]
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    record = {
        "made_by": "scripts/catalogue.py",
        "versions": {name: version.partition("+")[0] for name, version in versions.items()},
        "shared": [json.loads(text) for text in shared],
        "models": {name: models[name] for name in RECIPES},
    }
    text = json.dumps(record, separators=(",", ":"))
    write_atomic(path, gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
