import subprocess
import sys

import numpy as np
import pytest

from neurn import align
from neurn._optional import MissingExtraError
from neurn.align.score_matrix import ScoreMatrix

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

VGG16, VGG19 = "CCMCCMCCCMCCCMCCCMLLL", "CCMCCMCCCCMCCCCMCCCCMLLL"
VGG11 = "CRMCRMCRCRMCRCRMCRCRMALRDLRDL"
BLACK = (0.0, 0.0, 0.0, 1.0)


@pytest.fixture(autouse=True)
def _close():
    yield
    matplotlib.pyplot.close("all")


def draw(matrix, **options):
    """Plot and lay out; return the Axes."""
    from matplotlib import pyplot

    assert pyplot
    axes = matrix.plot(**options)
    axes.figure.canvas.draw()
    return axes


def arrows(quiver):
    """Cells from which the arrows lead, and steps, in whole cells."""
    tails = np.stack([quiver.Y, quiver.X], axis=1)
    steps = np.sign(np.round(np.stack([quiver.V, quiver.U], axis=1), 9)).astype(int)
    return {(*cell, *step) for cell, step in zip(np.round(tails).astype(int), steps, strict=True)}


def expected_arrows(matrix):
    steps = {1: (-1, -1), 2: (-1, 0), 4: (0, -1)}
    return {
        (i, j, *step)
        for flag, step in steps.items()
        for i, j in np.argwhere(matrix.arrows & flag).tolist()
    }


def quivers(axes):
    """The arrows that are not on the path, and those that are."""
    from matplotlib.quiver import Quiver

    every, path = (child for child in axes.get_children() if isinstance(child, Quiver))
    return every, path


@pytest.mark.parametrize(
    ("a", "b", "score"), [(VGG16, VGG19, 15), (VGG16, VGG11, -10), (VGG19, VGG11, -10)]
)
def test_published_panels(a, b, score):
    matrix = align.score_matrix(a, b)
    assert matrix.score == score
    axes = draw(matrix)
    texts = {text.get_position(): text for text in axes.texts}
    assert len(texts) == matrix.scores.size
    path = {(j, i) for i, j in matrix.path.tolist()}
    for (j, i), text in texts.items():
        assert text.get_text() == str(matrix.scores[i, j]).replace("-", "\N{MINUS SIGN}")
        assert (text.get_fontweight() == "bold") == ((j, i) in path)
        assert (text.get_color() == "black") == ((j, i) in path)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["", *b]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["", *a]
    labels = [*axes.get_xticklabels(), *axes.get_yticklabels()]
    assert {label.get_fontweight() for label in labels} == {"bold"}


def test_every_arrow_is_drawn_once_in_the_colour_of_its_cell_those_of_the_path_in_black():
    matrix = align.score_matrix(VGG16, VGG11)
    axes = draw(matrix)
    every, path = quivers(axes)
    cells = [
        (*end, *(start - end)) for start, end in zip(matrix.path[:-1], matrix.path[1:], strict=True)
    ]
    steps = {tuple(map(int, cell)) for cell in cells}
    assert arrows(path) == steps
    assert arrows(every) == expected_arrows(matrix) - steps
    assert len(every.X) == len(arrows(every))
    assert set(map(tuple, path.get_facecolor())) == {BLACK}
    rows, columns = np.round(every.Y).astype(int), np.round(every.X).astype(int)
    scores = matrix.scores[rows, columns]
    np.testing.assert_array_equal(every.get_array(), scores)
    np.testing.assert_allclose(every.get_facecolor(), every.cmap(every.norm(scores)))
    assert every.norm.vmin == matrix.scores.min()
    assert every.norm.vmax == matrix.scores.max()


def test_colours_are_dark_enough_for_white_paper_and_ordered_in_lightness():
    every, _ = quivers(draw(align.score_matrix("CCM", "CMM")))
    red, green, blue = every.cmap(np.linspace(0, 1, 64))[:, :3].T
    lightness = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    assert (np.diff(lightness) > 0).all()
    assert lightness[-1] < 0.75


def boxes(axes):
    return [text.get_window_extent() for text in axes.texts]


@pytest.mark.parametrize(("n", "m"), [(0, 0), (1, 1), (5, 5), (3, 40), (21, 24), (60, 60)])
def test_numbers_are_readable_and_do_not_touch(n, m):
    generator = np.random.default_rng(0)
    a, b = ("".join(generator.choice(list("CBRMLD"), size)) for size in (n, m))
    axes = draw(align.score_matrix(a, b))
    assert min(text.get_fontsize() for text in axes.texts) >= 4.5
    cell = axes.get_window_extent().width / (m + 1)
    assert all(box.width < 0.75 * cell for box in boxes(axes))
    width, height = axes.figure.get_size_inches()
    assert width < 23 and height < 23
    shown = axes.get_tightbbox()
    assert shown.x0 >= 0 and shown.y0 >= 0
    assert shown.x1 <= axes.figure.bbox.width and shown.y1 <= axes.figure.bbox.height


def test_long_tokens_and_fractions_fit_too():
    a = ["Conv2d", "ReLU", "MaxPool2d", "Linear"]
    b = ["Conv2d", "BatchNorm2d", "ReLU", "Linear", "Dropout", 7]
    matrix = align.score_matrix(a, b, align.Scoring(2, -1, -0.5))
    axes = draw(matrix, names=("small", "large"))
    assert {text.get_text() for text in axes.texts} >= {"0", "\N{MINUS SIGN}0.5", "1.5"}
    assert axes.get_xticklabels()[1].get_rotation() == 90
    assert axes.get_xticklabels()[-1].get_text() == "7"
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("small", "large")
    shown = axes.get_tightbbox()
    assert shown.x0 >= 0 and shown.y1 <= axes.figure.bbox.height


def test_a_scale_says_what_colours_mean():
    axes = draw(align.score_matrix("CCM", "CM"))
    (scale,) = axes.child_axes
    assert scale.get_ylabel() == "score"


def test_large_ones_are_heat_images_with_the_path():
    a, b = VGG16 * 3, VGG19 * 5
    matrix = align.score_matrix(a, b)
    axes = draw(matrix)
    (image,) = axes.images
    np.testing.assert_array_equal(image.get_array(), matrix.scores)
    assert len(axes.texts) == 0
    edge, line = axes.lines
    np.testing.assert_array_equal(line.get_xydata(), matrix.path[:, ::-1])
    assert line.get_color() == "black"
    assert edge.get_color() == "white" and edge.get_linewidth() > line.get_linewidth()
    assert axes.get_xlabel() == "b (tokens)"


def test_heat_images_show_tokens_while_there_is_room():
    axes = draw(align.score_matrix("CM" * 35, "CR" * 30), names=("x", "y"))
    assert len(axes.images) == 1
    assert [label.get_text() for label in axes.get_yticklabels()] == ["", *"CM" * 35]
    assert axes.get_ylabel() == "x"


def test_the_kind_can_be_chosen():
    matrix = align.score_matrix("CCM", "CM")
    assert len(draw(matrix, kind="heat").images) == 1
    assert len(draw(matrix, kind="cells").texts) == 12
    with pytest.raises(
        ValueError, match="kind must be one of 'auto', 'cells', 'heat', got 'picture'"
    ):
        matrix.plot(kind="picture")


def test_an_axes_of_ones_own_is_used_and_returned():
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4))
    left, right = figure.subplots(1, 2)
    matrix = align.score_matrix("CCMLLC", "CML")
    assert matrix.plot(left) is left
    assert matrix.plot(right, cmap="magma") is right
    figure.canvas.draw()
    cell = right.get_window_extent().width / 4
    assert all(box.width < cell for box in boxes(right))


def test_cells_out_of_a_band_stay_empty():
    matrix = align.score_matrix("CCMLLCCC", "CMLLLLLC", band=1)
    axes = draw(matrix)
    inside = np.isfinite(matrix.scores)
    assert not inside.all()
    assert {text.get_position() for text in axes.texts} == {(j, i) for i, j in np.argwhere(inside)}
    assert not any("nan" in text.get_text() for text in axes.texts)
    image = draw(matrix, kind="heat").images[0].get_array()
    np.testing.assert_array_equal(image.mask, ~inside)


def test_free_ends_are_drawn_as_any_other_step():
    matrix = align.score_matrix("CCM", "MLL", free_ends="both")
    assert matrix.score == 1
    every, path = quivers(draw(matrix))
    assert arrows(every) | arrows(path) == expected_arrows(matrix)


def test_repr_is_short():
    assert repr(align.score_matrix("CCM", "CM")) == "<ScoreMatrix of 3 and 2 tokens: score 0>"


def test_equal_only_to_itself():
    matrix = align.score_matrix("C", "C")
    assert matrix != align.score_matrix("C", "C")
    assert isinstance(matrix, ScoreMatrix)


def test_without_matplotlib_there_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingExtraError) as error:
        align.score_matrix("C", "C").plot()
    assert str(error.value) == (
        "matplotlib is needed here and is not installed: pip install 'neurn[plot]'"
    )


def test_matplotlib_is_imported_only_to_draw():
    code = (
        "import sys; from neurn import align; align.score_matrix('C', 'C'); align.align('C', 'C');"
        "assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
