import numpy as np
import pytest
import torch
import xarray
from torch import nn

from neurn import features, mouse


@pytest.fixture
def layer():
    random = np.random.default_rng(2)
    return xarray.DataArray(
        random.random((9, 4, 6, 8)).astype(np.float32),
        dims=("stimulus", "feature", "y", "x"),
        coords={"stimulus": np.arange(9)},
        attrs={"model": "net", "layer": "0"},
    )


def test_tuning_is_a_neurons_representation(layer):
    images = np.random.default_rng(3).random((9, 20, 20))
    found = features.representations(layer, images, size=5, dtype=torch.float64)
    table = layer.mean(("y", "x")).rename(feature="neuron").astype(np.float64)
    expected = mouse.representations(table, images, size=5, dtype=torch.float64)
    np.testing.assert_allclose(found.values, expected.values, atol=1e-5)
    assert found.dims == ("feature", "y", "x") and found.attrs["model"] == "net"
    scenes = features.representations(layer, mode="stimulus")
    assert scenes.shape == (4, 3, 3)
    assert features.representations(layer.mean(("y", "x")), images, size=5).shape == (4, 5, 5)


def test_maps_as_published(layer):
    found = features.representations(layer, kind="map", size=(3, 4), normalize="minmax")
    small = layer.mean("stimulus").values.reshape(4, 3, 2, 4, 2).mean((2, 4))
    low, high = small.min((1, 2), keepdims=True), small.max((1, 2), keepdims=True)
    np.testing.assert_allclose(found.values, (small - low) / (high - low), atol=1e-6)
    one = features.representations(layer, kind="map", stimulus=4)
    np.testing.assert_allclose(one.values, layer.sel(stimulus=4).values, atol=1e-6)


def test_errors(layer):
    with pytest.raises(ValueError, match="kind must be one of"):
        features.representations(layer, kind="kernel")
    with pytest.raises(ValueError, match="at most 6 x 8, the features' own, got 7"):
        features.representations(layer, kind="map", size=7)
    with pytest.raises(ValueError, match="stimulus must be one of"):
        features.representations(layer, kind="map", stimulus=9)
    with pytest.raises(ValueError, match="stimulus: only with"):
        features.representations(layer, stimulus=3)
    with pytest.raises(ValueError, match="mode: only with kind='tuning'"):
        features.representations(layer, kind="map", mode="stimulus")
    with pytest.raises(ValueError, match="needs features with dims y and x"):
        features.representations(layer.mean("y"), kind="map")
    with pytest.raises(ValueError, match="normalize must be one of"):
        features.representations(layer, kind="map", normalize="max")


def test_kernels():
    model = nn.Sequential(nn.Conv2d(3, 6, 7), nn.ReLU(), nn.Conv2d(6, 2, 3), nn.Conv1d(2, 2, 1))
    found = features.kernels(model, ["0", "2"], normalize="none")
    expected = model[0].weight.detach().mean(1).numpy()
    np.testing.assert_allclose(found["0"].values, expected, atol=1e-6)
    assert found["2"].shape == (2, 3, 3) and found["2"].attrs["kind"] == "kernel"
    assert features.kernels(model, ["0"], size=5, normalize="zscore")["0"].shape == (6, 5, 5)
    with pytest.raises(ValueError, match="at most 3 x 3"):
        features.kernels(model, ["2"], size=5)
    with pytest.raises(ValueError, match="'3' is no 2-d convolution"):
        features.kernels(model)
    with pytest.raises(ValueError, match="normalize must be one of"):
        features.kernels(model, ["0"], normalize="max")
