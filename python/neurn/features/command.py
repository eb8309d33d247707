"""``neurn features``: activations of a model's layers as a file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from neurn import features, mouse
from neurn._command import ArgumentError, tell
from neurn._files import open_atomic
from neurn.features.extract import LAYERS, REDUCTIONS

_IMAGES = (".nwb", ".npy", ".npz")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``neurn features``."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help="a name of the 13 published ones (printed without a name), torchvision/NAME, "
        "timm/NAME or module:callable",
    )
    parser.add_argument(
        "--images",
        metavar="FILE",
        help="a recording (.nwb), or an array (images, H, W) or (images, C, H, W), uint8 or 0 to "
        "1 (.npy, .npz with one array)",
    )
    parser.add_argument("--out", metavar="FILE", help=".npz: an array for each layer")
    parser.add_argument(
        "--layers", metavar="LAYER", nargs="+", default=["conv"], help=f"names, or {LAYERS}"
    )
    parser.add_argument("--reduce", choices=REDUCTIONS, default="none")
    parser.add_argument("--with", dest="front_end", metavar="FRONT_END", default="none")
    parser.add_argument("--weights", metavar="FROM", default="cached")
    parser.add_argument("--input", metavar="N", type=int, help="side of the model's input")
    parser.add_argument("--seed", metavar="N", type=int, default=0)
    parser.add_argument("--batch-size", metavar="N", type=int, default=32)
    parser.add_argument("--max-gb", metavar="X", type=float, default=4.0, help="default: 4")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--amp", action="store_true", help="mixed precision")
    parser.add_argument("--cache", metavar="DIR")
    parser.add_argument("--dry-run", action="store_true", help="name the layers, compute nothing")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress, no text")


def run(options: argparse.Namespace) -> int:
    """Do what the arguments say and return 0.

    Raises
    ------
    ArgumentError
        If an argument, or a file that it names, is not allowed.
    """
    if options.model is None:
        tell(options, "\n".join(features.PUBLISHED), published=list(features.PUBLISHED))
        return 0
    try:
        _run(options)
    except (ValueError, TypeError) as error:
        raise ArgumentError(str(error)) from error
    return 0


def _run(options: argparse.Namespace) -> None:
    layers: Any = options.layers[0] if len(options.layers) == 1 else options.layers
    model = features.build(options.model, options.weights, options.seed, options.input)
    whole = features.with_front_end(model, options.front_end)
    if options.dry_run:
        names = features.layer_names(whole, layers)
        text = "\n".join([f"{model.name}: {model.weights}", *names])
        tell(options, text, model=model.name, weights=model.weights, layers=names)
        return
    for name, value, suffixes in (
        ("--images", options.images, _IMAGES),
        ("--out", options.out, (".npz",)),
    ):
        if value is None or Path(value).suffix.lower() not in suffixes:
            raise ArgumentError(f"argument {name}: give a file {', '.join(suffixes)}, got {value}")
    found = features.extract(
        whole,
        _images(Path(options.images)),
        layers,
        reduce=options.reduce,
        max_bytes=int(options.max_gb * 1e9),
        batch_size=options.batch_size,
        device=options.device,
        amp=options.amp,
        seed=options.seed,
        cache=options.cache,
        progress=not (options.quiet or options.json),
    )
    arrays = {f"layer{i}": maps.values for i, maps in enumerate(found.values())}
    about = json.dumps({**found.attrs, "layers": list(found)})
    with open_atomic(Path(options.out)) as file:
        np.savez(file, about=np.array(about), **arrays)  # type: ignore[arg-type]
    shapes = {name: list(maps.shape) for name, maps in found.items()}
    tell(options, str(found), written=options.out, layers=shapes)


def _images(path: Path) -> Any:
    if path.suffix.lower() == ".nwb":
        images = mouse.open_nwb(str(path)).images()
        scaled = images.astype("float32") / max(float(images.max()), 1.0)
        return scaled.assign_attrs(images.attrs)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    loaded = np.load(path)
    if path.suffix.lower() == ".npz":
        if len(loaded.files) != 1:
            raise ArgumentError(
                f"argument --images: {str(path)!r} must hold one array, got {loaded.files}"
            )
        loaded = loaded[loaded.files[0]]
    return loaded
