import re

import numpy as np
import pytest

from neurn import align
from neurn.align import read
from neurn.align.read import NamedSequence, ReadError, parse, parse_matrix

BLOSUM = """# a comment
   A  R  *
A  4 -1 -4
R -1  5 -4
* -4 -4  1
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (">a\nMKV\nLA\n>b\nTT", [("a", "MKVLA"), ("b", "TT")]),
        (">a chain\n\n MKV \n\n>\n", [("a chain", "MKV"), ("", "")]),
        (">a\nconv relu\nconv\n>b\nrelu\n", [("a", ["conv", "relu", "conv"]), ("b", ["relu"])]),
        (">a\nconv\tadd\n>b\n", [("a", ["conv", "add"]), ("b", [])]),
        ("\ufeff>a\r\nMK\r\nV\r\n", [("a", "MKV")]),
        ("CCM\nCRM\n", [("", "CCM"), ("", "CRM")]),
        ("conv relu\nconv\n", [("", ["conv", "relu"]), ("", ["conv"])]),
        ("", []),
        (" \n\n", []),
        ('{"name": "x", "tokens": ["a", 1, null, true, 0.5]}', [("x", ["a", 1, None, True, 0.5])]),
        (
            '{"tokens": "CCM"}\n\n["a"]\n"CM"\n',
            [("", "CCM"), ("", ["a"]), ("", "CM")],
        ),
        ('["conv", "relu", 3]', [("", ["conv", "relu", 3])]),
        ('[\n["conv"],\n{"name": "x", "tokens": []}]', [("", ["conv"]), ("x", [])]),
        ("[]", [("", [])]),
        ("[1]\n[2]", [("", [1]), ("", [2])]),
    ],
)
def test_formats_are_told_apart(text, expected):
    assert parse(text) == [NamedSequence(*each) for each in expected]


def test_the_format_can_be_given():
    assert parse("[1, 2]", format="jsonl") == [("", [1, 2])]
    assert parse("[1] [2]", format="text") == [("", ["[1]", "[2]"])]
    assert parse('{"tokens": "x"}\n{"tokens": []}', format="jsonl") == [("", "x"), ("", [])]
    assert parse("> x", format="text") == [("", [">", "x"])]


def test_the_kind_of_tokens_can_be_given():
    assert parse(">a\nconv\nrelu\n", split="words") == [("a", ["conv", "relu"])]
    assert parse(">a\nMK VL\n", split="characters") == [("a", "MKVL")]
    assert parse("conv", split="words") == [("", ["conv"])]


@pytest.mark.parametrize(
    ("text", "format", "sentence"),
    [
        ("ACGT\n>a\n", "fasta", "line 1: a line that begins with > must come first"),
        ("[1]\n[2", "auto", "line 2 is no JSON: "),
        ("{}\n", "auto", 'line 1: "tokens" is missing'),
        ('{"tokens": 3}\n', "auto", "line 1: tokens must be a list or a string, got 3"),
        ('{"tokens": [], "name": 3}\n', "auto", 'line 1: "name" must be a string, got 3'),
        (
            '\n{"tokens": ["a", ["b"]]}\n',
            "jsonl",
            "line 2: a token must be a string, number, boolean or null, got ['b'] at 1",
        ),
        ('["a", {"b": 1}]', "json", "the list: a token must be a string"),
        ("3", "json", "the text must be a JSON list"),
        ("[", "json", "the text is no JSON: "),
        ('[["a"], [["b"]]]', "json", "entry 1: a token must be a string"),
    ],
)
def test_errors_say_where(text, format, sentence):
    with pytest.raises(ReadError, match=re.escape(sentence)):
        parse(text, format=format)


def test_arguments_are_checked():
    allowed = "'auto', 'fasta', 'json', 'jsonl', 'text'"
    with pytest.raises(ValueError, match=f"format must be one of {allowed}, got 'csv'"):
        parse("", format="csv")
    with pytest.raises(ValueError, match=r"split must be one of .*, got 'lines'"):
        parse("", split="lines")


def test_files(tmp_path):
    path = tmp_path / "x.fa"
    path.write_text(">é\nconv relu\n", encoding="utf-8")
    assert read.read_sequences(path) == [("é", ["conv", "relu"])]
    assert read.read_sequences(str(path), split="characters") == [("é", "convrelu")]
    path.write_text("[1", encoding="utf-8")
    with pytest.raises(ReadError, match=r"x\.fa': line 1 is no JSON"):
        read.read_sequences(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ReadError, match=r"x\.fa' is no text in UTF-8"):
        read.read_sequences(path)
    with pytest.raises(FileNotFoundError):
        read.read_sequences(tmp_path / "none")


class TestMatrix:
    def test_table_of_ncbi(self, tmp_path):
        (tmp_path / "m").write_text(BLOSUM)
        scores, alphabet = read.read_matrix(tmp_path / "m")
        assert alphabet == ["A", "R", "*"]
        assert scores.dtype == np.int64
        assert scores.tolist() == [[4, -1, -4], [-1, 5, -4], [-4, -4, 1]]
        scoring = align.Scoring(matrix=(scores, alphabet))
        assert align.score("AR", "AR", scoring) == 9

    def test_commas_and_fractions(self):
        scores, alphabet = parse_matrix(",conv 3,relu\nconv 3,1,-0.5\nrelu,+2,3e0\n")
        assert alphabet == ["conv 3", "relu"]
        assert scores.tolist() == [[1, -0.5], [2, 3]]
        assert align.score(["conv 3"], ["relu"], align.Scoring(matrix=(scores, alphabet))) == -0.5

    def test_json(self):
        scores, alphabet = parse_matrix('{"alphabet": ["a", 1], "scores": [[1, 2], [3, 4]]}')
        assert (alphabet, scores.tolist()) == (["a", 1], [[1, 2], [3, 4]])
        assert parse_matrix('{"alphabet": "ab", "scores": [[1, 2], [3, 4]]}')[1] == ["a", "b"]

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("", "a matrix must have a line for each of its tokens, got 0 lines for 0 tokens"),
            ("# nothing\n", "got 0 lines for 0 tokens"),
            (" A B\nA 1 2\n", "lines must have the tokens of the columns, ['A', 'B'], got ['A']"),
            (" A B\nB 1 2\nA 1 2", "lines must have the tokens of the columns"),
            (" A B\nA 1 2\nB 1\n", "the line of 'B' must have 2 scores, got 1"),
            (" A\nA x\n", "the line of 'A' must have finite numbers, got 'x'"),
            (" A\nA nan\n", "the line of 'A' must have finite numbers, got 'nan'"),
            ('{"alphabet": ["a"]}', 'a matrix in JSON must have "alphabet" and "scores"'),
            ('{"alphabet": ["a"], "scores": 3}', '"scores" must be a list of lists'),
            ('{"alphabet": 3, "scores": []}', '"alphabet": tokens must be a list or a string'),
            ('{"alphabet": ["a"], "scores": []}', "got 0 lines for 1 tokens"),
            ('{"alphabet": ["a"], "scores": [[true]]}', "must have finite numbers, got True"),
            ('{"alphabet": ["a"], "scores": [[null]]}', "must have finite numbers, got None"),
            ('{"alphabet"', "the text is no JSON"),
        ],
    )
    def test_errors(self, text, sentence):
        with pytest.raises(ReadError, match=re.escape(sentence)):
            parse_matrix(text)
