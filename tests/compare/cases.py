"""Populations whose truth is known."""

import numpy as np
import xarray


def planted(random, neurons=30, scenes=60, features=20, noise=0.5, trials=10):
    """Responses that are features, one each, plus trial noise; and those features."""
    activity = random.standard_normal((scenes, features))
    which = random.integers(features, size=neurons)
    signal = activity[:, which].T
    trials = signal[..., None] + noise * random.standard_normal((neurons, scenes, trials))
    return trials, activity, which


def labelled(trials, **attrs):
    """As a DataArray of two areas and four mice."""
    n = len(trials)
    return xarray.DataArray(
        trials,
        dims=("neuron", "stimulus", "trial")[: trials.ndim],
        coords={
            "neuron": np.arange(n) + 100,
            "stimulus": np.arange(trials.shape[1]),
            "area": ("neuron", np.where(np.arange(n) % 2, "VISp", "VISl")),
            "cre_line": ("neuron", np.where(np.arange(n) % 3, "Cux2-CreERT2", "Vip-IRES-Cre")),
            "experiment": ("neuron", np.arange(n) % 4),
        },
        attrs=attrs,
    )
