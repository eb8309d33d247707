import dataclasses
import json
import pickle
import re
from decimal import Decimal
from fractions import Fraction
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurn import align
from neurn.align import text
from neurn.align.alignment import Alignment, Counts

VGG16, VGG19 = "CCMCCMCCCMCCCMCCCMLLL", "CCMCCMCCCCMCCCCMCCCCMLLL"

WORDS = st.lists(st.sampled_from(["conv", "relu", "pool 2", "漢字", "", 3, None, 2.5]), max_size=12)
LETTERS = st.text("ACGT", max_size=14)
SCORINGS = st.sampled_from(
    [
        align.Scoring(),
        align.Scoring(2, -1, -0.5),
        align.Scoring(1, -1, -0.1, -0.7),
        align.Scoring(match=Fraction(1, 3), mismatch=0, gap=-1, gap_open=-2),
    ]
)
ENDS = st.sets(st.sampled_from(["a_begin", "a_end", "b_begin", "b_end"]))


def make(moves, a, b, **options):
    return Alignment(0, np.array(moves), a, b, align.Scoring(), 0.5, **options)


@pytest.fixture
def small():
    return make([1, 2, 2, 4, 1, 1], "ACGTA", "AGTC")


def test_the_published_pair():
    alignment = align.align(VGG16, VGG19)
    assert alignment.score == 15
    assert alignment.rescore() == 15
    assert alignment.counts == Counts(21, 0, 3, 3, 24)
    assert alignment.identity == 21 / 24
    assert alignment.cigar == "6=1D4=1D4=1D7="


@pytest.mark.parametrize("length", [127, 128, 129, 255, 256, 257, 511, 512, 513])
def test_the_path_is_best_where_the_second_fills_a_vector(length):
    random = np.random.default_rng(0)
    a = [*random.integers(0, 4, 20).tolist(), *[5] * 1024]
    b = random.integers(0, 4, length).tolist()
    found = align.align(a, b, align.Scoring(1, -2, -1))
    assert found.rescore() == found.score


def test_pairs_counts_identity_and_cigar(small):
    assert small.pairs == [(0, 0), (1, None), (2, None), (None, 1), (3, 2), (4, 3)]
    assert small.counts == Counts(matches=2, mismatches=1, gaps=3, gap_openings=2, columns=6)
    assert small.identity == 2 / 6
    assert small.cigar == "1=2I1D1=1X"
    assert small.rows() == ("ACG-TA", "A--GTC")


def test_mismatches_are_different_tokens_whatever_they_score():
    scoring = align.Scoring.from_array([[1, 5], [5, 1]], "AB")
    assert align.align("A", "B", scoring).counts == Counts(0, 1, 0, 0, 1)


def test_equal_tokens_match_though_their_types_differ():
    assert align.align([1, True, 2.0], [1.0, 1, 2]).cigar == "3="
    nan = float("nan")
    assert align.align([nan], [nan]).cigar == "1="


@pytest.mark.parametrize("empty", ["", [], np.zeros(0, dtype=int)])
def test_nothing_with_nothing(empty):
    alignment = align.align(empty, empty)
    assert alignment.counts == Counts(0, 0, 0, 0, 0)
    assert alignment.identity == 1
    assert alignment.cigar == ""
    assert alignment.pairs == []
    assert alignment.rescore() == 0
    assert str(alignment).startswith("score 0, similarity 1.00, 0 of 0 columns identical")
    assert Alignment.from_json(alignment.to_json()) == alignment


def test_moves_are_a_copy_that_nobody_changes():
    moves = np.array([1, 2])
    alignment = make(moves, "AB", "A")
    moves[0] = 4
    assert alignment.moves.tolist() == [1, 2]
    assert alignment.moves.dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        alignment.moves[0] = 4
    with pytest.raises(AttributeError):
        alignment.score = 3


@pytest.mark.parametrize("free_ends", [(), ("a_end",)])
def test_what_align_returns_is_as_if_made_by_hand(free_ends):
    found = align.align("GAACT", "GAT", free_ends=free_ends)
    fields = {field.name: getattr(found, field.name) for field in dataclasses.fields(Alignment)}
    assert Alignment(**fields) == found
    assert vars(found).keys() >= fields.keys()
    with pytest.raises(ValueError, match="read-only"):
        found.moves[0] = 4


@pytest.mark.parametrize(
    ("moves", "sentence"),
    [
        ([1, 3], "moves must be a one-dimensional array of 1, 2 and 4, got shape (2,) and values"),
        ([[1]], "moves must be a one-dimensional array of 1, 2 and 4, got shape (1, 1)"),
        ([1], "moves must use each token once, got 1 moves along a and 2 tokens in it"),
        ([1, 2, 4], "moves must use each token once, got 2 moves along b and 1 tokens in it"),
    ],
)
def test_moves_that_are_none(moves, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        make(moves, "AB", "A")


@given(st.one_of(st.tuples(LETTERS, LETTERS), st.tuples(WORDS, WORDS)), SCORINGS, ENDS)
def test_every_form_says_the_same(pair, scoring, free_ends):
    a, b = pair
    alignment = align.align(a, b, scoring, free_ends=free_ends)
    assert alignment.rescore() == alignment.score
    pairs = alignment.pairs
    assert [i for i, _ in pairs if i is not None] == list(range(len(a)))
    assert [j for _, j in pairs if j is not None] == list(range(len(b)))
    counts = alignment.counts
    assert counts.columns == len(pairs) == counts.matches + counts.mismatches + counts.gaps
    assert counts.matches == sum(None not in (i, j) and a[i] == b[j] for i, j in pairs)
    row_a, row_b = alignment.rows(gap="-" if isinstance(a, str) else Ellipsis)
    kept = [x for x in row_a if x not in ("-", Ellipsis)]
    assert kept == list(a)
    assert len(row_a) == len(row_b) == counts.columns
    again = Alignment.from_json(alignment.to_json())
    assert again == alignment
    assert again.rescore() == alignment.score
    assert type(again.score) is type(alignment.score)


def test_free_ends_cost_nothing_once_and_only_at_the_ends():
    # up, diagonal, left, left, diagonal, left
    moves = [2, 1, 4, 4, 1, 4]
    scores = {
        (): 2 - 8,
        ("a_begin",): 2 - 6,
        ("b_begin",): 2 - 8,
        ("b_end",): 2 - 6,
        ("a_begin", "b_end"): 2 - 4,
    }
    for ends, score in scores.items():
        assert make(moves, "xAB", "AyyBz", free_ends=ends).rescore() == score
    affine = Alignment(
        0, np.array(moves), "xAB", "AyyBz", align.Scoring(1, -2, -1, -3), 0, ("a_begin",)
    )
    assert affine.rescore() == 2 - (3 + 2) - (3 + 1)


def test_scores_of_decimal_numbers_are_exact():
    scoring = align.Scoring(match=0.1, mismatch=-0.2, gap=-0.3)
    assert align.align("AAA", "AAA", scoring).rescore() == 0.3
    assert align.align("A" * 10, "", scoring).rescore() == -3.0


@pytest.mark.parametrize(
    "tokens",
    [np.array([3, 1, 4]), torch.tensor([3, 1, 4]), bytes([3, 1, 4]), (3, 1, 4), range(3), [3, 1]],
)
def test_tokens_of_arrays_are_plain_numbers(tokens):
    alignment = align.align(tokens, [3, 4])
    assert Alignment.from_json(alignment.to_json()) == alignment
    assert all(type(token) is int for row in alignment.rows(gap=0) for token in row)
    assert "tensor" not in str(alignment) + alignment.to_html()


def test_equality_looks_at_everything(small):
    assert small == make([1, 2, 2, 4, 1, 1], list("ACGTA"), "AGTC")
    assert small != make([1, 2, 4, 2, 1, 1], "ACGTA", "AGTC")
    assert small != make([1, 2, 2, 4, 1, 1], "ACGTA", "AGTT")
    assert small != make([1, 2, 2, 4, 1, 1], "ACGTA", "AGTC", free_ends=("a_end",))
    assert small != "ACGTA"
    assert pickle.loads(pickle.dumps(small)) == small


class TestText:
    def test_letters_stand_side_by_side(self, small):
        assert str(small).splitlines() == [
            "score 0, similarity 0.50, 2 of 6 columns identical, 1 different, 3 gaps",
            "",
            "a 0 ACG-TA 5",
            "    |---|.",
            "b 0 A--GTC 4",
            "",
            "1=2I1D1=1X",
        ]

    def test_one_gap_is_one_gap(self):
        assert "1 different" not in str(align.align("AB", "A"))
        assert ", 1 gap\n" in str(align.align("AB", "A"))

    def test_words_stand_under_each_other(self):
        alignment = make([1, 1, 2, 4], ["conv", "relu", "漢字"], ["conv", "batchnorm", "-"])
        assert alignment.to_text(80).splitlines()[2:5] == [
            "a 0 conv relu      漢字 - 3",
            "    |||| ......... ---- -",
            "b 0 conv batchnorm ---- - 3",
        ]

    def test_tokens_with_spaces_stand_further_apart(self):
        assert "conv 3  relu" in str(make([1, 1], ["conv 3", "relu"], ["conv 3", "relu"]))

    def test_what_cannot_be_seen_is_spelled_out(self):
        out = str(make([1, 1], ["a\nb", ""], ["a\nb", "\x1b[31m"]))
        assert r"'a\nb' ''" in out
        assert r"'a\nb' '\x1b[31m'" in out
        assert "\x1b" not in out

    def test_strings_of_wide_letters_are_spaced(self):
        assert text.display_width("漢") == 2
        assert text.display_width("e\N{COMBINING ACUTE ACCENT}") == 1
        rows = str(make([1, 1], "a漢", "a漢")).splitlines()[2:5]
        assert rows == ["a 0 a 漢 2", "    | ||", "b 0 a 漢 2"]

    @pytest.mark.parametrize("width", [1, 20, 33, 80, 200])
    def test_blocks_fill_the_width_and_leave_nothing_out(self, width):
        alignment = align.align(VGG16 * 9, VGG19 * 8)
        lines = alignment.to_text(width).splitlines()
        assert max(map(len, lines[1:])) <= max(width, 14)
        rows = [line.split() for line in lines if re.match(r"[ab] +\d+ ", line)]
        for name, gapped in zip("ab", alignment.rows(), strict=True):
            mine = [row for row in rows if row[0] == name]
            assert "".join(row[2] for row in mine) == gapped
            assert mine[0][1] == "0"
            assert [row[1] for row in mine[1:]] == [row[3] for row in mine[:-1]]
            assert int(mine[-1][3]) == len(gapped.replace("-", ""))
        assert "".join(lines[-1 - len(alignment.cigar) :]).endswith(alignment.cigar[-width:])

    def test_the_terminal_gives_the_width(self, monkeypatch):
        monkeypatch.setenv("COLUMNS", "30")
        alignment = align.align(VGG16 * 3, VGG16 * 3)
        assert str(alignment) == alignment.to_text(30)
        monkeypatch.setenv("COLUMNS", "60")
        assert str(alignment) == alignment.to_text(60) != alignment.to_text(30)

    def test_repr_is_short_and_str_is_whole(self):
        long = align.align("AB" * 1000, "ACB" * 700)
        assert len(repr(long)) < 160
        assert "..." in repr(long)
        assert str(long).count("A") == 1700
        assert repr(align.align("AC", "C")) == (
            "<Alignment of 2 and 1 tokens: score -1, similarity 0.667, 1I1=>"
        )


class Columns(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.classes, self.texts, self.links = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "span":
            self.classes.append(attributes["class"])
        self.links += [attributes[key] for key in ("href", "src") if key in attributes]

    def handle_data(self, data):
        self.texts.append(data)


class TestHtml:
    def test_columns_in_order(self, small):
        page = small.to_html()
        columns = Columns(page)
        assert columns.classes == ["match", "gap", "gap", "gap", "match", "mismatch"]
        assert page.startswith("<!DOCTYPE html>")
        assert columns.links == []
        assert "@import" not in page and "url(" not in page
        assert "1=2I1D1=1X" in columns.texts

    def test_tokens_are_escaped(self):
        page = make([1], ["<script>alert(1)</script>"], ['"&']).to_html()
        assert "<script>" not in page
        assert {"<script>alert(1)</script>", '"&'} <= set(Columns(page).texts)

    def test_a_notebook_shows_the_ends_of_a_long_alignment_a_page_all_of_it(self):
        long = align.align("A" * 5000, "A" * 5000)
        fragment = Columns(long._repr_html_())
        assert len(fragment.classes) == 1001
        assert fragment.classes.index("cut") == 500
        assert "... 4,000 columns ..." in fragment.texts
        assert Columns(long.to_html()).classes == ["match"] * 5000
        assert "cut" not in Columns(align.align("AB", "A")._repr_html_()).classes
        varied = align.align("ABC" * 700, "AC" * 700)
        assert "..." in varied._repr_html_().partition("<code>")[2]


class TestJson:
    @pytest.mark.parametrize(
        "scoring",
        [
            align.Scoring(Fraction(1, 3), Decimal("-0.1"), np.float32(-0.1), np.int64(-2)),
            align.Scoring(matrix={("A", "B"): -0.25, ("A", 1): np.float64(0.5)}),
            align.Scoring.from_array(np.array([[1, 0], [0, 2]]), "AB", gap=-0.5),
            align.Scoring.from_array(np.array([[0.1, -0.7], [0.3, 2]]), ["A", "B"]),
        ],
    )
    def test_scorings_are_kept_exactly(self, scoring):
        alignment = align.align("ABBA", "BAB", scoring)
        again = Alignment.from_json(alignment.to_json())
        assert again.rescore() == alignment.score
        assert again.scoring.whole.scale == scoring.whole.scale
        assert again.to_json() == alignment.to_json()

    def test_it_can_be_read_without_neurn(self, small):
        record = json.loads(small.to_json())
        assert record["a"] == "ACGTA"
        assert record["cigar"] == "1=2I1D1=1X"
        assert record["counts"]["gaps"] == 3
        assert record["scoring"] == {
            **{"match": 1, "mismatch": -2, "gap": -2, "gap_open": 0},
            "matrix": None,
        }

    @pytest.mark.parametrize("token", [("a", 1), float("inf"), float("nan"), frozenset()])
    def test_tokens_that_json_cannot_hold(self, token):
        allowed = "strings, finite numbers, booleans or None"
        sentence = f"to_json holds tokens that are {allowed}, got a[1] = {token!r}"
        with pytest.raises(TypeError, match=re.escape(sentence)):
            make([1, 1], ["x", token], "xy").to_json()

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"cigar": "3M"}, "cigar must be numbers each followed by =, X, I or D, got '3M'"),
            ({"cigar": "1="}, "moves must use each token once"),
            ({"cigar": None}, "this JSON holds no alignment"),
            ({"scoring": {}}, "this JSON holds no alignment: 'matrix' is missing"),
            ({"scoring": {"match": 1, "matrix": None}}, "'mismatch' is missing"),
        ],
    )
    def test_other_json_is_refused(self, small, change, sentence):
        record = json.loads(small.to_json()) | change
        with pytest.raises(ValueError, match=re.escape(sentence)):
            Alignment.from_json(json.dumps(record))

    def test_what_is_no_json_is_refused(self):
        with pytest.raises(ValueError, match="Expecting value"):
            Alignment.from_json("moves")
        with pytest.raises(ValueError, match="holds no alignment"):
            Alignment.from_json("[]")
