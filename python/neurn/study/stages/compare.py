"""Comparison: each model's layers, behind each front end, against the neurons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurn import compare
from neurn._optional import import_optional
from neurn.mouse import tables
from neurn.study.graph import Cost, Item, Stage, Work
from neurn.study.settings import Simulated
from neurn.study.stages.features import read_features
from neurn.study.stages.selection import read_selection
from neurn.study.stages.statistics import RESPONSES
from neurn.study.stages.stimuli import LIBRARIES, read_images

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from neurn.study.settings import Study

SCORES = "scores.csv"
# Of four layers and 200 neurons, as measured on the demo; of those that draw, for 150 draws.
_SECONDS = {
    "rmse": 2, "rsa": 13, "cka": 2, "regression": 6, "shape": 10, "distributions": 1,
}  # fmt: skip


def plan(study: Study, before: Mapping[str, Sequence[Item]]) -> list[Item]:
    """Return an item for each model and metric."""
    settings, models = study.compare, study.models
    if settings is None or models is None:
        return []
    parameters = settings.model_dump(mode="json", exclude={"metrics"}) | {"seed": study.seed}
    common = [item.id for stage in ("stimuli", "statistics") for item in before[stage]]
    if settings.neurons == "chosen":
        common += [item.id for item in before["selection"]]
    size = study.representations.size if study.representations is not None else 14
    parameters["size"] = size if isinstance(size, int) else list(size)
    neurons = 200 * len(before["statistics"])
    if isinstance(study.recordings, Simulated):
        neurons = study.recordings.neurons * len(before["statistics"])
    items = []
    for name in models.names:
        mine = [item for item in before["features"] if item.parameters["model"] == name]
        for metric in settings.metrics:
            draws = (settings.permutations + settings.bootstrap) / 150
            runs = len(mine) * models.layers * max(neurons / 200, 0.2)
            seconds = _SECONDS[metric] * (draws if metric in ("rsa", "cka", "shape") else 1)
            items.append(
                Item(
                    "compare",
                    f"{metric} {name}",
                    {**parameters, "metric": metric},
                    (*common, *(item.id for item in mine)),
                    cost=Cost(1 + seconds * runs / 4, 1e9 + neurons * 1e6, neurons * 4e3),
                )
            )
    return items


def run(work: Work) -> None:
    """Score every layer behind every front end by one metric."""
    settings = work.parameters
    neurons = read_neurons(work)
    features = [read_features(folder) for folder in work.of("features")]
    measure = _MEASURES[settings["metric"]]
    found = list(measure(neurons, features, work))
    table = import_optional("pandas", "mouse").concat(found, ignore_index=True)
    tables.write(table, work.folder / SCORES)


def read_neurons(work: Work) -> xr.DataArray:
    """Return responses of the neurons that are compared, (neuron, stimulus, trial)."""
    xarray = import_optional("xarray", "mouse")
    trials = tables.join(
        [xarray.load_dataarray(folder / RESPONSES) for folder in work.of("statistics")]
    )
    trials = trials.isel(stimulus=np.flatnonzero(trials["stimulus"].values >= 0))
    selections = work.of("selection")
    if selections:
        trials = trials.isel(neuron=read_selection(selections[0]).index)
    result: xr.DataArray = trials
    return result


def read_scores(folder: Path) -> pd.DataFrame:
    """Return the table of a result."""
    found: pd.DataFrame = import_optional("pandas", "mouse").read_csv(
        folder / SCORES,
        keep_default_na=False,  # a front end is called "none"
        na_values=[""],
    )
    return found


def _layers(features: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    for each in features:
        yield from each.values()


def _rmse(neurons: Any, features: Any, work: Work) -> Iterator[Any]:
    settings = work.parameters
    images = read_images(work.of("stimuli")[0]).values
    size = settings["size"]
    for layer in _layers(features):
        yield compare.rmse(
            neurons,
            layer,
            images=images,
            size=size if isinstance(size, int) else tuple(size),
            normalize=settings["normalize"],
            pairing=settings["pairing"],
            permutations=settings["permutations"],
            baselines={"shuffled": compare.matched_shuffle(layer, settings["seed"])},
            seed=settings["seed"],
        )


def _regression(neurons: Any, features: Any, work: Work) -> Iterator[Any]:
    # The null of an encoding model costs as much as the model, each time.
    permutations = max(work.parameters["permutations"] // 10, 5)
    for layer in _layers(features):
        yield compare.regression(
            neurons, layer, permutations=permutations, seed=work.parameters["seed"]
        )


def _population(neurons: Any, features: Any, work: Work) -> Iterator[Any]:
    settings = work.parameters
    measure: Any = getattr(compare, settings["metric"])
    for layer in _layers(features):
        for by in (None, "area", "genotype_group"):
            table = measure(
                neurons,
                layer,
                by=by,
                permutations=settings["permutations"],
                bootstrap=settings["bootstrap"],
                seed=settings["seed"],
            )
            table["by"] = by or "all"
            yield table


def _distributions(neurons: Any, features: Any, work: Work) -> Iterator[Any]:
    for name in features[0]:
        sets = {layers[name].attrs.get("front_end", "none"): layers[name] for layers in features}
        shuffled = compare.matched_shuffle(next(iter(sets.values())), work.parameters["seed"])
        table = compare.distributions(
            neurons, {**sets, "shuffled": shuffled}, seed=work.parameters["seed"]
        )
        table = table.assign(unit_layer=name, model=features[0][name].attrs.get("model", ""))
        yield table


_MEASURES = {
    "rmse": _rmse,
    "regression": _regression,
    "rsa": _population,
    "cka": _population,
    "shape": _population,
    "distributions": _distributions,
}

COMPARE = Stage(
    "compare",
    "Features against neurons",
    ("stimuli", "statistics", "selection", "features"),
    ("neurn.compare", "neurn.mouse.representations", __name__),
    (*LIBRARIES, "pandas", "scikit-learn", "torch"),
    plan,
    run,
)
