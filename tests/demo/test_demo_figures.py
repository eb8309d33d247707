import io
import struct

import numpy as np
import pytest

from neurn import demo
from neurn.demo.experiment import Experiment
from neurn.demo.figures import make_examples
from neurn.generalize import Interval, figures
from neurn.generalize.summary import SummaryRow

from .conftest import TINY


@pytest.fixture(scope="module")
def examples():
    return make_examples(Experiment.load(TINY))


def size(png):
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", png[16:24])


def test_examples_show_the_first_ten_digits_in_every_domain(examples):
    assert [e.name for e in examples] == list(Experiment.load(TINY).domains)
    source = Experiment.load(TINY).source.data
    assert (examples[0].images == source.images[:10]).all()
    assert source.labels[:10].tolist() == list(range(10))
    for example in examples:
        assert example.images.shape == example.maps.shape == (10, 3, 32, 32)
        np.testing.assert_allclose(example.maps.max(axis=(1, 2, 3)), 1.0, rtol=1e-6)
        assert example.maps.min() >= 0


def test_maps_of_inverted_digits_equal_those_of_digits(examples):
    by_name = {e.name: e for e in examples}
    np.testing.assert_allclose(by_name["inverted"].maps, by_name["digits"].maps, atol=1e-5)


def test_map_figure_shows_images_above_maps(examples):
    figure = figures.draw_maps(examples[:3], columns=2)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:3] == [e.title for e in examples[:3]]
    image = np.asarray(figure.axes[0].images[0].get_array())
    height, width = 2 * 32 + 3 * figures.GAP, 10 * 32 + 11 * figures.GAP
    assert image.shape == (height, width, 3)
    digit = image[1:33, 1:33]
    np.testing.assert_allclose(digit, examples[0].images[0].transpose(1, 2, 0) / 255)
    frame = image[33]
    np.testing.assert_allclose(frame, figures.FRAME_GREY)


def test_grey_maps_use_inferno_and_colour_maps_their_own_colours(examples):
    from matplotlib import colormaps

    by_name = {e.name: e for e in examples}

    def first_map(name):
        figure = figures.draw_maps([by_name[name]], standalone=False)
        return np.asarray(figure.axes[0].images[0].get_array())[34:66, 1:33]

    expected = colormaps["inferno"](by_name["digits"].maps[0, 0])[..., :3]
    np.testing.assert_allclose(first_map("digits"), expected)
    np.testing.assert_allclose(first_map("blended"), by_name["blended"].maps[0].transpose(1, 2, 0))


def test_a_figure_for_a_caption_has_no_title_and_no_scale(examples):
    figure = figures.draw_maps(examples[:1], standalone=False)
    assert len(figure.axes) == 1
    assert figure.axes[0].get_title(loc="left") == ""


def test_difference_figure_fills_marks_only_where_decided():
    rows = [
        SummaryRow("a", "neurn", "none", Interval(0.2, 0.1, 0.3, 5), 9),
        SummaryRow("a", "sobel", "none", Interval(0.0, -0.1, 0.1, 5), 9),
    ]
    axes = figures.draw_differences(rows, {"a": "Domain A"}).axes[0]
    lines = {tuple(np.round(line.get_xdata(), 9)): line for line in axes.lines}
    assert {(10.0, 30.0), (-10.0, 10.0), (20.0,), (0.0,)} <= set(lines)
    assert lines[(20.0,)].get_markerfacecolor() == figures.MARKS["neurn"][1]
    assert lines[(0.0,)].get_markerfacecolor() == "white"
    assert lines[(20.0,)].get_marker() != lines[(0.0,)].get_marker()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Domain A"]


def test_readme_picture(tmp_path):
    demo.save_neurn_at_work(tmp_path / "work.png", dpi=40)
    width, height = size((tmp_path / "work.png").read_bytes())
    assert width > height > 100
    image = pytest.importorskip("PIL.Image").open(io.BytesIO((tmp_path / "work.png").read_bytes()))
    assert np.asarray(image.convert("L")).std() > 20
