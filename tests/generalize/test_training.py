import numpy as np
import pytest
import torch
from torch import nn

from neurn.generalize import LabelLeakError, TrainingConfig
from neurn.generalize.models import build
from neurn.generalize.training import as_tensor, fit, predict

CONFIG = TrainingConfig(epochs=6, batch_size=8, learning_rate=0.01)


def test_it_learns_the_source(toy_source, toy_model):
    split, model = toy_source.split(0), build(toy_model, nn.Identity, 0)
    outcome = fit(model, split.train, split.validation, CONFIG, seed=0)
    assert outcome.validation_accuracy > 0.9
    assert outcome.seconds > 0
    assert split.test.accuracy(predict(model, split.test.images)) > 0.9


def test_same_seed_same_weights(toy_source, toy_model):
    def train(seed):
        split, model = toy_source.split(0), build(toy_model, nn.Identity, 0)
        fit(model, split.train, split.validation, CONFIG, seed)
        return [p.detach().clone() for p in model.parameters()]

    assert all(map(torch.equal, train(1), train(1)))
    assert not all(map(torch.equal, train(1), train(2)))


class Scripted(nn.Module):
    """Validation accuracy follows a script: right on the first images of each epoch's share."""

    def __init__(self, shares, labels):
        super().__init__()
        self.shares, self.labels = shares, torch.from_numpy(labels)
        self.epoch = nn.Parameter(torch.zeros(1))
        self.counted = 0

    def forward(self, x):
        if self.training:
            return self.epoch.expand(len(x), 1).repeat(1, 3)
        right = self.shares[self.counted]
        self.counted += 1
        with torch.no_grad():
            self.epoch.fill_(self.counted)
        answers = self.labels.clone()
        answers[right:] = (answers[right:] + 1) % 3
        return nn.functional.one_hot(answers, 3).float()


def test_the_last_of_the_best_validation_epochs_is_kept(toy_source):
    split = toy_source.split(0)
    model = Scripted([5, 15, 10, 15, 2, 0], split.validation.labels)
    seen = []
    outcome = fit(model, split.train, split.validation, CONFIG, 0, lambda e, a: seen.append((e, a)))
    assert seen == [(1, 0.25), (2, 0.75), (3, 0.5), (4, 0.75), (5, 0.1), (6, 0.0)]
    assert (outcome.epoch, outcome.validation_accuracy) == (4, 0.75)
    assert model.epoch.item() == 4.0


def test_callbacks_cannot_score_targets(toy_source, toy_model):
    split, model = toy_source.split(0), build(toy_model, nn.Identity, 0)

    def peek(epoch, accuracy):
        split.test.accuracy(predict(model, split.test.images))

    with pytest.raises(LabelLeakError):
        fit(model, split.train, split.validation, CONFIG, 0, peek)
    split.test.accuracy(predict(model, split.test.images))


def test_evaluation_sets_are_refused_for_training(toy_source, toy_model):
    split, model = toy_source.split(0), build(toy_model, nn.Identity, 0)
    with pytest.raises(TypeError, match="not EvaluationSet"):
        fit(model, split.train, split.test, CONFIG, 0)
    with pytest.raises(TypeError, match="not EvaluationSet"):
        fit(model, split.test, split.validation, CONFIG, 0)


def test_images_become_floats_from_0_to_1():
    images = np.array([0, 51, 255], dtype=np.uint8).reshape(1, 3, 1, 1)
    x = as_tensor(images)
    assert x.dtype == torch.float32
    np.testing.assert_allclose(x.flatten().numpy(), [0.0, 0.2, 1.0], rtol=1e-6)


def test_prediction_does_not_depend_on_the_batch_size(toy_data, toy_model):
    model = build(toy_model, nn.Identity, 0)
    whole = predict(model, toy_data.images, batch_size=90)
    assert whole.dtype == np.int64
    assert (predict(model, toy_data.images, batch_size=7) == whole).all()


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}])
def test_settings_must_be_positive(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=rf"^{name} must be .*, got 0"):
        TrainingConfig(**wrong)
