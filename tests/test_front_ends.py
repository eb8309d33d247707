import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from neurn import neurn
from neurn.front_ends import front_end, register, resolve, title
from neurn.generalize import FRONT_ENDS, Sobel, lenet
from neurn.generalize.models import build


def test_sobel_agrees_with_scipy():
    ndimage = pytest.importorskip("scipy.ndimage")
    x = np.random.default_rng(0).random((4, 3, 9, 11))
    planes = x.reshape(-1, 9, 11)
    edges = np.stack(
        [
            np.hypot(ndimage.sobel(p, 0, mode="mirror"), ndimage.sobel(p, 1, mode="mirror"))
            for p in planes
        ]
    ).reshape(x.shape)
    expected = edges / edges.max(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(Sobel()(torch.from_numpy(x)).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["neurn", "sobel"])
@pytest.mark.parametrize(("scale", "offset"), [(-1.0, 1.0), (0.2, 0.4), (3.0, -1.0)])
def test_maps_ignore_affine_changes_of_grey(name, scale, offset):
    x = torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    layer = FRONT_ENDS[name]()
    torch.testing.assert_close(layer(scale * x + offset), layer(x))


@pytest.mark.parametrize("name", ["neurn", "sobel"])
def test_maps_peak_at_one_per_image_and_vanish_on_flat_images(name):
    x = torch.rand(4, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    x[2] = 0.7
    peaks = FRONT_ENDS[name]()(x).amax(dim=(1, 2, 3))
    assert peaks.tolist() == [1.0, 1.0, 0.0, 1.0]


def test_no_front_end_changes_nothing():
    x = torch.rand(2, 3, 4, 4)
    assert FRONT_ENDS["none"]()(x) is x


def test_names_and_mappings_are_resolved():
    assert list(resolve(["sobel", "none"])) == ["sobel", "none"]
    own = {"mine": nn.Identity}
    assert resolve(own) == own
    with pytest.raises(ValueError, match=r"'nope'; known: none, neurn, sobel, log"):
        resolve(["none", "nope"])


def test_weights_depend_on_the_seed_and_not_on_the_front_end():
    torch.manual_seed(99)
    state = torch.random.get_rng_state()
    networks = [
        build(lenet, factory, seed=4) for name, factory in FRONT_ENDS.items() if name != "neurn_rgb"
    ]
    assert torch.equal(torch.random.get_rng_state(), state)
    other = build(lenet, nn.Identity, seed=5)
    for weights in zip(*(network.parameters() for network in networks), strict=True):
        assert all(torch.equal(weights[0], w) for w in weights[1:])
    assert not torch.equal(next(other.parameters()), next(networks[0].parameters()))


def test_front_ends_with_weights_are_refused():
    with pytest.raises(ValueError, match="Linear has weights"):
        build(lenet, lambda: nn.Linear(2, 2), seed=0)


def test_lenet_maps_images_to_logits():
    assert lenet(classes=7)(torch.rand(2, 3, 32, 32)).shape == (2, 7)


def planes(seed=0, shape=(2, 3, 24, 20)):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_laplacian_of_gaussian_agrees_with_scipy():
    ndimage = pytest.importorskip("scipy.ndimage")
    x = planes()
    ours = front_end("log:1.5")()(x).numpy()
    filtered = np.stack(
        [ndimage.gaussian_laplace(p, 1.5, mode="mirror", truncate=4) for p in x.flatten(0, 1)]
    ).reshape(x.shape)
    theirs = filtered / np.abs(filtered).max(axis=(1, 2, 3), keepdims=True)
    # scipy samples two separable filters; they differ a little from one sampled in the plane
    assert np.abs(ours - theirs).max() < 0.03
    assert np.abs(ours).max(axis=(1, 2, 3)).tolist() == pytest.approx([1.0, 1.0])


def test_local_contrast_normalization_by_brute_force():
    x = planes(shape=(1, 2, 7, 8))
    place = np.arange(5) - 2
    line = np.exp(-0.5 * (place / 1.25) ** 2)
    window = np.outer(line, line) / line.sum() ** 2
    grey = x.numpy()

    def mean(values):
        padded = np.pad(values.mean(axis=0), 2, mode="reflect")
        out = np.empty(values.shape[1:])
        for i, j in np.ndindex(out.shape):
            out[i, j] = (padded[i : i + 5, j : j + 5] * window).sum()
        return out

    centred = grey[0] - mean(grey[0])
    deviation = np.sqrt(mean(centred**2))
    expected = centred / np.maximum(deviation, deviation.mean())
    np.testing.assert_allclose(front_end("lcn:5")()(x)[0].numpy(), expected, rtol=1e-5, atol=1e-6)


def test_standardization_grey_and_sigma():
    x = planes()
    x[1] = 0.3
    y = FRONT_ENDS["standardize"]()(x)
    assert float(y[0].mean()) == pytest.approx(0, abs=1e-12)
    assert float(y[0].std(correction=0)) == pytest.approx(1)
    assert not y[1].any()
    luma = FRONT_ENDS["grey"]()(x)
    expected = 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]
    for channel in range(3):
        torch.testing.assert_close(luma[:, channel], expected)
    sigma = FRONT_ENDS["sigma"]()(x)
    torch.testing.assert_close(sigma / sigma.amax((1, 2, 3), True).clamp_min(1e-9), neurn(x))


def test_neurn_with_image_keeps_both():
    x = planes()
    y = front_end("neurn_rgb:5,scope=channel")()(x)
    assert torch.equal(y[:, 3:], x)
    assert torch.equal(y[:, :3], neurn(x, 5, scope="channel"))


@pytest.mark.parametrize("name", sorted(FRONT_ENDS))
def test_every_front_end_takes_flat_images_and_single_precision(name):
    y = FRONT_ENDS[name]()(torch.full((2, 3, 32, 32), 0.7))
    assert torch.isfinite(y).all()
    assert y.dtype == torch.float32
    assert title(name) != name or name == "none"


def test_options_are_read_by_name_and_by_place():
    layer = front_end("neurn:5,padding=zeros,floor=0.05")()
    assert (layer.kernel_size, layer.padding, layer.floor) == (5, "zeros", 0.05)
    assert title("neurn:5,scope=channel") == "NeuRN (5, scope=channel)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("neurn:size=5", "unknown option 'size'; allowed: kernel_size, padding, scope, floor"),
        ("sobel:3", "unknown option '3'; allowed: none"),
        ("neurn:9,9", "unknown option '9'; allowed: kernel_size"),
        ("neurn:5,kernel_size=7", "option 'kernel_size' comes twice"),
        ("none:3", "allowed: none"),
        ("neurn:4", "odd"),
        ("log:0", "sigma must be a finite number above 0"),
        ("lcn:4", "size must be odd"),
        ("neurn_rgb:padding=valid", "must keep the size"),
        ("nothing", "unknown front end 'nothing'"),
    ],
)
def test_wrong_options_are_one_sentence(text, message):
    with pytest.raises(ValueError, match=message):
        front_end(text)


def test_images_too_small_for_a_filter_are_named():
    with pytest.raises(ValueError, match="4 x 9 are too small for a filter of radius 4"):
        FRONT_ENDS["log"]()(torch.rand(1, 3, 4, 9))


def test_plug_ins(monkeypatch):
    monkeypatch.setattr("neurn.front_ends._REGISTRY", dict(FRONT_ENDS))
    register("halve", lambda by=2.0: nn.AvgPool2d(1, divisor_override=int(by)))
    assert float(front_end("halve:4")()(torch.ones(1, 3, 2, 2)).max()) == 0.25
    with pytest.raises(ValueError, match="known already"):
        register("halve", nn.Identity)
    with pytest.raises(ValueError, match="letters, digits"):
        register("a b", nn.Identity)


def test_front_ends_load_without_training_code():
    code = (
        "import sys, neurn.front_ends; "
        "sys.exit(any(name.startswith('neurn.generalize') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
