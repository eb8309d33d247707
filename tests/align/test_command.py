import io
import json
import sys

import numpy as np
import pytest

from neurn import align, cli
from neurn.align import command
from neurn.align.alignment import Alignment

SET = ">VGG16\nCCMCCMCCCMCCCMCCCMLLL\n>VGG19\nCCMCCMCCCCMCCCCMCCCCMLLL\n>tiny\nCML\n"
SEQUENCES = [line for line in SET.splitlines() if not line.startswith(">")]
NAMES = ["VGG16", "VGG19", "tiny"]


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "zoo.fa"
    path.write_text(SET)
    return str(path)


@pytest.fixture
def run(capsys):
    """Run the command and return what it printed; it must succeed."""

    def call(*arguments):
        code = cli.main(["align", *arguments])
        out, err = capsys.readouterr()
        assert (code, err) == (0, "")
        return out

    return call


@pytest.fixture
def refuse(capsys):
    """Run the command and return its one sentence; it must be one of wrong usage."""

    def call(*arguments):
        assert cli.main(["align", *arguments]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        return err.splitlines()[-1]

    return call


class TestPair:
    def test_literals(self, run):
        assert run("CCMCC", "CMCC") == f"{align.align('CCMCC', 'CMCC')}\n"

    def test_words_and_json(self, run):
        expected = str(align.align(["conv", "relu"], ["conv"])) + "\n"
        assert run("conv relu", '["conv"]') == expected
        assert run("conv relu", "conv") == expected
        assert run('["conv", "relu"]', "conv") == expected
        assert run("conv relu", "conv", "--tokens", "characters") != expected
        assert "a 0 a  b 2\n    .. .\nb 0 ab c 2\n" in run("a b", "ab c")

    def test_an_empty_literal_is_an_empty_sequence(self, run):
        assert "2I" in run("", "CC") or "2D" in run("", "CC")

    def test_a_literal_may_be_long_and_hold_anything(self, run):
        assert '"cigar": "9000="' in run("A" * 9000, "A" * 9000, "--json")
        assert '"cigar": "1="' in run("\0", "\0", "--json")

    def test_files_and_names(self, run, fasta, tmp_path):
        single = tmp_path / "one.jsonl"
        single.write_text('{"name": "one", "tokens": "CCM"}\n')
        assert run(f"{fasta}:VGG16", f"{fasta}:VGG19") == f"{align.align(*SEQUENCES[:2])}\n"
        assert run(str(single), "CM") == f"{align.align('CCM', 'CM')}\n"

    def test_standard_input(self, run, monkeypatch):
        monkeypatch.setattr(sys, "stdin", io.StringIO(">x\nCCM\n"))
        assert run("-", "CM") == f"{align.align('CCM', 'CM')}\n"

    def test_json_comes_back_as_the_same_alignment(self, run):
        scoring = align.Scoring(2, -1, -0.5, -1)
        scores = ["--match", "2", "--mismatch", "-1", "--gap", "-0.5", "--gap-open=-1"]
        out = run("CCMCC", "CMMC", "--json", *scores)
        assert Alignment.from_json(out) == align.align("CCMCC", "CMMC", scoring)

    def test_free_ends_and_band(self, run):
        out = run("CCMCC", "CCMCCLL", "--json", "--free-ends", "a_begin, b_end")
        assert Alignment.from_json(out).score == 5
        assert Alignment.from_json(out).free_ends == ("a_begin", "b_end")
        assert json.loads(run("CMC", "LCM", "--band", "0", "--json"))["cigar"] == "3X"

    def test_matrix(self, run, tmp_path):
        (tmp_path / "m.txt").write_text("  C M\nC 3 0\nM 0 2\n")
        assert '"score": 5,' in run("CM", "CM", "--matrix", str(tmp_path / "m.txt"), "--json")

    def test_page_and_picture(self, run, fasta, tmp_path):
        pytest.importorskip("matplotlib")
        page, picture = tmp_path / "a.html", tmp_path / "a.PNG"
        pair = [f"{fasta}:VGG16", f"{fasta}:tiny"]
        assert run(*pair, "--html", str(page), "--plot", str(picture), "--quiet") == ""
        assert page.read_text() == align.align(SEQUENCES[0], "CML").to_html()
        assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        run("CM", "CM", "--quiet", "--plot", str(tmp_path / "a.svg"))
        assert "<svg" in (tmp_path / "a.svg").read_text()
        names = {"zoo.fa", "a.html", "a.PNG", "a.svg"}
        assert {path.name for path in tmp_path.iterdir()} == names


class TestAll:
    def test_csv_is_printed(self, run, fasta):
        header, *lines = run("--all", fasta).splitlines()
        assert header == "name,VGG16,VGG19,tiny"
        scores = align.all_pairs(SEQUENCES)
        assert [line.split(",")[0] for line in lines] == NAMES
        assert [list(map(int, line.split(",")[1:])) for line in lines] == scores.tolist()

    def test_similarity_as_json(self, run, fasta):
        record = json.loads(run("--all", fasta, "--metric", "similarity", "--json"))
        assert record["metric"] == "similarity"
        assert record["names"] == NAMES
        assert record["scores"] == align.all_pairs(SEQUENCES, metric="similarity").tolist()

    def test_options_reach_the_aligner(self, run, fasta):
        arguments = ["--gap", "-1", "--free-ends", "both", "--band", "5", "--threads", "2"]
        record = json.loads(run("--all", fasta, *arguments, "--json"))
        scoring = align.Scoring(gap=-1)
        expected = align.all_pairs(SEQUENCES, scoring, free_ends="both", band=5)
        assert record["scores"] == expected.tolist()

    def test_json_lines_without_names_are_numbered(self, run, tmp_path, monkeypatch):
        monkeypatch.setattr(sys, "stdin", io.StringIO('["a", 1]\n{"tokens": [1], "name": "b"}\n'))
        assert run("--all", "-").splitlines() == ["name,0,b", "0,2,-1", "b,-1,1"]

    def test_csv(self, run, fasta, tmp_path):
        out = tmp_path / "s.csv"
        printed = run("--all", fasta)
        assert run("--all", fasta, "--out", str(out)) == ""
        assert out.read_text() == printed

    def test_npz(self, run, fasta, tmp_path):
        out = tmp_path / "s.npz"
        run("--all", fasta, "--out", str(out))
        with np.load(out) as arrays:
            assert arrays["names"].tolist() == NAMES
            assert arrays["metric"] == "score"
            np.testing.assert_array_equal(arrays["scores"], align.all_pairs(SEQUENCES))
        assert {path.name for path in tmp_path.iterdir()} == {"zoo.fa", "s.npz"}

    def test_parquet(self, run, fasta, tmp_path):
        parquet = pytest.importorskip("pyarrow.parquet")
        out = tmp_path / "s.parquet"
        run("--all", fasta, "--out", str(out))
        table = parquet.read_table(out)
        assert table.column_names == ["name", *NAMES]
        assert table["name"].to_pylist() == NAMES
        assert table["tiny"].to_pylist() == align.all_pairs(SEQUENCES)[:, 2].tolist()

    def test_parquet_needs_pyarrow(self, fasta, tmp_path, capsys, monkeypatch):
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        assert cli.main(["align", "--all", fasta, "--out", str(tmp_path / "s.parquet")]) == 1
        assert capsys.readouterr().err == (
            "neurn align: pyarrow is needed here and is not installed: "
            "pip install 'neurn[parquet]'\n"
        )

    @pytest.mark.parametrize(("names", "repeated"), [(["a", "a"], "a"), (["a", "name"], "name")])
    def test_columns_of_parquet_need_names_of_their_own(self, tmp_path, names, repeated):
        table = command.Table(names, "score", np.eye(2))
        with pytest.raises(command.ArgumentError, match=f"got '{repeated}' twice; write .npz"):
            table.write(tmp_path / "x.parquet")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "give two sequences, got 0, or --all FILE"),
        (["A", "B", "C"], "give two sequences, got 3, or --all FILE"),
        (["A", "B", "--out", "x.csv"], "argument --out: only with --all"),
        (["A", "B", "--metric", "score"], "argument --metric: only with --all"),
        (["A", "B", "--threads", "2"], "argument --threads: only with --all"),
        (["A", "B", "--device", "cuda"], "argument --device: only with --all"),
        (["--all", "{fasta}", "--html", "x"], "argument --html: only without --all"),
        (["--all", "{fasta}", "--plot", "x.png"], "argument --plot: only without --all"),
        (["--all", "{fasta}", "A"], "argument --all: takes no sequence beside it, got ['A']"),
        (
            ["--all", "{fasta}", "--out", "x.txt"],
            "argument --out: must end in .csv, .parquet, .npz",
        ),
        (["--all", "{fasta}", "--threads", "0"], "threads must be a whole number >= 1, got 0"),
        (
            ["--all", "{fasta}", "--device", "tpu9"],
            "device must be 'cpu' or a CUDA device, got 'tpu9'",
        ),
        (["--all", "none.fa"], "argument --all: there is no file 'none.fa'"),
        (["none.fa", "B"], "argument A: there is no file 'none.fa'"),
        (["{fasta}", "B"], "argument A: must be one sequence, got 3 in"),
        (["A", "{fasta}:VGG"], "holds no sequence named 'VGG'"),
        (["-", "-"], "argument B: only one of the two can be standard input"),
        (["[1", "B"], "the text is no JSON"),
        (["A", "B", "--plot", "x.gif"], "argument --plot: must end in .png, .pdf, .svg, got"),
        (["A", "B", "--gap", "1"], "gap must be <= 0, got 1"),
        (["A", "B", "--gap", "x"], "argument --gap: invalid number value: 'x'"),
        (["A", "B", "--match", "nan"], "match must be a finite number, got nan"),
        (["A", "B", "--band", "-1"], "band must be >= 0, got -1"),
        (["A", "B", "--free-ends", "c"], "free_ends must be of 'a_begin'"),
        (["A", "B", "--matrix", "none"], "argument --matrix: there is no file 'none'"),
        (["A", "B", "--matrix", "{fasta}"], "lines must have the tokens of the columns"),
        (
            ["A", "B", "--matrix", "{fasta}", "--match", "2"],
            "argument --match: not beside --matrix, which has every score",
        ),
    ],
)
def test_wrong_usage_is_one_sentence(arguments, sentence, fasta, refuse):
    line = refuse(*(argument.replace("{fasta}", fasta) for argument in arguments))
    assert line.startswith("neurn align: ")
    assert sentence in line


def test_an_empty_file_is_refused(tmp_path, refuse):
    (tmp_path / "e.fa").touch()
    assert "holds no sequence" in refuse("--all", str(tmp_path / "e.fa"))


def test_an_unknown_token_is_one_sentence(tmp_path, refuse):
    (tmp_path / "m.txt").write_text("  C\nC 3\n")
    assert "lacks 'M'" in refuse("C", "M", "--matrix", str(tmp_path / "m.txt"))


def test_a_directory_that_is_not_there_fails_in_one_line(tmp_path, capsys):
    assert cli.main(["align", "A", "B", "--html", str(tmp_path / "no" / "a.html")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_interruption_leaves_no_file(fasta, tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(align, "all_pairs", interrupted)
    assert cli.main(["align", "--all", fasta, "--out", str(tmp_path / "s.npz")]) == 130
    assert capsys.readouterr().err == "\nneurn align: interrupted\n"
    assert [path.name for path in tmp_path.iterdir()] == ["zoo.fa"]


def test_progress_is_a_line_now_and_then():
    seconds = iter([0.0, 1.0, 12.0, 15.0, 40.0])
    stream = io.StringIO()
    report = command.lines(stream, lambda: next(seconds))
    for done in (10, 300_000, 310_000, 400_000):
        report(done, 1_200_000)
    assert stream.getvalue().splitlines() == [
        "aligned 300,000 of 1,200,000 pairs, 36 s left",
        "aligned 400,000 of 1,200,000 pairs, 80 s left",
    ]


@pytest.mark.parametrize(("terminal", "quiet"), [(True, False), (False, False), (False, True)])
def test_progress_goes_to_a_terminal_as_a_bar(terminal, quiet, fasta, monkeypatch, run):
    seen = []
    real = align.all_pairs

    def spy(*arguments, progress, **options):
        seen.append(progress)
        return real(*arguments, **options)

    monkeypatch.setattr(align, "all_pairs", spy)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    run("--all", fasta, *["--quiet"] * quiet)
    assert seen[0] is True if terminal else seen[0] is False if quiet else callable(seen[0])
