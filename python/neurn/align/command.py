"""``neurn align``: one pair in full, or all pairs of a file."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
import numpy.typing as npt

from neurn import align
from neurn._command import ArgumentError
from neurn._files import open_atomic, write_atomic
from neurn._optional import import_optional
from neurn.align.read import FORMATS, SPLITS, NamedSequence, parse, read_matrix, read_sequences

METRICS = ("score", "similarity")
PICTURES = (".png", ".pdf", ".svg")
SUFFIXES = (".csv", ".parquet", ".npz")

# A literal that looks like one of these is more likely a file's name with a slip in it.
_FILE_SUFFIXES = (".fa", ".fasta", ".faa", ".fna", ".json", ".jsonl", ".txt")
_SECONDS_BETWEEN_LINES = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``neurn align``."""
    parser.add_argument(
        "sequences",
        nargs="*",
        metavar="A B",
        help="each a file, FILE:NAME for one of its sequences, - for standard input, a JSON list, "
        'or the sequence itself: CCMCC (characters) or "conv relu conv" (words)',
    )
    parser.add_argument("--all", metavar="FILE", help="align all pairs of a file's sequences")
    reading = parser.add_argument_group("reading")
    reading.add_argument(
        "--format", choices=FORMATS, default="auto", help="of files (default: by their content)"
    )
    reading.add_argument(
        "--tokens", choices=SPLITS, default="auto", help="what is a token in FASTA and plain text"
    )
    scoring = parser.add_argument_group("scoring")
    scoring.add_argument("--match", metavar="S", type=_number, help="default: 1")
    scoring.add_argument("--mismatch", metavar="S", type=_number, help="default: -2")
    scoring.add_argument("--gap", metavar="S", type=_number, help="a token's; default: -2")
    scoring.add_argument(
        "--gap-open", metavar="S", type=_number, help="added for each gap; default: 0"
    )
    scoring.add_argument(
        "--matrix", metavar="FILE", help="substitution matrix, a table as of NCBI or JSON"
    )
    scoring.add_argument(
        "--free-ends",
        metavar="ENDS",
        help="ends whose gaps cost nothing: a_begin, a_end, b_begin, b_end, a, b or both, "
        "with commas between",
    )
    scoring.add_argument(
        "--band", metavar="N", type=int, help="leave out what is further than N off the diagonal"
    )
    pair = parser.add_argument_group("one pair")
    pair.add_argument("--html", metavar="FILE", help="write the alignment as a page")
    pair.add_argument("--plot", metavar="FILE", help="draw the score matrix (.png, .pdf, .svg)")
    every = parser.add_argument_group("all pairs")
    every.add_argument(
        "--out", metavar="FILE", help="write .csv, .parquet or .npz; CSV is printed otherwise"
    )
    every.add_argument("--metric", choices=METRICS, help="default: score")
    every.add_argument("--threads", metavar="N", type=int, help="default: one for each core")
    every.add_argument("--device", metavar="D", help="cuda, to score on a GPU; default: cpu")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress; of a pair, no text")


def run(options: argparse.Namespace) -> int:
    """Do what the arguments say and return 0.

    Raises
    ------
    ArgumentError
        If they do not go together, or a sequence or scoring is not allowed.
    """
    for name, belongs_to_all in _BELONGS_TO_ALL.items():
        if getattr(options, name) is not None and belongs_to_all == (options.all is None):
            flag = "--" + name
            raise ArgumentError(
                f"argument {flag}: only {'with' if belongs_to_all else 'without'} --all"
            )
    if options.all is None and len(options.sequences) != 2:
        raise ArgumentError(f"give two sequences, got {len(options.sequences)}, or --all FILE")
    if options.all is not None and options.sequences:
        raise ArgumentError(f"argument --all: takes no sequence beside it, got {options.sequences}")
    try:
        if options.all is None:
            _pair(options)
        else:
            _all(options)
    except (ValueError, TypeError, OverflowError) as error:
        raise ArgumentError(str(error)) from error
    return 0


_BELONGS_TO_ALL = {
    "html": False,
    "plot": False,
    "out": True,
    "metric": True,
    "threads": True,
    "device": True,
}


def _pair(options: argparse.Namespace) -> None:
    _check_suffix("--plot", options.plot, PICTURES)
    a, b = _sequences(options)
    restricted = _restrictions(options)
    alignment = align.align(a.tokens, b.tokens, _scoring(options), **restricted)
    names = (a.name or "a", b.name or "b")
    if options.html is not None:
        write_atomic(Path(options.html), alignment.to_html())
    if options.plot is not None:
        matrix = align.score_matrix(a.tokens, b.tokens, alignment.scoring, **restricted)
        _draw(matrix, names, Path(options.plot))
    if options.json:
        print(alignment.to_json())
    elif not options.quiet:
        print(alignment)


def _draw(matrix: align.ScoreMatrix, names: tuple[str, str], path: Path) -> None:
    # Made without pyplot: no window system.
    axes = matrix.new_axes(import_optional("matplotlib.figure", "plot").Figure)
    matrix.plot(axes, names=names)
    with open_atomic(path) as file:
        axes.figure.savefig(file, format=path.suffix.lower()[1:], dpi=200)


def _all(options: argparse.Namespace) -> None:
    _check_suffix("--out", options.out, SUFFIXES)
    metric = options.metric or "score"
    if options.out is not None and options.out.endswith(".parquet"):
        import_optional("pyarrow", "parquet")
    if options.all == "-":
        found = parse(sys.stdin.read(), format=options.format, split=options.tokens)
    else:
        _check_file("--all", options.all)
        found = read_sequences(options.all, format=options.format, split=options.tokens)
    if not found:
        raise ArgumentError(f"argument --all: {options.all!r} holds no sequence")
    names = [sequence.name or str(place) for place, sequence in enumerate(found)]
    progress = not options.quiet and (sys.stderr.isatty() or lines(sys.stderr))
    scores = align.all_pairs(
        [sequence.tokens for sequence in found],
        _scoring(options),
        metric=metric,
        threads=options.threads,
        device=options.device,
        progress=progress,
        **_restrictions(options),
    )
    table = Table(names, metric, scores)
    if options.out is not None:
        table.write(Path(options.out))
    elif options.json:
        print(json.dumps({"metric": metric, "names": names, "scores": scores.tolist()}))
    else:
        table.write_csv(sys.stdout)


@dataclass(frozen=True)
class Table:
    """All scores of a set, a line and a column for each sequence."""

    names: list[str]
    metric: str
    scores: npt.NDArray[Any]

    def write(self, path: Path) -> None:
        """Write CSV, Parquet or npz, by the file's suffix."""
        write = {".csv": self._csv, ".parquet": self._parquet, ".npz": self._npz}
        with open_atomic(path) as file:
            write[path.suffix.lower()](file)

    def write_csv(self, file: TextIO) -> None:
        """Write a header of names, then a line for each sequence, its name first."""
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", *self.names])
        for name, line in zip(self.names, self.scores, strict=True):
            writer.writerow([name, *line.tolist()])

    def _csv(self, file: BinaryIO) -> None:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        self.write_csv(text)
        text.flush()
        text.detach()

    def _npz(self, file: BinaryIO) -> None:
        np.savez_compressed(
            file, scores=self.scores, names=np.array(self.names), metric=np.array(self.metric)
        )

    def _parquet(self, file: BinaryIO) -> None:
        repeated = {name for name in self.names if self.names.count(name) > 1}
        if repeated or "name" in self.names:
            raise ArgumentError(
                "argument --out: columns of Parquet need names of their own, "
                f"got {min(repeated, default='name')!r} twice; write .npz or .csv"
            )
        columns = {"name": self.names, **dict(zip(self.names, self.scores.T, strict=True))}
        table = import_optional("pyarrow", "parquet").table(columns)
        import_optional("pyarrow.parquet", "parquet").write_table(table, file)


def lines(stream: TextIO, clock: Callable[[], float] = time.monotonic) -> Callable[..., None]:
    """Return a report of progress for what is no terminal: a line every ten seconds.

    Parameters
    ----------
    stream : text file
    clock : callable
        Returns seconds.
    """
    start = last = clock()

    def report(done: int, total: int) -> None:
        nonlocal last
        now = clock()
        if now - last < _SECONDS_BETWEEN_LINES or not done:
            return
        last = now
        left = (now - start) * (total - done) / done
        stream.write(f"aligned {done:,} of {total:,} pairs, {left:.0f} s left\n")
        stream.flush()

    return report


def _sequences(options: argparse.Namespace) -> list[NamedSequence]:
    """Return the two sequences that the arguments speak of."""
    if options.sequences == ["-", "-"]:
        raise ArgumentError("argument B: only one of the two can be standard input")
    stdin = sys.stdin.read() if "-" in options.sequences else ""

    def read(split: str) -> list[NamedSequence]:
        return [
            _sequence(text, name, {"format": options.format, "split": split}, stdin)
            for name, text in zip("AB", options.sequences, strict=True)
        ]

    found = read(options.tokens)
    if options.tokens == "auto" and sum(isinstance(x.tokens, str) for x in found) == 1:
        # Beside a list of words, a lone word is one too.
        return read("words")
    return found


def _sequence(text: str, argument: str, reading: dict[str, str], stdin: str) -> NamedSequence:
    path, colon, name = text.rpartition(":")
    if text == "-":
        found = parse(stdin, **reading)
    elif _is_file(text):
        found = read_sequences(text, **reading)
    elif colon and _is_file(path):
        found = [x for x in read_sequences(path, **reading) if x.name == name]
        if not found:
            raise ArgumentError(f"argument {argument}: {path!r} holds no sequence named {name!r}")
    elif text.lower().endswith(_FILE_SUFFIXES):
        raise ArgumentError(f"argument {argument}: there is no file {text!r}")
    elif text.startswith("["):
        found = parse(text, format="json")
    else:
        found = parse(text, format="text", split=reading["split"]) or [NamedSequence("", "")]
    if len(found) != 1:
        advice = f"; choose one with {text}:NAME" if _is_file(text) else ""
        raise ArgumentError(
            f"argument {argument}: must be one sequence, got {len(found)} in {text!r}{advice}"
        )
    return found[0]


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or with a null character
        return False


def _scoring(options: argparse.Namespace) -> align.Scoring:
    given = {name: getattr(options, name) for name in ("match", "mismatch", "gap", "gap_open")}
    scores = {name: score for name, score in given.items() if score is not None}
    if options.matrix is None:
        return align.Scoring(**scores)
    for name in ("match", "mismatch"):
        if name in scores:
            raise ArgumentError(f"argument --{name}: not beside --matrix, which has every score")
    _check_file("--matrix", options.matrix)
    return align.Scoring(**scores, matrix=read_matrix(options.matrix))


def _restrictions(options: argparse.Namespace) -> dict[str, Any]:
    ends = () if options.free_ends is None else tuple(options.free_ends.split(","))
    return {"free_ends": tuple(end.strip() for end in ends), "band": options.band}


def _check_suffix(flag: str, path: str | None, allowed: tuple[str, ...]) -> None:
    if path is not None and Path(path).suffix.lower() not in allowed:
        raise ArgumentError(f"argument {flag}: must end in {', '.join(allowed)}, got {path!r}")


def _check_file(flag: str, path: str) -> None:
    if not Path(path).exists():
        raise ArgumentError(f"argument {flag}: there is no file {path!r}")


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


_number.__name__ = "number"  # argparse: invalid number value
