from dataclasses import replace

import pytest
import torch
from torch import nn

from neurn.generalize import (
    Dataset,
    EvaluationSet,
    Results,
    Run,
    Shift,
    Source,
    TrainingConfig,
    evaluate,
    t_interval,
)
from neurn.generalize.shifts import add_noise, invert

TARGETS = (
    Shift("inverted", "Inverted", "255 - x", lambda images, _: invert(images)),
    Shift("noisy", "Noisy", "sd 0.2", lambda images, rng: add_noise(images, 0.2, rng)),
)
CONFIG = TrainingConfig(epochs=3, batch_size=8, learning_rate=0.01)


class Recorder(nn.Module):
    """A front end that changes nothing and keeps what it sees."""

    def __init__(self, log):
        super().__init__()
        self.log = log

    def forward(self, x):
        self.log.append((self.training, x.clone()))
        return x


def without_times(results: Results):
    fits = [
        (t.seed, t.front_end, t.fit.epoch, t.fit.validation_accuracy) for t in results.trainings
    ]
    return results.runs, fits


def test_one_run_per_seed_front_end_and_domain(toy_source, toy_model):
    results = evaluate(toy_model, toy_source, TARGETS, ("none", "sobel"), 2, CONFIG)
    assert results.seeds == (0, 1)
    assert results.front_ends == ("none", "sobel")
    assert results.domains == ("toy", "inverted", "noisy")
    keys = [(run.seed, run.front_end, run.domain) for run in results.runs]
    assert len(set(keys)) == len(keys) == 2 * 2 * 3
    assert {run.n for run in results.runs} == {30}
    assert all(0 <= run.accuracy <= 1 for run in results.runs)
    assert len(results.trainings) == 4


def test_front_ends_of_a_seed_see_the_same_batches_and_targets(toy_source, toy_model):
    logs = {"first": [], "second": []}
    front_ends = {name: (lambda log=log: Recorder(log)) for name, log in logs.items()}
    results = evaluate(toy_model, toy_source, TARGETS, front_ends, [7], CONFIG)
    first, second = logs.values()
    assert len(first) == len(second) > 3 * 5
    assert sum(training for training, _ in first) == 3 * 5
    for (mode, x), (other_mode, y) in zip(first, second, strict=True):
        assert mode == other_mode
        assert torch.equal(x, y)
    for domain in results.domains:
        assert results.accuracies("first", domain) == results.accuracies("second", domain)


def test_batches_differ_between_epochs_and_seeds(toy_source, toy_model):
    log = []
    evaluate(toy_model, toy_source, TARGETS, {"it": lambda: Recorder(log)}, 2, CONFIG)
    batches = [x for training, x in log if training]
    assert not torch.equal(batches[0], batches[5])
    assert not torch.equal(batches[0], batches[15])


def test_results_repeat(toy_source, toy_model):
    first, again = (
        evaluate(toy_model, toy_source, TARGETS, ("none", "neurn"), 2, CONFIG) for _ in range(2)
    )
    assert without_times(first) == without_times(again)


def test_training_never_sees_test_labels(toy_data, toy_model):
    """Wrong labels on all test images change scores, and nothing about the models."""

    class Mislabelled(Source):
        def split(self, seed):
            split = super().split(seed)
            ids = split.test.ids
            labels = (toy_data.labels[ids] + 1) % 3
            wrong = EvaluationSet(split.test.name, split.test.images, labels, ids)
            return replace(split, test=wrong)

    logs = []
    scores = []
    for kind in (Source, Mislabelled):
        log = []
        source = kind(toy_data, 40, 20, 30)
        results = evaluate(
            toy_model, source, TARGETS, {"it": lambda log=log: Recorder(log)}, 2, CONFIG
        )
        logs.append((without_times(results)[1], [x for _, x in log]))
        scores.append([run.accuracy for run in results.runs])
    (fits, inputs), (other_fits, other_inputs) = logs
    assert fits == other_fits
    assert all(map(torch.equal, inputs, other_inputs))
    assert scores[0] != scores[1]
    assert [scores[0][0], scores[1][0]] == [1.0, 0.0]


def test_targets_are_made_from_test_images_only(toy_source, toy_model):
    seen = []

    def keep(images, _):
        seen.append(images)
        return images

    evaluate(toy_model, toy_source, [Shift("same", "", "", keep)], ("none",), [3], CONFIG)
    assert (seen[0] == toy_source.split(3).test.images).all()


def test_targets_are_drawn_anew_for_each_seed(toy_source, toy_model):
    drawn = []

    def keep_draw(images, rng):
        drawn.append(rng.integers(2**62))
        return images

    shift = Shift("drawn", "", "", keep_draw)
    evaluate(toy_model, toy_source, [shift], ("none", "sobel"), [3, 5], CONFIG)
    for seed in (3, 5):
        shift.render(toy_source.split(seed).test, seed)
    assert drawn[:2] == drawn[2:]
    assert drawn[0] != drawn[1]


def test_progress_reports_every_epoch(toy_source, toy_model):
    events = []
    evaluate(toy_model, toy_source, TARGETS, ("none", "sobel"), [4, 2], CONFIG, events.append)
    expected = [(s, f, e) for s in (4, 2) for f in ("none", "sobel") for e in (1, 2, 3)]
    assert [(event.seed, event.front_end, event.epoch) for event in events] == expected
    assert {event.epochs for event in events} == {3}
    assert all(0 <= event.validation_accuracy <= 1 for event in events)


@pytest.mark.parametrize("seeds", [0, [], [1, 1]])
def test_seeds_must_be_there_and_differ(seeds, toy_source, toy_model):
    with pytest.raises(ValueError, match="at least one, each once"):
        evaluate(toy_model, toy_source, TARGETS, seeds=seeds)


def test_domain_names_must_differ(toy_source, toy_model):
    with pytest.raises(ValueError, match="inverted, inverted"):
        evaluate(toy_model, toy_source, [TARGETS[0], TARGETS[0]])


def test_intervals_and_pairing():
    table = {"none": [0.50, 0.60, 0.70], "neurn": [0.55, 0.63, 0.78]}
    runs = [
        Run(seed, name, "d", table[name][seed], 10)
        for name in ("neurn", "none")
        for seed in (2, 0, 1)
    ]
    results = Results(tuple(runs), (), (0, 1, 2), ("none", "neurn"), ("d",))
    assert results.accuracies("none", "d") == table["none"]
    assert results.accuracy("none", "d").mean == pytest.approx(0.6)
    paired = results.difference("neurn", "none", "d")
    expected = t_interval([0.05, 0.03, 0.08])
    assert paired.mean == pytest.approx(expected.mean)
    assert paired.low == pytest.approx(expected.low)
    assert paired.high == pytest.approx(expected.high)
    assert results.difference("none", "neurn", "d").mean == pytest.approx(-paired.mean)


def test_intervals_stay_within_what_is_possible():
    runs = [Run(seed, "none", "d", value, 10) for seed, value in enumerate([1.0, 0.9])]
    results = Results(tuple(runs), (), (0, 1), ("none",), ("d",))
    interval = results.accuracy("none", "d")
    assert 0.0 <= interval.low < interval.high == 1.0


def test_a_dataset_may_have_any_name(toy_data, toy_model):
    source = Source(Dataset("letters", toy_data.images, toy_data.labels), 40, 20, 30)
    results = evaluate(toy_model, source, [], ("none",), 1, CONFIG)
    assert results.domains == ("letters",)
