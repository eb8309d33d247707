import pytest
import torch
from torch import nn

from neurn.front_ends import FRONT_ENDS
from neurn.generalize import digit_net, lenet
from neurn.generalize.models import (
    MODELS,
    Known,
    build,
    fingerprint,
    keep_resolution,
    names,
    resolve_model,
    widen,
)


def test_the_common_digit_network_has_its_published_widths():
    network = digit_net()
    shapes = [tuple(p.shape) for p in network.parameters() if p.dim() > 1]
    assert shapes == [(64, 3, 5, 5), (128, 64, 5, 5), (1024, 3200), (1024, 1024), (10, 1024)]
    assert digit_net(classes=4)(torch.rand(2, 3, 32, 32)).shape == (2, 4)


def test_callables_get_the_number_of_classes_if_they_ask():
    assert resolve_model(lenet).make(7)[-1].out_features == 7
    assert resolve_model(lambda: nn.Linear(2, 3), "mine").name == "mine"
    assert resolve_model(lambda num_classes: nn.Linear(2, num_classes)).make(5).out_features == 5
    assert resolve_model("lenet").make(3)[-1].out_features == 3


def test_what_is_no_model_is_one_sentence(torchvision):
    with pytest.raises(ValueError, match=r"unknown model 'lennet'; known: lenet, digit_net"):
        resolve_model("lennet")
    with pytest.raises(TypeError, match="makes a fresh network, got Linear"):
        resolve_model(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"torchvision\.models has none"):
        resolve_model("torchvision/resnet17").make(10)


def test_packages_that_do_not_fit_torch_are_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "made_for_another.py").write_text("raise RuntimeError('operator x::y\\nis not')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"^made_for_another does not load beside torch .*x::y$"):
        Known("made_for_another:net", {}).build(3)


FAMILIES = (
    *("vgg", "resnet", "resnet50v2", "mobilenet", "xception", "densenet", "efficientnet"),
    *("inception", "nasnet", "mnasnet", "fbnet", "proxylessnas", "spnasnet", "vit"),
)


def test_every_family_of_the_claim_is_there():
    for family in FAMILIES:
        assert any(name.startswith(family) for name in names()), family


@pytest.mark.parametrize(
    "name", [name for name in MODELS if "_32" in name or ("small" in name and name != "vit_small")]
)
def test_small_forms_take_small_images(name, timm):
    if name == "mobilenet_v3_small":
        pytest.skip("the full form for 224 x 224")
    network = resolve_model(name).make(10).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_full_forms_are_built_by_name(timm):
    with torch.device("meta"):
        for name in ("vgg11", "resnet50v2", "xception", "nasnet", "inception_v3", "vit_tiny"):
            network = resolve_model(name).make(7)
            assert any(p.shape[0] == 7 for p in network.parameters()), name


def test_proxylessnas_comes_from_pytorchcv():
    pytest.importorskip("pytorchcv")
    network = resolve_model("proxylessnas").make(7).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, 224, 224)).shape == (1, 7)


def test_batch_statistics_are_learnt_within_a_short_training(timm):
    for name in (name for name, known in MODELS.items() if "pytorchcv" not in known.target):
        with torch.device("meta"):
            network = resolve_model(name).make(10)
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        assert all(norm.momentum >= 0.01 for norm in norms), name


def test_small_images_keep_their_resolution_longer(torchvision):
    sizes = {}
    for kept in (False, True):
        network = torchvision.models.resnet18(weights=None)
        if kept:
            keep_resolution(network)
        network.layer4.register_forward_hook(
            lambda _, __, out, kept=kept: sizes.__setitem__(kept, tuple(out.shape[2:]))
        )
        network.eval()(torch.rand(1, 3, 32, 32))
    assert sizes == {False: (1, 1), True: (4, 4)}


def test_widening_repeats_weights_and_keeps_the_scale():
    torch.manual_seed(0)
    network = lenet()
    before = network[0].weight.detach().clone()
    widen(network, 6)
    assert network[0].weight.shape == (6, 6, 5, 5)
    torch.testing.assert_close(network[0].weight[:, :3], before / 2)
    x = torch.rand(2, 3, 32, 32)
    same = nn.functional.conv2d(x, before, network[0].bias)
    torch.testing.assert_close(network[0](torch.cat([x, x], 1)), same)
    with pytest.raises(ValueError, match="must take three channels"):
        widen(nn.Linear(3, 3), 6)


def test_front_ends_with_more_channels_widen_the_model():
    network = build(lenet, FRONT_ENDS["neurn_rgb"], 0)
    assert network.training
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_fingerprints_follow_weights_and_structure():
    one, again, other = (build(lenet, nn.Identity, seed) for seed in (0, 0, 1))
    assert fingerprint(one) == fingerprint(again) != fingerprint(other)
    assert fingerprint(build(lenet, FRONT_ENDS["sobel"], 0)) != fingerprint(one)
    assert fingerprint(nn.Linear(2, 2).bfloat16()) != fingerprint(nn.Linear(2, 2))
