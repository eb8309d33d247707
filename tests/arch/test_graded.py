import math

import numpy as np
import pytest

from neurn import align, arch
from neurn.arch import Graded, Layer


def conv(kernel=(3, 3), stride=(1, 1), groups=1, channels=(64, 64)):
    told = {"kernel": kernel, "stride": stride, "groups": groups, "channels": channels}
    return Layer("x", "conv2d", "Conv2d", told)


def by_definition(graded, token_x, x, token_y, y):
    """The formula of the docstring, number by number."""
    if token_x != token_y:
        return graded.mismatch
    told = x.parameters, y.parameters

    def relative(key):
        a, b = (each.get(key) for each in told)
        if not a or not b:
            return 0.0
        parts = [1 - min(i, j) / max(i, j) for i, j in zip(a, b, strict=False)]
        return sum(parts) / len(parts)

    def width():
        if any("channels" not in each for each in told):
            return 0.0
        a, b = (each["channels"][1] for each in told)
        return 1 - min(a, b) / max(a, b)

    def groups():
        if any("groups" not in each for each in told):
            return 0.0
        a, b = (
            math.log(each["groups"]) / math.log(each["channels"][0]) if each["groups"] > 1 else 0.0
            for each in told
        )
        return abs(a - b)

    return (
        graded.match
        - graded.kernel * relative("kernel")
        - graded.stride * relative("stride")
        - graded.groups * groups()
        - graded.width * width()
    )


def test_one_difference_at_a_time():
    score = Graded(match=3, kernel=1, stride=0.8, groups=0.6, width=0.4).pair
    same = conv()
    assert score("conv", same, "conv", conv()) == 3
    assert score("conv", same, "conv", conv(kernel=(5, 5))) == pytest.approx(3 - 0.4)
    assert score("conv", same, "conv", conv(kernel=(1, 3))) == pytest.approx(3 - 1 / 3, abs=0.005)
    assert score("conv", same, "conv", conv(stride=(2, 2))) == pytest.approx(3 - 0.4)
    assert score("conv", same, "conv", conv(groups=64)) == pytest.approx(3 - 0.6)
    assert score("conv", same, "conv", conv(groups=8)) == pytest.approx(3 - 0.3)
    assert score("conv", same, "conv", conv(channels=(64, 256))) == pytest.approx(3 - 0.3)
    assert score("conv", same, "conv", Layer("x", "conv2d")) == 3  # does not tell
    assert score("conv", same, "norm", Layer("x", "batch_norm")) == -1


@pytest.mark.parametrize("vocabulary", ["canonical", "published"])
def test_scores_are_the_definition_s(vocabulary):
    graded = Graded(3, -2, -1, kernel=1.5, stride=0.5, groups=0.75, width=1)
    names = ["MobileNet", "torchvision/regnet_x_400mf", "U-Net"]
    read = [arch.zoo.sequence(name, vocabulary) for name in names]
    scoring = graded.scoring(read)
    layers = {}
    for each in read:
        for label, token, layer in zip(graded.tokens(each), each.tokens, each.layers, strict=True):
            layers[label] = token, layer
    assert len(layers) > 20
    for x, told_x in layers.items():
        for y, told_y in layers.items():
            expected = by_definition(graded, *told_x, *told_y)
            assert scoring.pair(x, y) == pytest.approx(expected, abs=0.0051)


def test_labels_say_what_counts():
    told = conv(stride=(2, 1), groups=64)
    read = arch.sequence([told, conv((1, 7), groups=8), Layer("y", "relu")])
    assert Graded().tokens(read) == (
        "conv 3x3 /2x1 depthwise to 64",
        "conv 1x7 in 8 groups of 64 to 64",
        "activation",
    )
    assert Graded(width=0, kernel=0).tokens(read)[:1] == ("conv /2x1 depthwise",)


def test_similarity_is_graded():
    names = ["VGG16", "ResNet50", "torchvision/wide_resnet101_2", "torchvision/resnet101"]
    graded = arch.similarity(names, scoring=Graded())
    plain = arch.similarity(names)
    assert (graded.scores <= plain.scores).all()
    assert np.array_equal(np.diag(graded.scores), np.diag(plain.scores))
    assert graded.index.max() == 1 and (graded.index <= plain.index + 1e-12).all()
    # The same layers in the same order, at other widths.
    assert plain.index[2, 3] == 1 and 0.9 < graded.index[2, 3] < 1
    found = graded.align(names[2], names[3])
    assert found.score == graded.scores[2, 3] == found.rescore()
    assert graded.cluster().groups(4) and graded.nearest(names[2])[0][0] == names[3]
    grown = arch.similarity(names[:3], scoring=Graded()).insert(names[3], names[3])
    assert np.array_equal(grown.scores, graded.scores)


def test_without_differences_it_is_the_plain_scoring():
    names = ["VGG16", "U-Net", "ViT-B"]
    weightless = Graded(kernel=0, stride=0, groups=0, width=0)
    assert np.array_equal(
        arch.similarity(names, scoring=weightless).scores, arch.similarity(names).scores
    )
    assert arch.similarity({"a": [], "b": []}, scoring=Graded()).index.tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kernel": -1}, "kernel must be >= 0, got -1"),
        ({"gap": 1}, "gap must be <= 0, got 1"),
        ({"width": math.nan}, "width must be a finite number"),
        ({"match": "x"}, "match must be a finite number"),
        ({"kernel": 3}, "at most match - mismatch = 3, got 4.5"),
    ],
)
def test_errors(arguments, words):
    with pytest.raises(ValueError, match=words):
        Graded(**arguments)


def test_diversity_sees_parameters():
    population = {str(kernel): [conv((kernel, kernel)), Layer("r", "relu")] for kernel in (1, 3, 5)}
    assert arch.diversity(population) == 0
    assert arch.diversity(population, scoring=Graded()) > 0.05
    pairs = [(1, 3), (1, 5), (3, 5)]
    expected = np.mean([0.5 * (1 - i / j) / (4 + 2) for i, j in pairs])
    found = arch.diversity(population, scoring=Graded())
    assert found == pytest.approx(expected, abs=0.002)
    assert isinstance(Graded().scoring([]), align.Scoring)
