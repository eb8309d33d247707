"""The shipped sequences are those of the real models, built anew.

Built here: every model of torchvision, timm, pytorchcv and our own definitions, and one of each
family of Keras. The rest of Keras too: `python scripts/catalogue.py --check`. ViT-B is not built
here, whose transformers (< 4.48) does not go with the other packages, nor NASNetMobile, which needs
jax.
"""

import gzip
import importlib.util
import json
from pathlib import Path

import pytest

from neurn.arch import zoo
from neurn.arch.recipes import RECIPES

KERAS = [
    *["MobileNet", "MobileNetV2", "ResNet50", "ResNet50V2", "Xception", "InceptionV3", "VGG16"],
    *["VGG19", "DenseNet121", "EfficientNetB0", "EfficientNetB1"],
]
PACKAGES = ("torchvision", "timm", "pytorchcv", "neurn")
LARGE, PARTS = ("torchvision", "timm"), 3  # in parts, for processes side by side


@pytest.fixture(scope="module")
def catalogue():
    path = Path(__file__).parents[2] / "scripts" / "catalogue.py"
    spec = importlib.util.spec_from_file_location("catalogue", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("package", "part"),
    [(package, part) for package in PACKAGES for part in range(PARTS if package in LARGE else 1)],
)
@pytest.mark.filterwarnings("ignore")
def test_torch_models(package, part, catalogue, torchvision, timm):
    if package == "pytorchcv":
        pytest.importorskip("pytorchcv", reason="pytorchcv is not installed")
    names = [recipe.name for recipe in RECIPES.values() if recipe.package == package]
    if package in LARGE:
        names = names[part::PARTS]
    made = catalogue.read_torch(names)
    assert list(made) == names and names
    assert [name for name in names if not catalogue.agrees(name, made[name])] == []


def test_keras_models(catalogue, keras):
    made = catalogue.read_keras("torch", KERAS)
    assert sorted(made) == sorted(KERAS)
    assert [name for name in KERAS if not catalogue.agrees(name, made[name])] == []


def test_a_difference_is_found(catalogue):
    entry = zoo._entry("CORnet-S")
    made = json.loads(
        json.dumps(
            {
                method: catalogue.reading(zoo._layers(each), each["source"])
                for method, each in entry["readings"].items()
            }
        )
    )
    assert catalogue.agrees("CORnet-S", {"readings": made})
    made["trace"]["layers"][3][3]["kernel"] = [5, 5]
    assert not catalogue.agrees("CORnet-S", {"readings": made})
    assert not catalogue.agrees("CORnet-S", {"readings": made, "backend": "jax"})


def test_the_catalogue_is_written_as_it_is(catalogue, tmp_path):
    models = {}
    for name in RECIPES:
        entry = zoo._entry(name)
        readings = {
            method: catalogue.reading(zoo._layers(each), each["source"])
            for method, each in entry["readings"].items()
        }
        models[name] = {**entry, "readings": readings}
    catalogue.PACKAGES = ("torch",)
    catalogue.write(models, tmp_path / "catalogue.json.gz")
    old, new = (
        json.loads(gzip.decompress(path.read_bytes()))
        for path in (
            Path(zoo.__file__).with_name(catalogue.CATALOGUE.name),
            tmp_path / "catalogue.json.gz",
        )
    )
    assert old["models"] == new["models"] and old["shared"] == new["shared"]
