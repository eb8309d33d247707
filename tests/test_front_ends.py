import numpy as np
import pytest
import torch
from torch import nn

from neurn.front_ends import resolve
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
