import json
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from neurn import features

pytest.importorskip("sklearn")


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 5, stride=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(96, 10),
    )


@pytest.fixture
def data():
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 20)
    images = random.integers(0, 60, (60, 3, 16, 16)).astype(np.uint8)
    for label in range(3):
        images[labels == label, label] += 150  # a colour each
    return images, labels


def test_grey_images_stay_grey_for_a_model_that_takes_them():
    model = nn.Sequential(nn.Conv2d(1, 4, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 10))
    found = features.finetune(model, classes=3, epochs=2, learning_rate=3e-3)
    assert found.log[-1]["accuracy"] > 0.6
    with pytest.raises(ValueError, match="must be a number of them or a sequence"):
        features.finetune(model, classes=2.5)


def test_learns_digits():
    found = features.finetune(net(), classes=3, epochs=3, learning_rate=3e-3)
    assert found.classes == ("0", "1", "2") and len(found.log) == 3
    assert found.log[-1]["validation_accuracy"] > 0.8
    assert found.log[-1]["loss"] < found.log[0]["loss"]
    assert not found.model.training
    said = features.extract(found.model, torch.rand(1, 3, 32, 32)).attrs
    assert said["model"] == "Sequential"
    assert said["weights"] == "as given, fine-tuned on scikit-learn's digits (3 classes, 3 epochs)"


def test_resume_equals_one_go(data, tmp_path):
    whole = features.finetune(net(), data, epochs=4, seed=5, out=tmp_path / "a")
    features.finetune(net(), data, epochs=2, seed=5, out=tmp_path / "b")
    torch.manual_seed(99)
    steps = []
    rest = features.finetune(
        net(), data, epochs=4, seed=5, out=tmp_path / "b", progress=lambda *a: steps.append(a)
    )
    assert steps == [(3, 4), (4, 4)]
    assert rest.log == whole.log
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, rest.model.state_dict()[name]), name
    lines = (tmp_path / "b" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="of another call: seed was 5 and is 6"):
        features.finetune(net(), data, epochs=4, seed=6, out=tmp_path / "b")
    (tmp_path / "b" / "checkpoint.pt").write_bytes(b"cut off")
    with pytest.raises(ValueError, match="not a checkpoint that can be read"):
        features.finetune(net(), data, epochs=4, seed=5, out=tmp_path / "b")


def test_head_alone(data):
    model = net()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    features.finetune(model, data, epochs=1, trainable="head")
    after = model.state_dict()
    assert all(torch.equal(after[n], t) for n, t in before.items() if not n.startswith("6."))
    assert after["6.weight"].shape == (3, 96)


def test_behind_a_front_end(data):
    found = features.finetune(features.with_front_end(net(), "neurn"), data, epochs=1)
    said = features.extract(found.model, torch.rand(1, 3, 16, 16)).attrs
    assert said["front_end"] == "neurn" and "fine-tuned on own images" in said["weights"]


def cifar(folder, classes=4):
    random = np.random.default_rng(1)
    train = {
        b"data": random.integers(0, 256, (10 * classes, 3072), dtype=np.uint8),
        b"fine_labels": [int(k) for k in np.repeat(np.arange(classes), 10)],
    }
    meta = {b"fine_label_names": [b"apple", b"bear", b"can", b"dinosaur"][:classes]}
    for name, content in (("train", train), ("meta", meta)):
        (folder / name).write_bytes(pickle.dumps(content))


def test_cifar100_from_files(tmp_path):
    cifar(tmp_path)
    found = features.finetune(net(), tmp_path, ["can", 0], epochs=1)
    assert found.classes == ("can", "apple")
    with pytest.raises(ValueError, match="there is no 'pear' among 4"):
        features.finetune(net(), tmp_path, ["pear", "can"], epochs=1)
    (tmp_path / "meta").write_bytes(pickle.dumps({b"names": []}))
    with pytest.raises(ValueError, match="is not CIFAR-100"):
        features.finetune(net(), tmp_path, epochs=1)
    (tmp_path / "meta").write_bytes(pickle.dumps(print))
    with pytest.raises(ValueError, match="is no file of CIFAR-100: it asks"):
        features.finetune(net(), tmp_path, epochs=1)
    (tmp_path / "meta").unlink()
    with pytest.raises(FileNotFoundError, match="has no meta"):
        features.finetune(net(), tmp_path, epochs=1)


def test_errors(data):
    images, labels = data
    with pytest.raises(ValueError, match="trainable must be one of"):
        features.finetune(net(), data, trainable="last")
    with pytest.raises(ValueError, match="must be positive, got 0, 64"):
        features.finetune(net(), data, epochs=0)
    with pytest.raises(ValueError, match="must hold uint8 images"):
        features.finetune(net(), (images / 255, labels))
    with pytest.raises(ValueError, match="classes must be 2 or more different"):
        features.finetune(net(), data, [1, 1])
    with pytest.raises(ValueError, match="5 images or more of each class, got 2"):
        features.finetune(net(), (images[:42], labels[:42]))
    with pytest.raises(ValueError, match="has no last linear layer"):
        features.finetune(nn.Sequential(nn.Conv2d(3, 3, 1)), data)
    with pytest.raises(ValueError, match="lower learning_rate"):
        features.finetune(net(), data, learning_rate=1e30)
