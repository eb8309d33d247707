"""Reads sequences and substitution matrices from text: FASTA-like, JSON lines, JSON, plain."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

FORMATS = ("auto", "fasta", "json", "jsonl", "text")
SPLITS = ("auto", "words", "characters")

Score = int | float  # of two tokens
Matrix = tuple[npt.NDArray[Any], list[Any]]


T = TypeVar("T")


class ReadError(ValueError):
    """The text is not of the format it should have; the message says where and why."""


class NamedSequence(NamedTuple):
    """A sequence and what it is called.

    Attributes
    ----------
    name : str
        Empty where the text gives none.
    tokens : str or list
        A string where each character is a token.
    """

    name: str
    tokens: str | list[Any]


def read_sequences(
    path: str | Path, *, format: str = "auto", split: str = "auto"
) -> list[NamedSequence]:
    """Read the sequences of a file; parameters, formats and errors are those of `parse`.

    Parameters
    ----------
    path : str or Path
        Text in UTF-8.
    format, split : str
        As for `parse`.

    Raises
    ------
    ReadError
        As `parse`, the file's name before the sentence.
    OSError
        If the file cannot be read.
    """
    return _from_file(path, lambda text: parse(text, format=format, split=split))


def parse(text: str, *, format: str = "auto", split: str = "auto") -> list[NamedSequence]:
    r"""Take sequences from text.

    Parameters
    ----------
    text : str
    format : {"auto", "fasta", "json", "jsonl", "text"}
        - "fasta": lines ``>name``, each followed by the lines of its sequence;
        - "jsonl": a line for each sequence, ``{"name": ..., "tokens": [...]}``, a list of tokens,
          or a string whose characters are tokens;
        - "json": one list of tokens, or a list of what a line of "jsonl" may be;
        - "text": a line for each sequence, without names.

        "auto" goes by the first character: ``>`` is FASTA; ``{`` and ``[`` are JSON if the whole
        text is one, else JSON lines; anything else is "text".
    split : {"auto", "words", "characters"}
        What a token is in "fasta" and "text": a word, or a character that is no space. "auto":
        words if any line of a sequence has a space or tab between two characters, for all
        sequences; else characters.

    Returns
    -------
    list of NamedSequence
        In the order of the text.

    Raises
    ------
    ValueError
        For another `format` or `split`.
    ReadError
        If the text is not of its format.

    Examples
    --------
    >>> from neurn.align import read
    >>> read.parse(">VGG\nconv relu\nconv relu\n>tiny\nlinear\n")[0].tokens
    ['conv', 'relu', 'conv', 'relu']
    >>> read.parse(">chain A\nMKV\nLAT\n")
    [NamedSequence(name='chain A', tokens='MKVLAT')]
    """
    for name, value, allowed in (("format", format, FORMATS), ("split", split, SPLITS)):
        if value not in allowed:
            listed = ", ".join(map(repr, allowed))
            raise ValueError(f"{name} must be one of {listed}, got {value!r}")
    text = text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    if format == "auto":
        format = _guess(text)
    if format == "json":
        return _json(text)
    if format == "jsonl":
        return list(_json_lines(text))
    return _fasta(text, split) if format == "fasta" else _plain(text, split)


def read_matrix(path: str | Path) -> Matrix:
    """Read a substitution matrix; formats and errors are those of `parse_matrix`."""
    return _from_file(path, parse_matrix)


def parse_matrix(text: str) -> Matrix:
    """Take a substitution matrix from text.

    Parameters
    ----------
    text : str
        Either JSON, ``{"alphabet": [...], "scores": [[...], ...]}``, or a table as NCBI writes
        them: a line of tokens, then for each of these a line with the token and its scores, split
        at commas if the first line has one, else at spaces. Lines that begin with ``#`` are
        comments.

    Returns
    -------
    tuple of (ndarray, list)
        Scores, of shape (tokens, tokens), int64 if all are whole and else float64, and the tokens
        of rows and columns: what `neurn.align.Scoring` takes as its matrix.

    Raises
    ------
    ReadError
        If the text is neither, lines and columns are not the same tokens in the same order, a line
        is too short or too long, or a score is not a finite number.
    """
    if text.lstrip().startswith("{"):
        record = _load(text, "the text")
        if not {"alphabet", "scores"} <= record.keys():
            raise ReadError('a matrix in JSON must have "alphabet" and "scores"')
        alphabet = record["alphabet"]
        columns = list(alphabet) if isinstance(alphabet, str) else _checked(alphabet, '"alphabet"')
        rows = columns
        table = record["scores"]
        if not isinstance(table, list) or not all(isinstance(line, list) for line in table):
            raise ReadError('"scores" must be a list of lists')
    else:
        lines = [x for x in text.splitlines() if x.strip() and not x.startswith("#")]
        comma = "," if lines and "," in lines[0] else None
        header, *body = [[cell.strip() for cell in line.split(comma)] for line in lines] or [[]]
        columns = [cell for cell in header if cell]
        rows = [line[0] for line in body]
        table = [line[1:] for line in body]
        if rows != columns:
            raise ReadError(f"lines must have the tokens of the columns, {columns}, got {rows}")
    if not columns or len(table) != len(columns):
        raise ReadError(
            f"a matrix must have a line for each of its tokens, got {len(table)} lines "
            f"for {len(columns)} tokens"
        )
    for token, line in zip(rows, table, strict=True):
        if len(line) != len(columns):
            raise ReadError(
                f"the line of {token!r} must have {len(columns)} scores, got {len(line)}"
            )
    return np.array(
        [[_number(x, token) for x in line] for token, line in zip(rows, table, strict=True)]
    ), columns


def _from_file(path: str | Path, parse_text: Callable[[str], T]) -> T:
    try:
        return parse_text(Path(path).read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ReadError(f"{str(path)!r} is no text in UTF-8") from error
    except ReadError as error:
        raise ReadError(f"{str(path)!r}: {error}") from error


def _guess(text: str) -> str:
    start = text.lstrip()[:1]
    if start == ">":
        return "fasta"
    if start not in ("{", "["):
        return "text"
    try:
        record = json.loads(text)
    except json.JSONDecodeError:
        return "jsonl"
    return "jsonl" if isinstance(record, dict) else "json"


def _fasta(text: str, split: str) -> list[NamedSequence]:
    records: list[tuple[str, list[str]]] = []
    for number, line in _lines(text):
        if line.startswith(">"):
            records.append((line[1:].strip(), []))
        elif records:
            records[-1][1].append(line)
        else:
            raise ReadError(f"line {number}: a line that begins with > must come first")
    tokens = _splitter(split, [line for _, lines in records for line in lines])
    return [NamedSequence(name, tokens(lines)) for name, lines in records]


def _plain(text: str, split: str) -> list[NamedSequence]:
    lines = [line for _, line in _lines(text)]
    tokens = _splitter(split, lines)
    return [NamedSequence("", tokens([line])) for line in lines]


def _splitter(split: str, lines: Iterable[str]) -> Callable[[list[str]], str | list[Any]]:
    if split == "auto":
        split = "words" if any(len(line.split()) > 1 for line in lines) else "characters"
    if split == "words":
        return lambda parts: " ".join(parts).split()
    return lambda parts: "".join("".join(parts).split())


def _json(text: str) -> list[NamedSequence]:
    record = _load(text, "the text")
    if not isinstance(record, list):
        raise ReadError("the text must be a JSON list")
    if record and all(isinstance(entry, (list, dict)) for entry in record):
        return [_record(entry, f"entry {place}") for place, entry in enumerate(record)]
    return [_record(record, "the list")]


def _json_lines(text: str) -> Iterator[NamedSequence]:
    for number, line in _lines(text):
        yield _record(_load(line, f"line {number}"), f"line {number}")


def _record(record: Any, where: str) -> NamedSequence:
    name: Any = ""
    tokens = record
    if isinstance(record, dict):
        if "tokens" not in record:
            raise ReadError(f'{where}: "tokens" is missing')
        name, tokens = record.get("name", ""), record["tokens"]
    if not isinstance(name, str):
        raise ReadError(f'{where}: "name" must be a string, got {name!r}')
    if isinstance(tokens, str):
        return NamedSequence(name, tokens)
    return NamedSequence(name, _checked(tokens, where))


def _checked(tokens: Any, where: str) -> list[Any]:
    if not isinstance(tokens, list):
        raise ReadError(f"{where}: tokens must be a list or a string, got {tokens!r}")
    for place, token in enumerate(tokens):
        if isinstance(token, (list, dict)):
            raise ReadError(
                f"{where}: a token must be a string, number, boolean or null, "
                f"got {token!r} at {place}"
            )
    return tokens


def _load(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ReadError(f"{where} is no JSON: {error}") from error


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines with their numbers, from 1, without empty ones."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def _number(cell: Any, token: object) -> Score:
    try:
        value = math.nan if isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ReadError(f"the line of {token!r} must have finite numbers, got {cell!r}")
    return int(value) if value.is_integer() else value
