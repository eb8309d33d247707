"""The section about features against neurons: every metric, with null, ceiling and controls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurn import compare, features, front_ends
from neurn._optional import import_optional
from neurn.compare import plots
from neurn.mouse import tables
from neurn.study.report.parts import Figure, Section, Table
from neurn.study.report.results import Results
from neurn.study.stages.compare import read_scores
from neurn.study.stages.features import read_features
from neurn.study.stages.selection import read_selection
from neurn.study.stages.statistics import RESPONSES

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_TITLES = {"rsa": "RSA", "cka": "CKA", "shape": "shape distance", "regression": "held-out R2"}
_SAMPLES = 500  # of hierarchical bootstraps: intervals of a page
_GROUPS = (("area", "area"), ("genotype_group", "genotype group"))


def grids(results: Results) -> Section | None:
    """Show feature maps beside representations of neurons."""
    folders, maps = results.folders("features"), results.maps
    images = results.images
    if not folders or maps is None or images is None:
        return None
    shown = maps.isel(neuron=np.flatnonzero(maps["cell_class"].values == "excitatory"))
    kind = "excitatory " if shown.sizes["neuron"] else ""
    shown = shown if shown.sizes["neuron"] else maps
    layer = _widest(folders)
    side = (maps.sizes["y"], maps.sizes["x"])
    made = features.representations(layer, images, size=side)
    figure = Figure(
        "features_and_representations",
        "Features beside neurons",
        f"Left: {min(100, made.sizes['feature'])} features of {layer.attrs.get('model', '')}, "
        f"layer {layer.attrs.get('layer', layer.name)} ({layer.attrs.get('weights', '')}), each as "
        "N = T^T F_S of its mean activity. Right: "
        f"{min(100, shown.sizes['neuron'])} {kind}neurons. "
        f"{results.describe_recordings()}. Both {side[0]} x {side[1]}, each tile from its smallest "
        "to its largest value.",
        "Two grids of small maps: features of a network on the left, neurons on the right.",
        plots.grids(made, shown),
    )
    intro = "The same kind of thing on both sides: what a unit makes of the same images."
    return Section("features", "Features", intro, [figure])


def comparison(results: Results) -> Section | None:
    """Show how near features come to neurons, with and without NeuRN."""
    found = _scores(results)
    if not found:
        return None
    parts: list[Figure | Table] = []
    findings: list[str] = []
    about = _about(results, next(iter(found.values())))
    for make in (_rmse, _distributions, _populations, _regression):
        made, said = make(results, found, about)
        parts += made
        findings += said
    intro = (
        "Each layer is held against each neuron on the same images. A null shuffles images "
        "between neurons and features; a floor or ceiling says what a perfect model would get from "
        "responses this noisy; shuffled features keep their values and lose what they respond to. "
        "A front end that helps as much after shuffling has changed the scale only."
    )
    return Section("comparison", "Features against neurons", intro, parts, findings)


def _scores(results: Results) -> dict[str, Any]:
    """Return the tables of all models by metric."""
    parts: dict[str, list[Any]] = {}
    for folder in results.folders("compare").values():
        record = json.loads((folder / "item.json").read_text(encoding="utf-8"))
        parts.setdefault(record["parameters"]["metric"], []).append(read_scores(folder))
    concat = import_optional("pandas", "mouse").concat
    return {metric: concat(tables_, ignore_index=True) for metric, tables_ in parts.items()}


def _about(results: Results, table: pd.DataFrame) -> str:
    models = ", ".join(dict.fromkeys(map(str, table["model"])))
    weights = "; ".join(dict.fromkeys(map(str, table.get("weights", ()))))
    return f"{results.describe_recordings()}. Models: {models} ({weights})"


def _rmse(
    results: Results, found: dict[str, Any], about: str
) -> tuple[list[Figure | Table], list[str]]:
    if "rmse" not in found:
        return [], []
    table = found["rmse"]
    plain, _ = _split(table)
    settings = results.settings["compare"]
    how = (
        f"RMSE of maps, {settings['normalize']}, pairing {settings['pairing']}, "
        f"{settings['permutations']} permutations"
    )
    neurons = table.drop_duplicates(["experiment", "neuron"])
    parts: list[Figure | Table] = []
    for key, title in _GROUPS:
        parts.append(
            Figure(
                f"rmse_per_{key}",
                f"RMSE per {title}",
                f"{about}. {how}; no front end; {len(neurons)} neurons, in brackets how many "
                "scores (neurons x models x layers). Lines: quartiles; dashes: shuffled images; "
                "dots: a perfect model.",
                f"Violins of RMSE for each {title}, lowest median first.",
                plots.violins(plain, key),
                plain if key == "area" else None,
            )
        )
    means = _over_layers(table)
    plain_mean, others_mean = _split(means)
    findings = []
    for name, part in others_mean.items():
        title = front_ends.title(name)
        both = [
            compare.paired(part, plain_mean, by=key, samples=_SAMPLES).assign(kind=key)
            for key, _ in _GROUPS
        ]
        joined = import_optional("pandas", "mouse").concat(both, ignore_index=True)
        keys = [key for key, _ in _GROUPS]
        joined["group"] = joined[keys[0]].fillna(joined[keys[1]])
        caption = (
            f"{about}. {how}; mean over models and layers. Each group without (x) and with (y) "
            f"{title}: below the diagonal {title} is closer. Size: number of neurons."
        )
        if name == "neurn":
            parts.append(
                Figure(
                    "rmse_with_and_without",
                    "With NeuRN against without",
                    caption,
                    "Scatter of mean RMSE with NeuRN against without, a disc for each area and "
                    "genotype group, with the diagonal.",
                    plots.scatter(joined, keys),
                    joined,
                )
            )
        parts.append(
            Figure(
                f"rmse_difference_{name}",
                f"What {title} changes",
                f"{about}. {how}; paired difference of each neuron, mean over models and layers, "
                f"95 % intervals by a hierarchical bootstrap over mice and neurons ({_SAMPLES} "
                "samples). Grey: groups too small to be tested; p values of the others, by Holm, "
                "are in the table.",
                "Differences of each group with their intervals, and a line at zero.",
                plots.deltas(joined, "group"),
                joined,
            )
        )
        whole = compare.paired(part, plain_mean, by=None, samples=_SAMPLES).iloc[0]
        findings.append(
            f"RMSE with {title} minus without, over {int(whole['n'])} neurons of "
            f"{int(whole['n_mice'])} mice: {_interval(whole)} (less is closer)."
        )
    values = {"features": plain_mean["score"].to_numpy()}
    for name, part in others_mean.items():
        values[f"{front_ends.title(name)} + features"] = part["score"].to_numpy()
    if "shuffled" in plain_mean:
        values["shuffled features"] = plain_mean["shuffled"].to_numpy()
    if "floor" in plain_mean and plain_mean["floor"].notna().any():
        values["perfect model"] = plain_mean["floor"].to_numpy()
    note = "simulated data" if results.simulated else ""
    parts.append(
        Figure(
            "rmse_distributions",
            "Distributions of RMSE",
            f"{about}. {how}; a point for each neuron, mean over models and layers. Shuffled "
            "features keep their values and lose what they respond to; a perfect model is limited "
            "by the neurons' noise only.",
            "Boxes with points: RMSE of features, features behind NeuRN, shuffled features and a "
            "perfect model.",
            plots.boxes(values, "RMSE", note=note),
            means,
        )
    )
    areas = compare.by_group(plain, "area", samples=_SAMPLES)
    areas = areas.assign(model_layer=areas["model"] + ", layer " + areas["layer"].astype(str))
    parts.append(
        Figure(
            "rmse_model_area",
            "Layers and areas",
            f"{about}. {how}; mean RMSE of each layer and area, no front end. Italics: too few "
            "neurons or mice to be tested.",
            "Table of colours: mean RMSE of each layer of each model for each area.",
            plots.heat(areas, "model_layer", "area"),
            areas,
        )
    )
    parts.append(
        Table(
            "rmse_controls",
            "RMSE with its controls",
            f"{about}. {how}; means over neurons. null: shuffled images; constant: a map without "
            "structure; pixels, energy, mean scene: the images themselves; floor: a perfect model.",
            _controls(table),
        )
    )
    return parts, findings


def _distributions(
    results: Results, found: dict[str, Any], about: str
) -> tuple[list[Figure | Table], list[str]]:
    if "distributions" not in found:
        return [], []
    table = found["distributions"]
    parts: list[Figure | Table] = []
    neurons, sets, first = _units(results, table)
    if neurons is not None:
        parts.append(
            Figure(
                "single_units",
                "Single neurons and single units",
                f"{about}, layer {first}. Mean responses of single neurons and of the units "
                "matched to them (best correlation on half of the images), each from 0 to 1. Top: "
                "highest overlap; bottom: lowest.",
                "Two rows of small density plots: a neuron and its matched units.",
                plots.densities(
                    neurons,
                    sets,
                    table[
                        table["features"].isin(list(sets))
                        & (table["unit_layer"] == first)
                        & (table["model"] == table["model"].iloc[0])
                    ],
                    by="area",
                ),
            )
        )
    summary = (
        table.groupby(["features", "matched"], sort=False)[["overlap", "wasserstein", "ks", "r"]]
        .mean()
        .reset_index()
    )
    parts.append(
        Table(
            "distributions",
            "Distributions of single units",
            f"{about}. Means over neurons and layers: how alike the distributions over images are "
            "(overlap of histograms, Wasserstein, Kolmogorov-Smirnov), and the correlation r image "
            "by image, which alone tells whether units respond to the same images.",
            summary,
        )
    )
    return parts, []


def _populations(
    results: Results, found: dict[str, Any], about: str
) -> tuple[list[Figure | Table], list[str]]:
    parts: list[Figure | Table] = []
    findings = []
    settings = results.settings["compare"]
    for metric in ("rsa", "cka", "shape"):
        if metric not in found:
            continue
        table, title = found[metric], _TITLES[metric]
        whole = table[table["by"] == "all"]
        for model in dict.fromkeys(whole["model"]):
            part = whole[whole["model"] == model]
            parts.append(
                Figure(
                    f"{metric}_layers_{_file(model)}",
                    f"{title}, layer by layer: {model}",
                    f"{about}. {title} of all neurons with each layer; bands: 95 % over "
                    f"{settings['bootstrap']} resamplings, null over {settings['permutations']} "
                    "permutations of images; grey: noise ceiling.",
                    f"Curves of {title} over layers, one for each front end.",
                    plots.profiles(part),
                    part,
                )
            )
        best = whole.sort_values("score", ascending=metric == "shape").iloc[0]
        findings.append(
            f"{title}, best layer ({_which(best)}): {best['score']:.3f} "
            f"[{best['low']:.3f}, {best['high']:.3f}], chance {best['null']:.3f}, "
            f"p = {best['p']:.3f}; chosen on these neurons, so it is an upper end."
        )
        first = (table["model"] == best["model"]) & (table["layer"] == best["layer"])
        ordered = table.iloc[np.argsort(~first, kind="stable")]
        parts.append(
            Table(
                f"{metric}_groups",
                f"{title} per group",
                f"{about}. Each group's interval, null and ceiling; here those of layer "
                f"{best['layer']} of {best['model']}, the best on all neurons, in the file those "
                "of every layer.",
                ordered,
                [c for c in ("model", "layer", "front_end", "group", "score", "low", "high", "null",
                             "p", "ceiling_low", "n", "n_mice") if c in table],
                lines=int(first.sum()),
            )
        )  # fmt: skip
    return parts, findings


def _regression(
    results: Results, found: dict[str, Any], about: str
) -> tuple[list[Figure | Table], list[str]]:
    if "regression" not in found:
        return [], []
    table = found["regression"]
    groups = compare.by_group(table, None, samples=_SAMPLES)
    parts: list[Figure | Table] = []
    for model in dict.fromkeys(groups["model"]):
        part = groups[groups["model"] == model]
        ceiling = float(table.loc[table["model"] == model, "ceiling"].mean())
        parts.append(
            Figure(
                f"regression_layers_{_file(model)}",
                f"Prediction of held-out images, layer by layer: {model}",
                f"{about}. Ridge regression from each layer to each neuron, nested over images; "
                "mean R2 over neurons with 95 % intervals (mice, then neurons). Below 0: worse "
                f"than the mean. Grey: what a perfect model would reach, {ceiling:.2f}.",
                "Curves of held-out R2 over layers, one for each front end.",
                plots.profiles(part, ceiling=(ceiling, ceiling)),
                part,
            )
        )
    best = groups.sort_values("score", ascending=False).iloc[0]
    return parts, [
        f"Held-out R2, best layer ({_which(best)}): {best['score']:.3f} "
        f"[{best['low']:.3f}, {best['high']:.3f}] of {float(table['ceiling'].mean()):.2f} that a "
        "perfect model would reach."
    ]


def _which(line: Any) -> str:
    """Return in words which layer a line of a table is of."""
    front = line["front_end"]
    behind = "no front end" if front == "none" else f"behind {front_ends.title(front)}"
    return f"layer {line['layer']} of {line['model']}, {behind}"


def _widest(folders: Mapping[str, Path]) -> xr.DataArray:
    """Return the layer with most features, without a front end where there is one."""
    layers = [layer for folder in folders.values() for layer in read_features(folder).values()]
    return max(
        layers,
        key=lambda each: (each.attrs.get("front_end", "none") == "none", each.sizes["feature"]),
    )


def _split(table: Any) -> tuple[Any, dict[str, Any]]:
    """Return the lines without a front end, and those of each other one."""
    names = list(dict.fromkeys(table["front_end"]))
    base = "none" if "none" in names else names[0]
    plain = table[table["front_end"] == base].reset_index(drop=True)
    others = {
        name: table[table["front_end"] == name].reset_index(drop=True)
        for name in names
        if name != base
    }
    return plain, others


def _over_layers(table: Any) -> Any:
    """Return means over models and layers: a line for each neuron and front end."""
    keys = ["experiment", "neuron", "area", "genotype_group", "cell_class", "front_end"]
    rest = [c for c in ("cre_line", "metric", "normalize", "simulated", "weights") if c in table]
    numbers = [c for c in ("score", "null", "floor", "constant", "shuffled") if c in table]
    how = dict.fromkeys(numbers, "mean") | dict.fromkeys(rest, "first")
    means = table.groupby(keys, sort=False).agg(how).reset_index()
    # What a set is of must be the same in both of a pair.
    return means.assign(model="all models", layer="all layers", weights="")


def _controls(table: Any) -> Any:
    names = [
        "score", "floor", "null", "constant", "shuffled", "pixels", "energy", "mean_scene"
    ]  # fmt: skip
    shown = [name for name in names if name in table]
    return table.groupby(["model", "layer", "front_end"], sort=False)[shown].mean().reset_index()


def _units(results: Results, table: Any) -> tuple[xr.DataArray | None, dict[str, Any], Any]:
    """Return neurons and sets of features that the first lines of a table are of."""
    folders = list(results.folders("statistics").values())
    model = table["model"].iloc[0]
    first = table["unit_layer"].iloc[0]
    sets = {}
    for folder in results.folders("features").values():
        layers = read_features(folder)
        each = next((x for name, x in layers.items() if str(name) == str(first)), None)
        if each is not None and each.attrs.get("model") == model:
            sets[each.attrs.get("front_end", "none")] = each
    if not folders or not sets:
        return None, {}, first
    load = import_optional("xarray", "mouse").load_dataarray
    neurons = tables.join([load(folder / RESPONSES) for folder in folders])
    neurons = neurons.isel(stimulus=np.flatnonzero(neurons["stimulus"].values >= 0))
    selections = list(results.folders("selection").values())
    if selections and results.settings["compare"]["neurons"] == "chosen":
        neurons = neurons.isel(neuron=read_selection(selections[0]).index)
    return neurons, sets, first


def _interval(line: Any) -> str:
    return (
        f"{line['difference']:+.4f} [{line['difference_low']:+.4f}, {line['difference_high']:+.4f}]"
    )


def _file(name: Any) -> str:
    return "".join(c if c.isalnum() else "_" for c in str(name))
