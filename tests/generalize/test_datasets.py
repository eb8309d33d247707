import numpy as np
import pytest

from neurn.generalize import Dataset, EvaluationSet, LabelLeakError, Source
from neurn.generalize.datasets import (
    labels_sealed,
    random_generator,
    sha256_of,
    stratified_order,
)


def indexed(count: int, classes: int) -> Dataset:
    """Images that carry their own index, so that splits can be traced."""
    images = np.zeros((count, 3, 2, 2), dtype=np.uint8)
    images[:, 0, 0, 0] = np.arange(count) % 256
    images[:, 0, 0, 1] = np.arange(count) // 256
    return Dataset("indexed", images, np.arange(count) % classes)


def indices(images) -> list[int]:
    return (images[:, 0, 0, 0].astype(int) + 256 * images[:, 0, 0, 1].astype(int)).tolist()


def test_split_has_the_stated_sizes_and_no_overlap():
    split = Source(indexed(500, 7), 300, 80, 100).split(3)
    parts = [indices(part.images) for part in (split.train, split.validation, split.test)]
    assert [len(part) for part in parts] == [300, 80, 100]
    assert len(set().union(*parts)) == 480


def test_split_keeps_image_and_label_together():
    split = Source(indexed(500, 7), 300, 80, 100).split(3)
    assert split.train.labels.tolist() == [i % 7 for i in indices(split.train.images)]
    truth = np.array([i % 7 for i in indices(split.test.images)])
    assert split.test.accuracy(truth) == 1.0


def test_split_is_fixed_by_the_seed():
    source = Source(indexed(100, 3), 50, 20, 30)
    first, again, other = source.split(1), source.split(1), source.split(2)
    assert indices(first.train.images) == indices(again.train.images)
    assert indices(first.train.images) != indices(other.train.images)


@pytest.mark.parametrize("seed", range(5))
def test_every_slice_holds_classes_in_proportion(seed):
    labels = np.repeat([0, 1, 2], [100, 60, 40])
    order = stratified_order(labels, seed)
    assert sorted(order.tolist()) == list(range(200))
    for start, stop in [(0, 50), (50, 120), (120, 200), (13, 77)]:
        share = np.bincount(labels[order[start:stop]], minlength=3) / np.array([100, 60, 40]) * 200
        tolerance = 2 * 200 / np.array([100, 60, 40])
        assert (np.abs(share - (stop - start)) < tolerance).all()


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, 1, 0), (60, 30, 11)])
def test_impossible_split_sizes_are_named(sizes):
    with pytest.raises(ValueError, match="at most 100"):
        Source(indexed(100, 3), *sizes)


def test_evaluation_set_has_no_labels_to_read():
    test = EvaluationSet("t", np.zeros((2, 3, 4, 4), np.uint8), np.array([0, 1]))
    assert not any("label" in name and not name.startswith("_") for name in dir(test))
    with pytest.raises(AttributeError):
        test.labels  # noqa: B018


def test_accuracy_counts_matches():
    test = EvaluationSet("t", np.zeros((4, 3, 4, 4), np.uint8), np.array([0, 1, 2, 3]))
    assert test.accuracy(np.array([0, 1, 0, 0])) == 0.5
    with pytest.raises(ValueError, match="predictions"):
        test.accuracy(np.array([0]))


def test_scoring_is_refused_while_labels_are_sealed_and_allowed_after():
    test = EvaluationSet("target", np.zeros((1, 3, 4, 4), np.uint8), np.array([0]))
    with pytest.raises(LabelLeakError, match="'target'"), labels_sealed():
        test.accuracy(np.array([0]))
    assert test.accuracy(np.array([0])) == 1.0


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((2, 3, 4, 4), np.float32), np.zeros(2, np.int64)),
        (np.zeros((2, 1, 4, 4), np.uint8), np.zeros(2, np.int64)),
        (np.zeros((2, 3, 4, 4), np.uint8), np.zeros(3, np.int64)),
    ],
)
def test_wrong_arrays_are_refused(images, labels):
    with pytest.raises(ValueError, match=r"images"):
        Dataset("bad", images, labels)
    with pytest.raises(ValueError, match=r"images"):
        EvaluationSet("bad", images, labels)


def test_hash_follows_pixels_labels_and_shape():
    data = indexed(10, 2)
    changed = data.images.copy()
    changed[3, 1, 1, 1] += 1
    assert data.sha256() == indexed(10, 2).sha256()
    assert Dataset("x", changed, data.labels).sha256() != data.sha256()
    assert Dataset("x", data.images, data.labels[::-1]).sha256() != data.sha256()
    assert sha256_of(np.zeros((2, 3))) != sha256_of(np.zeros((3, 2)))


def test_generators_differ_by_seed_and_purpose():
    draws = {
        random_generator(seed, purpose).integers(2**62)
        for seed in (0, 1)
        for purpose in ("split", "noise")
    }
    assert len(draws) == 4
    assert random_generator(5, "x").integers(99) == random_generator(5, "x").integers(99)
