"""Read ``study.toml``: every error is one sentence with the line, the key and what is allowed."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurn._optional import import_optional

if TYPE_CHECKING:
    from neurn.study.settings import Study, Table

_HEADER = re.compile(r"^\s*\[+\s*([^\]]+?)\s*\]+")
_KEY = re.compile(r"""^\s*("[^"]*"|'[^']*'|[A-Za-z0-9_.-]+)\s*=""")

_WANTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "finite_number": "a number that is finite",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "model_attributes_type": "a table",
    "model_type": "a table",
    "string_too_short": "a text that is not empty",
    "string_type": "a text",
    "too_short": "a list that is not empty",
    "tuple_type": "a list",
}
_BOUNDS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")
_PATTERNS: Mapping[Any, str] = {
    "device": "'cpu', 'cuda' or 'cuda:1'",
    "walltime": "'04:00:00' or '2-00:00:00'",
}
# Of keys that take values of several kinds, or with units.
_SEVERAL = {
    "architectures.models": "'published' or a list of names of the zoo, each once",
    "cluster.memory": "at least 100 MB",
    "representations.size": "a whole number from 2 to 224, or a list of two",
    "run.memory": "at least 100 MB",
}
_KINDS = ("simulated", "files")  # of [recordings]; pydantic puts them into places of errors


class StudyError(ValueError):
    """A study's file, or what it names, is not allowed; each line names a place and a reason."""


def read(path: str | Path) -> Study:
    """Read and check a study's file.

    Parameters
    ----------
    path : str or Path
        TOML, see `neurn.study.settings`. Paths in it are taken from its directory.

    Returns
    -------
    Study

    Raises
    ------
    StudyError
        If the file is missing, is not TOML, or a key or value is not allowed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from neurn import study
    >>> _ = Path("study.toml").write_text('architectures.models = ["VGG11", "VGG16"]')
    >>> study.read("study.toml").architectures.models
    ('VGG11', 'VGG16')
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise StudyError(f"{file}: cannot be read ({reason}); neurn study init makes one") from None
    except UnicodeDecodeError:
        raise StudyError(f"{file}: is not a text in UTF-8") from None
    return parse(text, str(file), file.parent)


def parse(text: str, name: str = "study.toml", folder: Path | None = None) -> Study:
    r"""Check the text of a study.

    Parameters
    ----------
    text : str
    name : str
        What errors call it.
    folder : Path, optional
        Where relative paths begin; they stay as they are by default.

    Returns
    -------
    Study

    Raises
    ------
    StudyError
        As `read`.

    Examples
    --------
    >>> from neurn import study
    >>> study.parse('[generalization]\nseeds = 3').generalization.seeds
    3
    >>> study.parse("[generalization]\nseeds = 0.5")
    Traceback (most recent call last):
        ...
    neurn.study.read.StudyError: study.toml, line 2: generalization.seeds must be a whole ...
    """
    tomllib = import_optional("tomllib" if sys.version_info >= (3, 11) else "tomli", "study")
    pydantic = import_optional("pydantic", "study")
    from neurn.study.settings import Study

    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        where = f"line {found[1]}" if found else "at its end"
        reason = re.sub(r"\s*\(at .*\)", "", str(error))
        raise StudyError(f"{name}, {where}: is not TOML: {reason}") from None
    _resolve(values, folder)
    try:
        return Study.model_validate(values)
    except pydantic.ValidationError as error:
        raise StudyError("\n".join(_sentences(error.errors(), text, name, values))) from None


def line_of(text: str, path: tuple[str | int, ...]) -> int | None:
    """Return the line, from 1, of a key, or of the nearest thing above it that has one.

    Parameters
    ----------
    text : str
        TOML.
    path : tuple of str or int
        Names of tables and key, as in ``("recordings", "areas", 1)``.
    """
    wanted = tuple(str(part) for part in path if isinstance(part, str))
    places: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    within = ""  # the quotes of a text of several lines that is open
    for number, line in enumerate(text.splitlines(), 1):
        if within:
            within = "" if within in line else within
            continue
        if header := _HEADER.match(line):
            table = tuple(part.strip(" \"'") for part in header[1].split("."))
            places.setdefault(table, number)
        elif key := _KEY.match(line):
            parts = tuple(part.strip(" \"'") for part in key[1].split("."))
            places.setdefault((*table, *parts), number)
        within = next((q for q in ('"""', "'''") if line.count(q) % 2), "")
    while wanted and wanted not in places:
        wanted = wanted[:-1]
    return places.get(wanted)


def _resolve(values: dict[str, Any], folder: Path | None) -> None:
    """Make relative paths whole."""
    if folder is None:
        return
    recordings, training = values.get("recordings"), values.get("generalization")
    files = recordings.get("files") if isinstance(recordings, dict) else None
    if isinstance(files, list) and all(isinstance(file, str) for file in files):
        values["recordings"]["files"] = [str(folder / file) for file in files]
    data = training.get("data") if isinstance(training, dict) else None
    if isinstance(data, str) and data:
        values["generalization"]["data"] = str(folder / data)


def _sentences(
    problems: Sequence[Mapping[str, Any]], text: str, name: str, values: Mapping[str, Any]
) -> list[str]:
    """Return a sentence for each thing that is wrong at each place."""
    sentences = []
    for problem in problems:
        path = _path(problem["loc"])
        line = line_of(text, path)
        where = name if line is None else f"{name}, line {line}"
        sentences.append(f"{where}: {_reason(problem, path, values)}")
    return list(dict.fromkeys(sentences))


def _path(loc: tuple[str | int, ...]) -> tuple[str, ...]:
    """Return table and key of a place; pydantic adds kinds and what it tried to make of a value."""
    start, *rest = loc or ("",)
    if start == "recordings" and rest and rest[0] in _KINDS:
        del rest[0]
    return tuple(str(part) for part in (start, *rest[:1]) if part != "")


def _reason(problem: Mapping[str, Any], path: tuple[str, ...], values: Mapping[str, Any]) -> str:
    kind, context, got = problem["type"], problem.get("ctx", {}), problem.get("input")
    key = ".".join(path)
    if kind == "extra_forbidden":
        return _unknown(path, problem["loc"])
    if key in _SEVERAL and (kind != "value_error" or key == "architectures.models"):
        return f"{key} must be {_SEVERAL[key]}, got {values[path[0]][path[1]]!r}"
    if kind == "missing":
        return f"{key} is missing"
    if kind == "union_tag_not_found":
        return f"{key}.source is missing; give 'files' or 'simulated'"
    if kind == "union_tag_invalid":
        got = values["recordings"]["source"]
        return f"{key}.source must be {context['expected_tags'].replace(', ', ' or ')}, got {got!r}"
    if kind == "value_error":
        reason = str(context.get("error", problem["msg"]))
        return f"{key}: {reason}" if key else reason
    if kind == "literal_error":
        return f"{key} must be {context['expected']}, got {got!r}"
    if kind == "string_pattern_mismatch":
        return (
            f"{key} must be written like {_PATTERNS.get(path[-1], context['pattern'])}, got {got!r}"
        )
    if kind in _BOUNDS:
        return f"{key} must be {_bounds(path, problem['loc'])}, got {got!r}"
    if kind in _WANTED:
        return f"{key} must be {_WANTED[kind]}, got {got!r}"
    message = problem["msg"].removeprefix("Input should be ")
    return f"{key} must be {message[0].lower()}{message[1:]}, got {got!r}"


def _bounds(path: tuple[str, ...], loc: tuple[str | int, ...]) -> str:
    """Return in words from where to where a number may go."""
    limits = {
        name: getattr(part, name)
        for part in _table(loc).model_fields[path[-1]].metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(part, name, None) is not None
    }
    low = f"at least {limits['ge']}" if "ge" in limits else ""
    low = f"more than {limits['gt']}" if "gt" in limits else low
    high = f"at most {limits['le']}" if "le" in limits else ""
    high = f"less than {limits['lt']}" if "lt" in limits else high
    if "ge" in limits and "le" in limits:
        return f"from {limits['ge']} to {limits['le']}"
    return " and ".join(part for part in (low, high) if part)


def _unknown(path: tuple[str, ...], loc: tuple[str | int, ...]) -> str:
    *outer, key = path
    allowed = sorted(_table(loc).model_fields)
    near = difflib.get_close_matches(key, allowed, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    kind = f"[{outer[0]}] has no key" if outer else "there is no table or key"
    return f"{kind} {key!r}; allowed: {', '.join(allowed)}{hint}"


def _table(loc: tuple[str | int, ...]) -> type[Table]:
    """Return the kind of table that the key of a place belongs to."""
    from neurn.study import settings

    if len(loc) == 1:
        return settings.Study
    if loc[0] == "recordings":
        return settings.Files if loc[1] == "files" else settings.Simulated
    tables: tuple[type[Table], ...] = (
        settings.Run,
        settings.Representations,
        settings.Selection,
        settings.Models,
        settings.Compare,
        settings.Architectures,
        settings.Generalization,
        settings.Cluster,
    )
    return next(table for table in tables if table.__name__.lower() == loc[0])
