"""Which layer of a model to take, without looking at the neurons that it is tested on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neurn.compare.cka import cka
from neurn.compare.inputs import Responses, as_activity, as_responses, varying


@dataclass(frozen=True, eq=False)
class LayerChoice:
    """A layer and the neurons that it was chosen on. `choose_layer` makes it.

    Attributes
    ----------
    layer : str
    scores : dict of str to float
        Debiased CKA of each layer with the neurons it was chosen on; NaN for one that never varies.
    chosen_on, rest : ndarray of int64
        Places of neurons; test on `rest`.

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import compare
    >>> rng = np.random.default_rng(0)
    >>> neurons = rng.standard_normal((20, 30))
    >>> choice = compare.choose_layer(neurons, {"conv1": rng.standard_normal((30, 8))})
    >>> len(choice.chosen_on), len(choice.rest)
    (10, 10)
    >>> neurons[choice.rest].shape
    (10, 30)
    """

    layer: str
    scores: dict[str, float]
    chosen_on: npt.NDArray[np.int64]
    rest: npt.NDArray[np.int64]


def choose_layer(neurons: Any, layers: Mapping[str, Any], *, seed: int = 0) -> LayerChoice:
    """Choose the layer whose geometry is closest to half of the neurons.

    Parameters
    ----------
    neurons : DataArray or array, (neuron, stimulus) or (neuron, stimulus, trial)
    layers : mapping of str to DataArray or array, (stimulus, feature, ...)
        For example of `neurn.features.extract`. Layers that never vary are not chosen.
    seed : int
        Of the half.

    Returns
    -------
    LayerChoice

    Raises
    ------
    ValueError
        If there are fewer than 2 neurons, no layer, or none that varies.

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import compare
    >>> rng = np.random.default_rng(0)
    >>> layers = {name: rng.standard_normal((30, 8)) for name in ("conv1", "conv2", "conv3")}
    >>> neurons = (layers["conv2"] @ rng.standard_normal((8, 20))).T
    >>> choice = compare.choose_layer(neurons, layers)
    >>> choice.layer
    'conv2'
    >>> {name: round(score, 2) for name, score in choice.scores.items()}
    {'conv1': -0.07, 'conv2': 0.71, 'conv3': 0.0}
    """
    one = as_responses(neurons, least=4)
    if len(one) < 2 or not layers:
        raise ValueError(
            f"choose_layer needs 2 neurons and a layer, got {len(one)} and {len(layers)}"
        )
    order = np.random.default_rng(seed).permutation(len(one))
    half, rest = (np.sort(part) for part in np.array_split(order, 2))
    part = one.take(half)
    scores = {name: _score(part, values, f"layers[{name!r}]") for name, values in layers.items()}
    good = [name for name, score in scores.items() if not np.isnan(score)]
    if not good:
        raise ValueError(f"layers must vary over scenes: none of {len(layers)} does")
    return LayerChoice(max(good, key=lambda name: scores[name]), scores, half, rest)


def _score(neurons: Responses, values: Any, name: str) -> float:
    activity = as_activity(values, name)
    if not varying(activity.values).any():
        return float("nan")
    return float(cka(neurons, activity, permutations=0, bootstrap=0)["score"].iloc[0])
