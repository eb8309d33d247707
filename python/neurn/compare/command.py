"""``neurn compare``: recordings against models, with and without a front end."""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from neurn import compare, features, mouse
from neurn._command import ArgumentError, tell
from neurn._device import check_device
from neurn._files import write_atomic
from neurn._optional import import_optional
from neurn.compare import plots
from neurn.compare.inputs import RENAMED, as_activity, varying
from neurn.mouse import tables

METRICS = ("rmse", "rsa", "cka", "shape", "regression", "distributions")
_PER_NEURON = ("rmse", "regression")
_PER_GROUP = ("rsa", "cka", "shape")
_PRINTED = ("score", "null", "floor", "constant", "ceiling", "wasserstein", "ks", "overlap")
_VERSIONS = ("neurn", "torch", "numpy", "scipy", "torchvision", "timm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``neurn compare``."""
    parser.add_argument("--recordings", nargs="+", metavar="FILE", required=True, help="NWB files")
    parser.add_argument(
        "--models",
        nargs="+",
        metavar="MODEL",
        required=True,
        help="names of the 13 published ones, torchvision/NAME, timm/NAME or module:callable; "
        "published: all 13",
    )
    parser.add_argument(
        "--metrics", nargs="+", choices=METRICS, default=["rmse", "rsa"], metavar="METRIC"
    )
    parser.add_argument(
        "--with",
        dest="front_ends",
        nargs="+",
        metavar="FRONT_END",
        default=["neurn"],
        help="held against the model without (default: neurn)",
    )
    parser.add_argument("--out", metavar="DIR", required=True, help="tables and pictures")
    parser.add_argument("--layers", nargs="+", metavar="LAYER", default=["conv"])
    parser.add_argument("--by", metavar="COLUMN", nargs="+", default=["area", "genotype_group"])
    parser.add_argument(
        "--weights",
        metavar="FROM",
        default="cached",
        help="cached: trained ones that are on this machine, else random; random; or a file",
    )
    parser.add_argument("--size", metavar="N", type=int, default=14, help="of maps, in pixels")
    parser.add_argument("--input", metavar="N", type=int, help="side of the models' input")
    parser.add_argument(
        "--reliable", metavar="R", type=float, help="only neurons with this reliability or more"
    )
    parser.add_argument("--permutations", metavar="N", type=int, default=200)
    parser.add_argument("--bootstrap", metavar="N", type=int, default=200)
    parser.add_argument("--seed", metavar="N", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-plots", action="store_true")
    parser.add_argument("--dry-run", action="store_true", help="open all, compute nothing")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress, no text")


def run(options: argparse.Namespace) -> int:
    """Do what the arguments say and return 0.

    Raises
    ------
    ArgumentError
        If an argument, or a file that it names, is not allowed.
    """
    try:
        _run(options)
    except (ValueError, TypeError) as error:
        raise ArgumentError(str(error)) from error
    return 0


def _run(options: argparse.Namespace) -> None:
    names = [
        name
        for given in options.models
        for name in (features.PUBLISHED if given == "published" else [given])
    ]
    if len(set(names)) != len(names) or len(set(options.front_ends)) != len(options.front_ends):
        raise ArgumentError("arguments --models and --with: give each name once")
    fronts = ["none", *(name for name in options.front_ends if name != "none")]
    check_device(options.device)
    recordings = [mouse.open_nwb(path) for path in options.recordings]
    columns = [RENAMED.get(name, name) for name in recordings[0].neuron_coords()]
    for name in options.by:
        if name not in columns:
            raise ArgumentError(f"argument --by: must be of {', '.join(columns)}, got {name!r}")
    models = [_build(name, options) for name in names]
    for front in fronts:
        features.with_front_end(models[0], front)
    if options.dry_run:
        for recording in recordings:
            about = {"file": recording.path, "neurons": len(recording)}
            tell(options, f"{recording.path}: {recording}", **about)
        for model in models:
            layers = features.layer_names(model, _layers(options))
            about = {"model": model.name, "layers": len(layers), "weights": model.weights}
            tell(options, f"{model.name}: {len(layers)} layers, {model.weights}", **about)
        text = f"front ends: {', '.join(fronts)}; metrics: {', '.join(options.metrics)}"
        tell(options, text, front_ends=fronts, metrics=options.metrics)
        return
    folder = Path(options.out)
    (folder / "parts").mkdir(parents=True, exist_ok=True)
    neurons, images = _neurons(recordings, options)
    seen = _digest(neurons, images)
    parts: dict[str, list[Any]] = {name: [] for name in (*options.metrics, "profiles")}
    for k, model in enumerate(models):
        choice = None
        for front in fronts:
            _say(options, f"{model.name} ({k + 1} of {len(models)}), front end: {front}")
            found = features.extract(
                features.with_front_end(model, front),
                images,
                _layers(options),
                reduce="mean",
                device=options.device,
                cache=folder / "features",
                seed=options.seed,
                progress=not (options.quiet or options.json),
            )
            if choice is None:
                # One layer for all front ends, chosen without any: they differ in nothing else.
                choice = compare.choose_layer(neurons, found, seed=options.seed)
            layer, rest, half = choice.layer, choice.rest, choice.chosen_on
            key = (seen, found.attrs["key"], model.name, model.weights)
            scores = partial(_profile, neurons.isel(neuron=half), found, options)
            parts["profiles"].append(_part(folder, options, ("profile", *key), scores))
            for metric in options.metrics:
                score = partial(
                    _score, metric, neurons.isel(neuron=rest), found[layer], images, options
                )
                parts[metric].append(_part(folder, options, (metric, *key, layer), score))
    _write(folder, parts, options)


def _build(name: str, options: argparse.Namespace) -> features.NamedModel:
    return features.build(name, options.weights, options.seed, options.input)


def _layers(options: argparse.Namespace) -> Any:
    return options.layers[0] if len(options.layers) == 1 else options.layers


def _neurons(recordings: list[Any], options: argparse.Namespace) -> tuple[Any, Any]:
    """Return single trials of all neurons with their reliability, and the images."""
    images = recordings[0].images()
    found = []
    for recording in recordings:
        if recording.images().shape[0] != images.shape[0]:
            raise ArgumentError(f"argument --recordings: {recording.path} shows other images")
        trials = mouse.responses(recording)["trials"]
        reliability = mouse.reliability(trials, seed=options.seed)
        found.append(trials.assign_coords(reliability=("neuron", reliability.values)))
        _say(options, f"{recording.path}: {len(recording)} neurons")
    joined = tables.join(found)
    if options.reliable is not None:
        joined = joined.isel(neuron=joined["reliability"].values >= options.reliable)
    if joined.sizes["neuron"] < 4:
        raise ArgumentError(
            f"there must be 4 neurons or more, got {joined.sizes['neuron']}: argument --reliable "
            "leaves too few, or the recordings hold no more"
        )
    names = images["stimulus"].values if "stimulus" in images.coords else range(len(images))
    shown = [k for k in names if k in joined["stimulus"].values]
    joined = joined.sel(stimulus=shown)
    images = images.assign_coords(stimulus=list(names)).sel(stimulus=shown)
    scaled = images.astype("float32") / max(float(images.max()), 1.0)
    return joined, scaled.assign_attrs(simulated=int(joined.attrs.get("simulated", 0)))


def _digest(*arrays: Any) -> str:
    """Return a digest of arrays and of what they say of neurons and scenes."""
    digest = hashlib.sha256()
    for array in arrays:
        for part in (array, *(array[name] for name in sorted(map(str, array.coords)))):
            digest.update(f"{part.name} {part.dims} {part.shape} {part.dtype}".encode())
            values = np.ascontiguousarray(part.values)
            digest.update(str(values.tolist()).encode() if values.dtype == object else values.data)
    return digest.hexdigest()


def _profile(neurons: Any, found: features.Features, options: argparse.Namespace) -> Any:
    pandas = import_optional("pandas", "mouse")
    return pandas.concat(
        [
            compare.cka(neurons, layer, permutations=100, bootstrap=20, seed=options.seed)
            for layer in found.values()
            if varying(as_activity(layer).values).any()
        ],
        ignore_index=True,
    )


def _score(metric: str, neurons: Any, layer: Any, images: Any, options: argparse.Namespace) -> Any:
    shared = {"permutations": options.permutations, "seed": options.seed, "device": options.device}
    progress = not (options.quiet or options.json)
    if metric == "rmse":
        controls = {"shuffled": compare.matched_shuffle(layer, options.seed)}
        return compare.rmse(
            neurons,
            layer,
            images=images.values,
            size=options.size,
            baselines=controls,
            progress=progress,
            **shared,
        )
    if metric == "regression":
        return compare.regression(neurons, layer, progress=progress, **shared)
    if metric == "distributions":
        front = layer.attrs["front_end"]
        name = "features" if front == "none" else f"{front} + features"
        return compare.distributions(neurons, {name: layer}, seed=options.seed)
    pandas = import_optional("pandas", "mouse")
    measure: Callable[..., Any] = getattr(compare, metric)
    made = []
    for by in (None, *options.by):
        table = measure(
            neurons, layer, by=by, bootstrap=options.bootstrap, progress=progress, **shared
        )
        made.append(table.assign(by="all" if by is None else by))
    return pandas.concat(made, ignore_index=True)


def _part(
    folder: Path, options: argparse.Namespace, what: tuple[str, ...], make: Callable[[], Any]
) -> Any:
    """Return a table that was made before by the same call, or make and keep it."""
    pandas = import_optional("pandas", "mouse")
    settings = {
        key: getattr(options, key)
        for key in ("size", "by", "reliable", "permutations", "bootstrap", "seed")
    }
    text = json.dumps([*what, settings, _versions()], sort_keys=True)
    file = folder / "parts" / f"{what[0]}-{hashlib.sha256(text.encode()).hexdigest()[:24]}.csv"
    if not file.exists():
        tables.write(make(), file)
    # Read again in either case: the same bits whether made now or before.
    found = pandas.read_csv(file, keep_default_na=False, na_values=[""], dtype={"layer": str})
    # The layer of a model that is a single one has no name.
    return found.fillna({"layer": ""})


def _write(folder: Path, parts: dict[str, list[Any]], options: argparse.Namespace) -> None:
    pandas = import_optional("pandas", "mouse")
    joined = {
        name: pandas.concat(found, ignore_index=True) for name, found in parts.items() if found
    }
    for name, table in joined.items():
        tables.write(table, folder / f"{name}.csv")
    for metric in (name for name in _PER_NEURON if name in joined):
        table = joined[metric]
        plain = table[table["front_end"] == "none"]
        grouped, changes = [], []
        for by in options.by:
            grouped.append(
                compare.by_group(table, by, correction=_correction(by)).rename(
                    columns={by: "group"}
                )
            )
            grouped[-1].insert(0, "by", by)
            for front in table["front_end"].unique():
                if front == "none":
                    continue
                change = compare.paired(
                    table[table["front_end"] == front], plain, by, correction=_correction(by)
                )
                changes.append(change.rename(columns={by: "group"}).assign(by=by))
        tables.write(pandas.concat(grouped, ignore_index=True), folder / f"{metric}_groups.csv")
        if changes:
            tables.write(pandas.concat(changes, ignore_index=True), folder / f"{metric}_paired.csv")
        if not options.no_plots:
            _draw_neurons(folder, metric, table, changes, options)
    if not options.no_plots:
        for model, part in joined["profiles"].groupby("model", sort=False):
            stem = str(model).replace("/", "-").replace(":", "-")
            plots.save(plots.profiles(part), folder / f"layers_{stem}.png", part)
        if "distributions" in joined:
            _draw_distributions(folder, joined["distributions"])
        for metric in (name for name in _PER_GROUP if name in joined):
            table = joined[metric]
            part = table[(table["by"] == options.by[0]) & table["score"].notna()]
            if len(part):
                rows = part.assign(model=part["model"] + " / " + part["front_end"])
                figure = plots.heat(rows, "model", "group")
                plots.save(figure, folder / f"{metric}_heat.png")
    about = {
        "command": getattr(options, "command_line", ""),
        "versions": _versions(),
        "python": platform.python_version(),
        "device": options.device,
        "seed": options.seed,
        "models": {
            f"{line.model} / {line.front_end}": {"weights": line.weights, "layer": line.layer}
            for line in joined[options.metrics[0]]
            .drop_duplicates(["model", "front_end"])
            .itertuples()
        },
    }
    write_atomic(folder / "about.json", json.dumps(about, indent=1) + "\n")
    _print(joined, options)


def _draw_neurons(
    folder: Path, metric: str, table: Any, changes: list[Any], options: argparse.Namespace
) -> None:
    pandas = import_optional("pandas", "mouse")
    for by in options.by:
        for front, part in table.groupby("front_end", sort=False):
            figure = plots.violins(part, by)
            plots.save(figure, folder / f"{metric}_{by}_{front}.png")
    if not changes:
        return
    every = pandas.concat(changes, ignore_index=True)
    for front, part in every.groupby("front_end", sort=False):
        # The published scatter: groups averaged over models.
        mean = part.groupby(["group", "front_end"], as_index=False, sort=False).agg(
            {"with": "mean", "without": "mean", "n": "max"}
            | {
                key: "first"
                for key in ("metric", "normalize", "weights", "simulated")
                if key in part
            }
        )
        plots.save(plots.scatter(mean, "group"), folder / f"{metric}_scatter_{front}.png", mean)
        plots.save(
            plots.deltas(part[part["by"] == options.by[0]], ["model", "group"]),
            folder / f"{metric}_difference_{front}.png",
            part,
        )


def _draw_distributions(folder: Path, table: Any) -> None:
    """Draw how far matched and unmatched units are from neurons, of all models together."""
    sets = {}
    for name, part in table.groupby("features", sort=False):
        for matched, said in ((True, "matched"), (False, "unmatched")):
            sets[f"{name}, {said}"] = part.loc[part["matched"] == matched, "wasserstein"]
    how = ", ".join(dict.fromkeys(table["normalize"]))
    figure = plots.boxes(sets, f"Wasserstein distance ({how})", note=plots.notes(table))
    plots.save(figure, folder / "distributions.png", table)


def _print(joined: dict[str, Any], options: argparse.Namespace) -> None:
    for metric in options.metrics:
        table = joined[metric]
        if "by" in table:
            table = table[table["by"] == "all"]
        shown = table.groupby(["model", "front_end", "layer", "weights"], sort=False)
        if "matched" in table:
            table = table[table["matched"]]
        columns = [c for c in _PRINTED if c in table]
        means = shown[columns].mean()
        mark = " (simulated data)" if table["simulated"].any() else ""
        rows = json.loads(means.reset_index().to_json(orient="records"))
        tell(options, f"\n{metric}{mark}\n{means.round(4).to_string()}", metric=metric, means=rows)


def _correction(by: str) -> str:
    return "holm" if by == "area" else "bh"


def _versions() -> dict[str, str]:
    found = {}
    for name in _VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _say(options: argparse.Namespace, text: str) -> None:
    if not (options.quiet or options.json):
        print(text, flush=True)
