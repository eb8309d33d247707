"""Scores and paths against the definition."""

import itertools
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurn import align
from tests.align import cases, reference

VGG16 = "CCMCCMCCCMCCCMCCCMLLL"
VGG19 = "CCMCCMCCCCMCCCCMCCCCMLLL"
VGG11 = "CRMCRMCRCRMCRCRMCRCRMALRDLRDL"


@pytest.mark.parametrize(
    ("a", "b", "score"), [(VGG16, VGG19, 15), (VGG16, VGG11, -10), (VGG19, VGG11, -10)]
)
def test_published_matrices(a, b, score):
    assert align.score(a, b) == score
    assert align.align(a, b).score == score
    assert align.score_matrix(a, b).scores[-1, -1] == score
    assert type(align.score(a, b)) is int


@given(cases.tokens, cases.tokens, cases.scorings(), cases.free_ends, cases.bands)
def test_score_and_path_are_those_of_the_definition(a, b, scoring, free_ends, band):
    costs = reference.costs(a, b, scoring, free_ends, band)
    expected = costs.score()
    assert align.score(a, b, scoring, free_ends=free_ends, band=band) == expected
    alignment = align.align(a, b, scoring, free_ends=free_ends, band=band)
    assert alignment.score == expected
    assert costs.rescore(alignment.moves.tolist()) == expected


@settings(max_examples=150)
@given(
    st.text("AB", max_size=4),
    st.text("AB", max_size=4),
    cases.scorings(),
    cases.free_ends,
    cases.bands,
)
def test_path_is_the_first_of_all_best_ones(a, b, scoring, free_ends, band):
    score, path = reference.costs(a, b, scoring, free_ends, band).first_best()
    alignment = align.align(a, b, scoring, free_ends=free_ends, band=band)
    assert alignment.score == score
    assert tuple(alignment.moves.tolist()) == path


def test_ties_are_diagonal_then_up_then_left():
    zero = align.Scoring(0, 0, 0)
    assert align.align("AB", "CD", zero).moves.tolist() == [1, 1]
    assert align.align("AB", "C", zero).moves.tolist() == [2, 1]
    assert align.align("AB", "CD", align.Scoring(0, -9, 0)).moves.tolist() == [4, 4, 2, 2]
    # An affine gap that may end or go on: it ends where a diagonal step follows, else goes on.
    assert align.align("AAB", "AB", align.Scoring(0, 0, 0, -1)).moves.tolist() == [2, 1, 1]


@given(cases.tokens, cases.tokens, cases.scorings(), cases.free_ends, cases.bands)
def test_matrix_is_that_of_the_definition(a, b, scoring, free_ends, band):
    matrix = align.score_matrix(a, b, scoring, free_ends=free_ends, band=band)
    cells = reference.costs(a, b, scoring, free_ends, band).cells()
    assert matrix.scores.shape == matrix.arrows.shape == (len(a) + 1, len(b) + 1)
    for i, j in itertools.product(range(len(a) + 1), range(len(b) + 1)):
        if (i, j) in cells:
            assert (matrix.scores[i, j], matrix.arrows[i, j]) == cells[i, j]
        else:
            assert np.isnan(matrix.scores[i, j])
            assert matrix.arrows[i, j] == 0


@given(cases.tokens, cases.tokens, cases.scorings())
def test_matrix_path_follows_its_alignment(a, b, scoring):
    matrix = align.score_matrix(a, b, scoring)
    cells = [(0, 0)]
    for i, j in align.align(a, b, scoring).pairs:
        cells.append((cells[-1][0] + (i is not None), cells[-1][1] + (j is not None)))
    assert matrix.path.tolist() == [list(cell) for cell in cells]


def test_matrix_dtypes():
    assert align.score_matrix("AB", "AB").scores.dtype == np.int64
    assert align.score_matrix("AB", "AB", band=5).scores.dtype == np.int64
    assert align.score_matrix("AB", "AB", band=0).scores.dtype == np.float64
    assert align.score_matrix("AB", "AB", align.Scoring(0.5)).scores.dtype == np.float64


@pytest.mark.parametrize("n", [0, 1, 7])
@pytest.mark.parametrize("gap_open", [0, -3])
def test_empty_sequence(n, gap_open):
    scoring = align.Scoring(gap_open=gap_open)
    expected = gap_open - 2 * n if n else 0
    assert align.score("A" * n, "", scoring) == expected
    assert align.score([], "A" * n, scoring) == expected
    assert align.align("A" * n, "", scoring).moves.tolist() == [2] * n
    assert align.align("", "A" * n, scoring).moves.tolist() == [4] * n
    assert align.score_matrix("A" * n, "", scoring).scores[-1, 0] == expected
    assert align.score("A" * n, "", scoring, free_ends="a") == 0
    assert align.score("A" * n, "", scoring, free_ends="b") == expected


@pytest.mark.parametrize(
    "numbers",
    [
        (2, -1, -0.5),
        (Fraction(2), Fraction(-1), Fraction(-1, 2)),
        (Decimal("2"), Decimal("-1"), Decimal("-0.5")),
        (np.int8(2), np.float32(-1), np.float64(-0.5)),
    ],
)
def test_kinds_of_numbers_agree(numbers):
    assert align.Scoring(*numbers).whole == align.Scoring(2, -1, -0.5).whole
    assert align.score("CCMCC", "CMCC", align.Scoring(*numbers)) == 7.5


def test_tenths_are_exact():
    scoring = align.Scoring(0.1, -0.2, -0.3)
    assert align.score("A" * 3, "A" * 3, scoring) == 0.3
    assert align.score("A" * 10, "A" * 10, scoring) == 1.0
    assert align.score("A" * 7, "", scoring) == -2.1
    assert align.score("A" * 3, "A" * 3, align.Scoring(np.float32(0.1))) == 0.3


def test_thirds_are_exact():
    assert align.score("AAA", "AAA", align.Scoring(Fraction(1, 3))) == 1.0


@pytest.mark.parametrize("exponent", [20, 28, 40, 50])
def test_scores_too_large_for_narrow_integers(exponent):
    large = 2**exponent
    a, b = "ABCABCABC", "ABBCABACBC"
    for gap_open in (0, -3):
        small = align.score(a, b, align.Scoring(1, -2, -2, gap_open))
        scoring = align.Scoring(large, -2 * large, -2 * large, gap_open * large)
        assert align.score(a, b, scoring) == small * large
        assert align.align(a, b, scoring).moves.tolist() == (
            align.align(a, b, align.Scoring(1, -2, -2, gap_open)).moves.tolist()
        )


def test_scores_at_the_edge_of_narrow_integers():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 3, 200), rng.integers(0, 3, 190)
    small = align.score(a, b)
    for large in range(2**19, 2**23, 2**18 + 1):
        assert align.score(a, b, align.Scoring(large, -2 * large, -2 * large)) == small * large


@pytest.mark.parametrize("gap_open", [0, -3])
@pytest.mark.parametrize("n", [1023, 2049, 4100])
def test_long_pairs_agree_with_the_matrix(n, gap_open):
    rng = np.random.default_rng(n)
    a = rng.integers(0, 4, n)
    b = np.delete(a, rng.integers(0, n, n // 20))
    b[rng.integers(0, len(b), n // 10)] = 7
    _agrees_with_the_matrix(a, b, align.Scoring(gap_open=gap_open))


@pytest.mark.parametrize("same", ["nothing", "the beginning", "the middle", "the end"])
def test_long_pairs_whose_beginning_says_little_of_the_rest(same):
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 20, (2, 4600))
    part = {
        "nothing": slice(0, 0),
        "the beginning": slice(0, 2500),
        "the middle": slice(1000, 3300),
        "the end": slice(2300, 4600),
    }[same]
    b[part] = a[part]
    _agrees_with_the_matrix(a, b, align.Scoring())


def _agrees_with_the_matrix(a, b, scoring):
    matrix = align.score_matrix(a, b, scoring)
    assert align.score(a, b, scoring) == matrix.scores[-1, -1]
    i, j, moves = len(a), len(b), align.align(a, b, scoring).moves[::-1].tolist()
    for move in moves:
        if scoring.gap_open == 0:
            arrows = int(matrix.arrows[i, j])
            assert move == arrows & -arrows
        i, j = i - (move != 4), j - (move != 2)
    assert (i, j) == (0, 0)
    costs = reference.costs(a.tolist(), b.tolist(), scoring)
    assert costs.rescore(moves[::-1]) == matrix.scores[-1, -1]


def test_band_of_a_long_pair():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 4, 6000)
    b = np.delete(a, rng.integers(0, 6000, 100))
    free = align.align(a, b)
    banded = align.align(a, b, band=200)
    assert banded.score == free.score
    assert banded.moves.tolist() == free.moves.tolist()
    assert align.score(a, b, band=0) <= free.score


@pytest.mark.parametrize("free_ends", ["a", "b", "both", ["a_end"], ("a", "b_begin")])
def test_free_ends_by_name(free_ends):
    names = align.align("AB", "AB", free_ends=free_ends).free_ends
    expected = {"a": cases.ENDS[:2], "b": cases.ENDS[2:], "both": cases.ENDS}
    if isinstance(free_ends, str):
        assert names == expected[free_ends]
    else:
        assert set(names) == ({"a_end"} if len(free_ends) == 1 else {*cases.ENDS[:2], "b_begin"})
    assert align.score("XXAB", "AB", free_ends="a") == 2


@pytest.mark.parametrize(
    "kind",
    [
        list,
        tuple,
        bytes,
        bytearray,
        np.array,
        torch.tensor,
        lambda values: np.array(values, dtype=np.int8),
        lambda values: np.array(values, dtype=np.uint64),
        lambda values: np.array(values, dtype=object),
        lambda values: np.array(values, dtype=float),
        lambda values: torch.tensor(values, dtype=torch.uint8),
        lambda values: np.array(values).repeat(2)[::2],
        lambda values: range(min(values), max(values) + 1),
    ],
)
def test_kinds_of_sequences_agree(kind):
    values = [3, 4, 5, 6, 7]
    other = [3, 5, 6, 9, 7, 7]
    expected = align.score(values, other)
    assert align.score(kind(values), other) == expected
    assert align.score(kind(values), np.array(other)) == expected
    assert align.score(kind(values), kind(values)) == 5


def test_equality_of_tokens_is_pythons():
    assert align.score([1, 2], [1.0, 2 + 0j]) == 2
    assert align.score([True], [1]) == 1
    assert align.score(["1"], [1]) == -2
    assert align.score([("a", 1)], [("a", 1)]) == 1
    assert align.score([None], [None]) == 1


def test_any_characters():
    assert align.score("aé\U0001f600\ud800", "aé\U0001f600\ud800") == 4
    assert align.score("ab", ["a", "b"]) == 2
    assert align.score(type("Text", (str,), {})("ab"), "ab") == 2


def test_numbers_far_apart():
    assert align.score([2**62, -(2**62)], np.array([2**62, -(2**62)])) == 2
    assert align.score(np.array([2**62, 0]), np.array([2**62, 1])) == -1
    assert align.score(np.array([2**64 - 1], dtype=np.uint64), [2**64 - 1]) == 1


def test_many_distinct_tokens():
    values = np.arange(2**16)
    assert align.score(values, values, band=3) == 2**16
    assert align.score(range(2**16), range(2**16), band=3) == 2**16


def test_asymmetric_matrix():
    matrix = {("A", "B"): 5, ("B", "A"): -1, ("A", "A"): 1}
    assert align.score("A", "B", align.Scoring(matrix=matrix)) == 5
    assert align.score("B", "A", align.Scoring(matrix=matrix)) == -1
    # What is not given scores as match or mismatch.
    assert align.score("B", "B", align.Scoring(3, matrix=matrix)) == 3
    array = np.array([[1, 5], [-1, 2]])
    assert align.score("A", "B", align.Scoring.from_array(array, "AB")) == 5
    assert align.score("B", "A", align.Scoring(matrix=(array, "AB"))) == -1
    assert align.score([7], [9], align.Scoring.from_array(array, [9, 7])) == -1


def test_matrix_of_fractions():
    array = [[Fraction(1, 3), Decimal("0.1")], [Decimal("0.1"), 1]]
    scoring = align.Scoring.from_array(array, "AB", gap=-1)
    assert align.score("AAA", "AAA", scoring) == 1.0
    assert align.score("AB", "BB", scoring) == 1.1


def test_scorings_compare_by_value():
    array = np.array([[1, 5], [-1, 2]])
    scoring = align.Scoring.from_array(array, "AB")
    array[0, 0] = 9
    assert scoring == align.Scoring.from_array([[1, 5], [-1, 2]], "AB")
    assert hash(scoring) == hash(align.Scoring.from_array([[1, 5], [-1, 2]], "AB"))
    assert scoring != align.Scoring()
    assert align.Scoring() == align.Scoring(1, -2, -2, 0)
    assert align.Scoring(matrix={("A", "B"): 1}) == align.Scoring(matrix={("A", "B"): 1})
    assert len({align.Scoring(), align.Scoring(1.0)}) == 1
    assert align.Scoring() != "scoring"


def test_pair_of_a_scoring():
    assert align.Scoring(1, -0.5).pair("A", "B") == -0.5
    assert align.Scoring().pair("A", "A") == 1
    assert align.Scoring(matrix={("A", "B"): 5}).pair("B", "A") == 5
