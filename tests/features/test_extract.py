import sys

import numpy as np
import pytest
import torch
import xarray
from torch import nn

import neurn
from neurn import features

extraction = sys.modules["neurn.features.extract"]  # the function has its name


def small():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Sequential(nn.Conv2d(8, 6, 3), nn.ReLU(inplace=True)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(6, 4),
    )


@pytest.fixture
def images():
    return torch.rand(7, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def by_hand(model, images):
    """The outputs of both convolutions, step by step."""
    model.eval()
    with torch.no_grad():
        first = model[0](images)
        second = model[3][0](torch.relu(model[1](first)))
    return first, second


def test_one_pass_gives_what_the_layers_give(images):
    model = small()
    found = features.extract(model, images, batch_size=3)
    first, second = by_hand(model, images)
    assert list(found) == ["0", "3.0"] and len(found) == 2
    np.testing.assert_allclose(found["0"].values, first.numpy(), atol=1e-6)
    np.testing.assert_allclose(found["3.0"].values, second.numpy(), atol=1e-6)
    assert found["0"].dims == ("stimulus", "feature", "y", "x")
    assert found["0"].attrs["layer"] == "0" and found["0"].attrs["weights"] == "as given"
    assert "Sequential, as given: 2 layers, 0 (7, 8, 12, 12)" in repr(found)
    with pytest.raises(KeyError, match="layer must be one of 0"):
        found["1"]


def test_the_model_is_left_as_it_was(images):
    model = small().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.random.get_rng_state()
    first = features.extract(model, images)
    assert model.training and torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not model[0]._forward_hooks
    again = features.extract(model, images)
    assert all(first[layer].equals(again[layer]) for layer in first)


def test_which_layers(images):
    model = small()
    assert features.layer_names(model) == ["0", "3.0"]
    assert features.layer_names(model, "linear") == ["7"]
    assert features.layer_names(model, "children") == list("01234567")
    assert "3.1" in features.layer_names(model, "leaves")
    assert features.layer_names(model, "7") == ["7"]
    assert features.layer_names(model, ["7", "0"]) == ["0", "7"]
    relus = features.layer_names(model, lambda name, module: isinstance(module, nn.ReLU))
    assert relus == ["2", "3.1"]
    assert features.extract(model, images, "linear")["7"].dims == ("stimulus", "feature")
    with pytest.raises(ValueError, match="has no layer 'conv9'; it has 0, 1, 2"):
        features.extract(model, images, ["0", "conv9"])
    with pytest.raises(ValueError, match="layers must be one of conv, linear"):
        features.layer_names(model, "convs")
    with pytest.raises(ValueError, match="no layer of ReLU is chosen"):
        features.layer_names(nn.ReLU())


def test_a_model_that_is_a_single_layer(images):
    for model in (nn.Conv2d(3, 2, 1), features.with_front_end(nn.Conv2d(3, 2, 1))):
        for layers in ("conv", "leaves", "children", lambda name, module: True):
            names = features.layer_names(model, layers)
            assert names == [""]
        for layers in ("conv", names, ""):
            assert features.extract(model, images, layers)[""].shape == (7, 2, 12, 12)
    assert features.layer_names(nn.Linear(3, 2)) == [""]
    assert features.extract(nn.ReLU(), images, "leaves", reduce={"": "mean"})[""].shape == (7, 3)
    with pytest.raises(ValueError, match="the model has no layer ''; it has 0, 1"):
        features.layer_names(small(), [""])


def test_reductions(images):
    model = small()
    whole = features.extract(model, images)
    for how, expected in (
        ("mean", whole["0"].mean(("y", "x")).values),
        ("max", whole["0"].max(("y", "x")).values),
        ("flatten", whole["0"].values.reshape(7, -1)),
    ):
        found = features.extract(model, images, reduce={"0": how})
        np.testing.assert_allclose(found["0"].values, expected, atol=1e-6)
        assert found["3.0"].shape == whole["3.0"].shape
    with pytest.raises(ValueError, match="reduce must be one of"):
        features.extract(model, images, reduce="sum")
    with pytest.raises(ValueError, match="'7' is none of the layers"):
        features.extract(model, images, reduce={"7": "mean"})


def test_projection_keeps_distances(images):
    pytest.importorskip("sklearn")
    model = small()
    flat = features.extract(model, images, ["0"], reduce="flatten")["0"].values
    found = features.extract(model, images, ["0"], reduce="project", components=400)["0"]
    assert found.shape == (7, 400)
    same = features.extract(model, images, ["0"], reduce="project", components=400, batch_size=2)
    np.testing.assert_allclose(found.values, same["0"].values, atol=1e-5)

    def distances(x):
        return np.array([np.linalg.norm(x[i] - x[j]) for i in range(7) for j in range(i)])

    np.testing.assert_allclose(distances(found.values), distances(flat), rtol=0.25)
    few = features.extract(model, images, ["7"], reduce="project", components=400)["7"]
    assert few.shape == (7, 4)  # fewer than components: as they are


def test_memory(images):
    pytest.importorskip("sklearn")
    model = small()
    needed = 4 * 7 * (8 * 144 + 6 * 100)
    assert features.extract(model, images, max_bytes=needed)
    with pytest.raises(ValueError, match=r"would take 4.91e-05 GB .*largest: 0, 3.23e-05 GB"):
        features.extract(model, images, max_bytes=needed - 1)
    fits = features.extract(model, images, max_bytes=30_000, over="project", components=100)
    assert fits["0"].shape == (7, 100) and fits["3.0"].shape == (7, 6, 10, 10)
    with pytest.raises(ValueError, match="would take"):
        features.extract(model, images, max_bytes=100, over="project", components=100)


def test_tokens_and_channels_last():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 5)
            self.block = nn.Identity()
            self.line = nn.Conv1d(9, 2, 1)

        def forward(self, x):
            x = self.block(self.first(x.flatten(1, 2)[:, :9]))  # (N, 9, 5)
            return {"last": self.line(x)}

    model, images = Tokens(), torch.rand(4, 3, 12, 12)
    found = features.extract(model, images, "children")
    assert found["first"].shape == (4, 5, 9)
    assert found["first"].dims == ("stimulus", "feature", "position")
    assert found["block"].shape == (4, 5, 9) and found["line"].shape == (4, 2, 5)
    mean = features.extract(model, images, ["first"], reduce="mean")["first"]
    np.testing.assert_allclose(mean.values, found["first"].mean("position").values, atol=1e-6)
    parent = nn.Sequential(model)
    assert features.extract(parent, images, "children")["0"].shape == (4, 5, 2)


def test_a_layer_that_runs_twice(images):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return self.conv(self.conv(x))

    model = Twice()
    found = features.extract(model, images, reduce="mean")
    assert list(found) == ["conv", "conv:2"] and found["conv:2"].shape == (7, 3)
    assert not np.allclose(found["conv"], found["conv:2"])


def test_images_as_they_come(images):
    model = small()
    grey = torch.rand(3, 12, 12)
    same = features.extract(model, grey[:, None].expand(-1, 3, -1, -1))
    assert features.extract(model, grey)["0"].equals(same["0"])
    assert features.extract(model, grey.numpy())["0"].equals(same["0"])
    eight = (255 * grey).round().to(torch.uint8)
    found = features.extract(model, eight)["0"]
    np.testing.assert_allclose(found, features.extract(model, eight.float() / 255)["0"], atol=1e-6)
    named = xarray.DataArray(
        grey.numpy(), dims=("stimulus", "y", "x"), coords={"stimulus": [5, 6, 9]}
    )
    named.attrs["simulated"] = 1
    found = features.extract(model, named)["0"]
    assert found["stimulus"].values.tolist() == [5, 6, 9] and found.attrs["simulated"] == 1
    one = nn.Conv2d(1, 2, 3)
    assert features.extract(one, grey)[""].shape == (3, 2, 10, 10)
    with pytest.raises(ValueError, match="images must have shape"):
        features.extract(model, grey[0])
    with pytest.raises(ValueError, match="images must be finite"):
        features.extract(model, grey * float("nan"))
    with pytest.raises(ValueError, match="the channels that the model takes, got 2: Given groups"):
        features.extract(model, torch.rand(3, 2, 12, 12))
    with pytest.raises(ValueError, match="images must be real numbers, got dtype <U1"):
        features.extract(model, "x")
    with pytest.raises(TypeError, match=r"model must be a torch.nn.Module, got str"):
        features.extract("VGG16", grey)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        features.extract(model, grey, batch_size=0)
    with pytest.raises(ValueError, match="over must be one of"):
        features.extract(model, grey, over="drop")


def test_transform_and_mixed_precision(images):
    model = small()
    found = features.extract(model, images, transform=lambda x: 1 - x)["0"]
    assert found.equals(features.extract(model, 1 - images)["0"])
    mixed = features.extract(model, images, amp=True)["0"]
    exact = features.extract(model, images)["0"]
    assert mixed.dtype == np.float32 and not mixed.equals(exact)
    np.testing.assert_allclose(mixed, exact, atol=0.05)


def test_a_layer_without_features(images):
    class Odd(nn.Module):
        def forward(self, x):
            return None

    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.odd = Odd()

        def forward(self, x):
            return self.odd(x)

    with pytest.raises(ValueError, match="'odd' gives no tensor"):
        features.extract(Holder(), images, "children")


def test_layers_that_mix_images_or_come_and_go(images):
    class Windows(nn.Module):
        def forward(self, x):
            return x.flatten(0, 1)  # (images x channels, H, W), as windows of Swin are

    class Sometimes(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)

        def forward(self, x):
            return self.first(x) if len(x) > 2 else self.first(x) + self.second(x)

    windows = nn.Sequential(Windows())
    with pytest.raises(ValueError, match="'0' gives 21 rows for 7 images: it mixes images"):
        features.extract(windows, images, "children")
    with pytest.raises(ValueError, match="'second' does not run alike in every batch"):
        features.extract(Sometimes(), images, batch_size=5)
    with pytest.raises(ValueError, match="device must be one that torch has here"):
        features.extract(small(), images, device="cuda:99")


def test_memory_of_a_pass(images):
    """What is reduced or written at once is not kept: a layer's own size is all that waits."""
    model = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(40)))
    waiting = []

    class Spy(nn.Module):
        def forward(self, x):
            waiting.append(len(collector.waiting))
            return x

    collector = extraction._Collector(
        {str(k): module for k, module in enumerate(model)},
        dict.fromkeys(map(str, range(40)), "none"),
        1,
        0,
        7,
        "error",
        10**9,
    )
    with collector.attached(), torch.inference_mode(), collector.batch(0, 7):
        nn.Sequential(model, Spy())(images)
    assert waiting == [0] and len(collector.kept) == 40


def test_cache(images, tmp_path):
    model = small()
    calls = []

    def count(x):
        calls.append(len(x))
        return x

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            calls.append("forward")
            return self.conv(x)

    model = Counting()
    first = features.extract(model, images, cache=tmp_path)
    assert calls == ["forward"]
    again = features.extract(model, images, cache=tmp_path)
    assert calls == ["forward"] and again["conv"].equals(first["conv"])
    assert first.attrs["key"] == again.attrs["key"]
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    file.unlink()
    features.extract(model, images, cache=tmp_path)
    assert file.read_bytes() == content  # byte for byte
    file.write_bytes(content[:100])  # cut off: made anew
    assert features.extract(model, images, cache=tmp_path)["conv"].equals(first["conv"])
    assert calls == ["forward"] * 3 and file.read_bytes() == content
    file.write_bytes(b"")
    assert features.extract(model, images, cache=tmp_path)["conv"].equals(first["conv"])
    keys = {first.attrs["key"]}
    with torch.no_grad():
        model.conv.weight[0, 0, 0, 0] += 1
    keys.add(features.extract(model, images, cache=tmp_path).attrs["key"])
    keys.add(features.extract(model, 1 - images, cache=tmp_path).attrs["key"])
    keys.add(features.extract(model, images, cache=tmp_path, reduce="mean").attrs["key"])
    behind = features.with_front_end(model)
    keys.add(features.extract(behind, images, cache=tmp_path).attrs["key"])
    turned = features.extract(model, images, cache=tmp_path, transform=lambda x: x.flip(-1))
    keys.add(turned.attrs["key"])
    assert len(keys) == 6


def test_progress(images):
    steps = []
    features.extract(small(), images, batch_size=3, progress=lambda *a: steps.append(a))
    assert steps == [(3, 7), (6, 7), (7, 7)]


def test_front_end_changes_nothing_else(images):
    model = small()
    behind = features.with_front_end(model, "neurn")
    assert behind.model is model and isinstance(behind.front_end, neurn.NeuRN)
    plain = features.extract(model, neurn.neurn(images))
    found = features.extract(behind, images)
    assert list(found) == list(plain)
    np.testing.assert_allclose(found["3.0"], plain["3.0"], atol=1e-6)
    assert found.attrs["front_end"] == "neurn" and "behind neurn" in repr(found)
    none = features.extract(features.with_front_end(model, "none"), images)
    assert none["0"].equals(features.extract(model, images)["0"])
    sobel = features.with_front_end(model, "sobel")
    assert type(sobel.front_end).__name__ == "Sobel"
    own = features.with_front_end(model, nn.AvgPool2d(2))
    assert features.extract(own, images).attrs["front_end"] == "AvgPool2d"
    with pytest.raises(ValueError, match=r"unknown front end '.*'; known: none, neurn"):
        features.with_front_end(model, "nerun")
    with pytest.raises(ValueError, match="must have no weights, got Conv2d"):
        features.with_front_end(model, nn.Conv2d(3, 3, 1))
    with pytest.raises(ValueError, match="has a front end already: neurn"):
        features.with_front_end(behind, "sobel")
    with pytest.raises(TypeError, match="must be a name or a module"):
        features.with_front_end(model, 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu(images):
    model = small()
    found = features.extract(model, images, device="cuda")
    np.testing.assert_allclose(found["0"], features.extract(model, images)["0"], atol=1e-4)
    assert next(model.parameters()).device.type == "cpu"


def test_grey_images_stay_grey_without_a_convolution_that_wants_three():
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    images = np.random.default_rng(0).random((5, 4, 4), np.float32)
    found = features.extract(model, images, layers="linear")["1"]
    expected = model(torch.from_numpy(images)).detach().numpy()
    np.testing.assert_allclose(found.values.reshape(5, 3), expected, rtol=1e-5, atol=1e-6)
