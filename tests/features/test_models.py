import pytest
import torch
from torch import nn

import neurn
from neurn import features
from neurn.features import models


def plain():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())


def test_the_thirteen_can_be_built(timm):
    """All of them, without numbers."""
    assert len(features.PUBLISHED) == 13
    with torch.device("meta"):
        for name in features.PUBLISHED:
            made = models._make(models._RECIPES[name])
            assert len(features.layer_names(made)) >= 13, name


def test_random_weights_are_said_and_repeat(timm):
    first = features.published("MobileNetV2", weights="random", seed=3)
    again = features.published("MobileNetV2", weights="random", seed=3)
    other = features.build("MobileNetV2", weights="random", seed=4)
    name = "model.features.0.0.weight"
    weights = [dict(m.named_parameters())[name] for m in (first, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    found = features.extract(first, torch.rand(1, 3, 40, 40), ["features.0.0"], reduce="mean")
    assert found.attrs["weights"] == "random weights (seed 3)" and found.attrs["model"]
    assert found["features.0.0"].attrs["weights"] == "random weights (seed 3)"
    behind = features.extract(
        features.with_front_end(first), torch.rand(1, 3, 40, 40), ["features.0.0"], reduce="mean"
    )
    assert behind.attrs["weights"] == "random weights (seed 3)"
    assert behind.attrs["model"] == "MobileNetV2"


def test_cached_weights_are_used(timm, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None, raising=False)
    made = features.published("MobileNetV2")
    assert made.weights == "random weights (seed 0)"  # nothing there
    from torchvision.models import MobileNet_V2_Weights

    url = MobileNet_V2_Weights.DEFAULT.url
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    donor = features.published("MobileNetV2", weights="random", seed=9)
    torch.save(donor.model.state_dict(), folder / url.rpartition("/")[2])
    found = features.published("MobileNetV2")
    assert found.weights == f"weights of {url.rpartition('/')[2]}"
    key = "features.0.0.weight"
    assert torch.equal(found.model.state_dict()[key], donor.model.state_dict()[key])


def test_timm_weights_of_the_hub(timm, tmp_path, monkeypatch):
    import huggingface_hub

    donor = features.build("timm/mobilenetv3_small_050", weights="random", seed=9)
    file = tmp_path / "pytorch_model.bin"
    torch.save(donor.model.state_dict(), file)
    asked = []

    def try_to_load(repository, name):
        asked.append((repository, name))
        return str(file) if name == "pytorch_model.bin" else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", try_to_load)
    found = features.build("timm/mobilenetv3_small_050")
    assert found.weights == "weights of pytorch_model.bin"
    assert asked[0] == ("timm/mobilenetv3_small_050.lamb_in1k", "model.safetensors")


def test_a_callable_of_your_own(tmp_path):
    made = features.build("tests.features.test_models:plain")
    assert made.weights == "as the callable makes it" and made.size is None
    assert features.extract(made, torch.rand(2, 3, 8, 8))["0"].shape == (2, 4, 6, 6)
    file = tmp_path / "weights.pt"
    torch.save(plain().state_dict(), file)
    stored = features.build("tests.features.test_models:plain", weights=str(file))
    assert stored.weights == "weights of weights.pt"
    with pytest.raises(ValueError, match="cannot be imported"):
        features.build("tests.features.test_models:nothing")
    with pytest.raises(ValueError, match=r"must make a torch.nn.Module, got dict"):
        features.build("builtins:dict")
    with pytest.raises(FileNotFoundError, match="is none"):
        features.build("tests.features.test_models:plain", weights="nowhere.pt")
    file.write_bytes(b"no weights")
    with pytest.raises(ValueError, match="does not hold weights of"):
        features.build("tests.features.test_models:plain", weights=str(file))


def test_names():
    with pytest.raises(ValueError, match="close to it: VGG16"):
        features.build("VGG-16")
    with pytest.raises(ValueError, match="name must be one of MobileNet,"):
        features.published("torchvision/vgg11")


def test_a_package_that_does_not_load(monkeypatch):
    def broken(module, extra):
        raise RuntimeError("operator torchvision::nms does not exist\nand more")

    monkeypatch.setattr("neurn._optional.import_optional", broken)
    for weights in ("cached", "random"):
        with pytest.raises(ImportError, match="torchvision does not load beside torch"):
            features.build("VGG16", weights)


def test_unknown_models_of_packages(timm):
    with pytest.raises(ValueError, match="torchvision cannot make 'vgg17'"):
        features.build("torchvision/vgg17")
    with pytest.raises(ValueError, match="timm cannot make 'vgg17'"):
        features.build("timm/vgg17")


def test_input_is_resized_and_normalized():
    model = features.NamedModel(
        nn.Conv2d(3, 1, 1), "n", "w", size=8, mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.5)
    )
    x = torch.rand(2, 3, 8, 8)
    expected = model.model((x - torch.tensor([0.1, 0.2, 0.3])[:, None, None]) / 0.5)
    torch.testing.assert_close(model(x), expected)
    large = torch.rand(2, 3, 30, 30)
    assert model(large).shape == (2, 1, 8, 8)
    behind = features.with_front_end(model, "neurn")
    torch.testing.assert_close(behind(large), model(neurn.neurn(model.resized(large))))
