import functools

import numpy as np
import pytest

from neurn import align, arch
from neurn.arch.stage import _repeats
from tests.align.reference import costs


def counted(name, vocabulary="canonical"):
    found = arch.stages(arch.zoo.sequence(name, vocabulary))
    return [stage.count for stage in found if stage.count]


class TestStages:
    @pytest.mark.parametrize(
        ("name", "counts"),
        [
            # Depths of the stages as the papers state them; GoogLeNet's stem has two convolutions.
            ("ResNet50", [3, 4, 6, 3]),
            ("torchvision/resnet101", [3, 4, 23, 3]),
            ("ResNeXt101", [3, 4, 23, 3]),
            ("DenseNet201", [6, 12, 48, 32]),
            ("torchvision/densenet161", [6, 12, 36, 24]),
            ("EfficientNetB0", [1, 2, 2, 3, 3, 4, 1]),
            ("torchvision/efficientnet_b0", [1, 2, 2, 3, 3, 4, 1]),
            ("torchvision/swin_t", [2, 2, 6, 2]),
            ("torchvision/convnext_small", [3, 3, 27, 3]),
            ("timm/convnextv2_tiny", [3, 3, 9, 3]),
            ("torchvision/vit_b_16", [12]),
            ("ViT-B", [12]),
            ("ShuffleNetV2", [4, 8, 4]),
            ("torchvision/regnet_x_400mf", [1, 2, 7, 12]),
            ("torchvision/maxvit_t", [2, 2, 5, 2]),
            ("GoogLeNet", [2, 2, 5, 2]),
            ("MobileNet", [1, 2, 2, 6, 2]),
            # Behind a stem with two convolutions: cells, which Keras only shows by their joins.
            ("InceptionV3", [2, 3, 5, 3]),
            ("InceptionResNetV2", [2, 1, 10, 1, 20, 1, 10]),
        ],
    )
    def test_depths_are_the_papers(self, name, counts):
        assert counted(name) == counts

    @pytest.mark.parametrize(("name", "cells"), [("NASNetMobile", 4), ("NASNetLarge", 6)])
    def test_cells_of_nasnet(self, name, cells):
        assert counted(name)[-5:] == [cells, 1, cells, 1, cells]

    def test_norms_in_a_row_are_no_blocks(self):
        found = arch.stages(arch.sequence(["Conv2d", "Conv2d", *["BatchNorm2d", "ReLU"] * 2]))
        assert [(stage.count, stage.blocks) for stage in found] == [(2, ((0, 1), (1, 2), (2, 6)))]

    def test_vgg_without_modules(self):
        # Convolutions of each resolution, and the three linear layers.
        assert counted("VGG16", "published") == [2, 2, 3, 3, 3, 3]
        assert counted("VGG19", "published") == [2, 2, 4, 4, 4, 3]

    @pytest.mark.parametrize("vocabulary", ["canonical", "published", "fine"])
    def test_each_layer_is_in_one_block(self, vocabulary):
        for name in arch.zoo.names():
            sequence = arch.zoo.sequence(name, vocabulary)
            blocks = [block for stage in arch.stages(sequence) for block in stage.blocks]
            assert [start for start, _ in blocks] == [0, *(stop for _, stop in blocks[:-1])]
            assert blocks[-1][1] == len(sequence) and all(start < stop for start, stop in blocks)

    def test_repeats(self):
        assert list(_repeats("abababc")) == [(2, 3), (1, 1)]
        assert list(_repeats("xyaaaz")) == [(2, 1), (1, 3), (1, 1)]
        assert list(_repeats("")) == [] and arch.stages(arch.sequence([])) == ()


def best_with_whole_blocks(a, b, scoring):
    """The highest score of alignments that keep stages and blocks whole, by recursion."""

    def best(x, y, pair, length):
        @functools.cache
        def rest(i, j):
            options = []
            if i < len(x) and j < len(y):
                options.append(pair(x[i], y[j]) + rest(i + 1, j + 1))
            if i < len(x):
                options.append(scoring.gap * length(x[i]) + rest(i + 1, j))
            if j < len(y):
                options.append(scoring.gap * length(y[j]) + rest(i, j + 1))
            return max(options, default=0)

        return rest(0, 0)

    @functools.cache
    def blocks(x, y):
        first, second = a.tokens[slice(*x)], b.tokens[slice(*y)]
        return float(costs(first, second, scoring).score())

    def stages(x, y):
        return best(x.blocks, y.blocks, blocks, lambda block: block[1] - block[0])

    return best(arch.stages(a), arch.stages(b), stages, lambda stage: stage.stop - stage.start)


class TestAlignBlocks:
    def test_six_and_twenty_three(self):
        a, b = (arch.zoo.sequence(f"torchvision/resnet{depth}") for depth in (50, 101))
        found = arch.align_blocks(a, b, names=("fifty", "hundred"))
        assert (
            found.alignment.score == found.best_score == align.score(a, b, found.alignment.scoring)
        )
        stage = found.stages[4]
        assert stage.title == "stage 3: 6 vs 23 blocks" and stage.counts == (6, 23)
        assert sum(block.a is None for block in stage.blocks) == 17
        assert all(pair.same != (pair is stage) for pair in found.stages)
        text = str(found)
        assert "stage 3: 6 vs 23 blocks  layer3  differs" in text and "a: fifty" in text
        assert "8 stages" in repr(found)

    @pytest.mark.parametrize(
        ("a", "b", "scoring"),
        [
            ("VGG11", "VGG19", None),
            ("SqueezeNet", "VGG16", align.Scoring()),
            ("torchvision/resnet34", "torchvision/alexnet", align.Scoring(3, -1, -1)),
            ("U-Net", "MobileNet", None),
        ],
    )
    def test_nothing_with_whole_blocks_scores_more(self, a, b, scoring):
        first, second = arch.zoo.sequence(a), arch.zoo.sequence(b)
        found = arch.align_blocks(first, second, scoring)
        used = scoring or align.Scoring(2, -1, -0.5)
        assert found.alignment.score == best_with_whole_blocks(first, second, used)
        assert found.alignment.score <= found.best_score == align.score(first, second, used)
        assert found.alignment.rescore() == found.alignment.score

    def test_blocks_are_whole(self):
        a, b = arch.zoo.sequence("ResNet50"), arch.zoo.sequence("EfficientNetB4")
        found = arch.align_blocks(a, b, arch.Graded())
        for side, place in ((a, 0), (b, 1)):
            spans = [
                span
                for pair in found.stages
                for block in pair.blocks
                if (span := (block.a, block.b)[place]) is not None
            ]
            assert spans == [block for stage in arch.stages(side) for block in stage.blocks]
        moves = [block.moves for pair in found.stages for block in pair.blocks]
        assert np.array_equal(np.concatenate(moves), found.alignment.moves)
        assert found.alignment.a == arch.Graded().tokens(a)

    def test_what_repeats_in_one_is_counted_in_the_other(self):
        pairs = arch.align_blocks(*map(arch.zoo.sequence, ("VGG16", "VGG11"))).stages
        assert [pair.counts for pair in pairs if pair.number][:5] == [
            *((2, 1), (2, 1), (3, 2), (3, 2), (3, 2))
        ]

    def test_empty(self):
        nothing, something = arch.sequence([]), arch.sequence(["Conv2d", "ReLU"])
        assert arch.align_blocks(nothing, nothing).stages == ()
        found = arch.align_blocks(nothing, something)
        assert found.alignment.score == -1 and found.stages[0].names == "- | 0"
