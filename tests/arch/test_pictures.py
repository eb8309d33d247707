"""What the pictures and pages show, read back from their parts."""

import re
from html.parser import HTMLParser

import pytest

from neurn import align, arch
from neurn.arch.zoom import unmatched

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle


def texts(ax):
    return [text.get_text() for text in ax.texts]


def inside(figure, artists):
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [artist.get_window_extent(renderer) for artist in artists]
    return all(
        box.x0 > -1 and box.y0 > -1 and box.x1 < figure.bbox.x1 + 1 and box.y1 < figure.bbox.y1 + 1
        for box in boxes
    )


@pytest.fixture(scope="module")
def figure():
    return arch.zoom(figure=Figure())


@pytest.fixture(scope="module")
def found():
    names = ("torchvision/resnet50", "torchvision/resnet101")
    return arch.align_blocks(*map(arch.zoo.sequence, names), names=names)


class TestZoom:
    def test_three_drawings_and_three_matrices(self, figure):
        drawings, matrices = figure.axes[:3], figure.axes[3:]
        titles = [ax.get_title() for ax in drawings]
        assert titles == ["VGG11: 29 layers", "VGG16: 21 layers", "VGG19: 24 layers"]
        assert ["".join(texts(ax)) for ax in drawings] == [
            *("CRMCRMCRCRMCRCRMCRCRMALRDLRDL", "CCMCCMCCCMCCCMCCCMLLL"),
            "CCMCCMCCCCMCCCCMCCCCMLLL",
        ]
        pairs = [(ax.get_ylabel(), ax.get_xlabel()) for ax in matrices]
        assert pairs == [("VGG16", "VGG11"), ("VGG16", "VGG19"), ("VGG19", "VGG11")]
        last = [texts(ax)[-1].replace("\N{MINUS SIGN}", "-") for ax in matrices]
        assert last == ["-10", "15", "-10"]

    def test_layers_that_differ_are_violet(self, figure):
        violet = [
            "".join(text.get_text() for text in ax.texts if text.get_color() == "#7b3fa0")
            for ax in figure.axes[:3]
        ]
        assert set(violet[0]) == {"R", "A", "D"} and violet[0].count("R") == 10
        assert violet[1:] == ["", "CCC"]
        faces = [
            sum(to_hex(box.get_facecolor()) == "#7b3fa0" for box in ax.patches)
            for ax in figure.axes[:3]
        ]
        assert faces == [len(each) for each in violet]

    def test_boxes_follow_shapes(self, figure):
        fronts = [box for box in figure.axes[1].patches if isinstance(box, Polygon)][::3]
        heights = [box.get_xy()[:, 1].max() - box.get_xy()[:, 1].min() for box in fronts]
        assert len(heights) == 21 and heights == sorted(heights, reverse=True)
        assert heights[0] > 3 * heights[-1]

    def test_nothing_leaves_the_picture(self, figure):
        for ax in figure.axes[:3]:
            assert inside(figure, [ax.title, *ax.patches, *ax.texts])
        for ax in figure.axes[3:]:
            ends = [ax.texts[0], ax.texts[-1]]
            assert inside(figure, [*ends, *ax.get_xticklabels(), *ax.get_yticklabels()])

    def test_other_models_and_scorings(self):
        models = {name: ["Conv2d", *["ReLU"] * count] for count, name in enumerate("abc")}
        figure = arch.zoom(models, "canonical", scoring=arch.Graded(), figure=Figure())
        assert figure.axes[0].get_title() == "a: 1 layers"

    @pytest.mark.parametrize(
        ("models", "words"),
        [
            (["VGG11", "VGG16"], "must be three, got 2"),
            (["VGG11", "VGG16", "ResNet50"], "got 108 in 'ResNet50'"),
            ({"a": [], "b": [], "c": []}, "got 0 in 'a'"),
        ],
    )
    def test_errors(self, models, words):
        with pytest.raises(ValueError, match=words):
            arch.zoom(models, figure=Figure())

    def test_unmatched(self):
        assert unmatched("CRMC", "CMC", align.Scoring()) == {1}
        assert unmatched("CRM", "CCM", align.Scoring()) == {1}


class Columns(HTMLParser):
    """The columns of a page, by class."""

    def __init__(self):
        super().__init__()
        self.found, self.inside = [], False

    def handle_starttag(self, tag, attributes):
        kind = dict(attributes).get("class")
        self.inside = tag == "span"
        if self.inside:
            self.found.append([kind])

    def handle_data(self, data):
        if self.inside or (self.found and len(self.found[-1]) in (2, 3)):
            self.found[-1].append(data)
            self.inside = False


class TestSideBySide:
    def test_blocks_that_are_alike_are_drawn_once(self, found):
        figure = found.plot(Figure())
        shown = texts(figure.axes[0])
        assert "stage 3: 6 vs 23 blocks" in shown and "0 vs 17" in shown
        assert shown.count("layer3") == 1 and shown.count("\N{MULTIPLICATION SIGN} 5") == 1
        # As many cells as the folded blocks have columns, twice.
        columns = 3 + 1 + 4 * 12 + 4 * 10 + 10 + 1 + 1
        filled = [box for box in figure.axes[0].patches if isinstance(box, Rectangle)]
        cells = [box for box in filled if box.get_width() == pytest.approx(0.185)]
        framed = [box for box in cells if not box.get_fill()]
        assert len(cells) - len(framed) == 2 * columns
        assert sum(shown.count(word) for word in ("conv", "norm")) == 2 * (2 + 4 * 8 + 4 * 6) + 6

    def test_unfolded_it_shows_every_column(self, found):
        shown = texts(found.plot(Figure(), fold=False).axes[0])
        tokens = [*found.alignment.a, *found.alignment.b]
        assert [t for t in shown if t in set(tokens)].count("conv") == tokens.count("conv")
        assert shown.count("\N{EN DASH}") == found.alignment.counts.gaps

    @pytest.mark.parametrize("vocabulary", ["published", "canonical", "fine"])
    @pytest.mark.parametrize("width", [4.0, 12.0])
    def test_nothing_leaves_the_picture(self, vocabulary, width):
        names = ("torchvision/resnet50", "VGG11")
        read = [arch.zoo.sequence(name, vocabulary) for name in names]
        figure = arch.align_blocks(*read, names=names).plot(Figure(), width=width)
        assert inside(figure, [*figure.axes[0].patches, *figure.axes[0].texts])

    def test_page(self, found):
        page = found.to_html()
        assert "stage 3: 6 vs 23 blocks" in page and "0 vs 17" in page
        assert found.alignment.cigar in page and not re.search(r'(src|href)="', page)
        reader = Columns()
        reader.feed(page)
        kinds = [column[0] for column in reader.found]
        assert kinds.count("match") == 3 + 1 + 4 * 12 + 4 * 10 + 1 + 1 and kinds.count("gap") == 10
        assert reader.found[0] == ["match", "conv", "|", "conv"]

    def test_names_are_escaped(self):
        nothing = arch.sequence(["Conv2d"])
        page = arch.align_blocks(nothing, nothing, names=("<a>", "b")).to_html()
        assert "<a>" not in page and "&lt;a&gt;" in page

    def test_a_long_block_is_cut(self):
        long = arch.sequence([f"layer {place}" for place in range(100)], unknown="keep")
        short = arch.sequence(["Conv2d"])
        figure = arch.align_blocks(long, short).plot(Figure(), width=5)
        assert figure.get_size_inches()[0] < 9
        shown = texts(figure.axes[0])
        assert shown.count("\N{EN DASH}") >= 99
        assert all(shown.count(f"layer {place}") == 1 for place in range(100))
