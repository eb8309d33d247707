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
    from neurn.study.settings import Study

_HEADER = re.compile(r"^\s*\[+\s*([^\]]+?)\s*\]+")
_KEY = re.compile(r"""^\s*("[^"]*"|'[^']*'|[A-Za-z0-9_.-]+)\s*=""")

_WANTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "model_attributes_type": "a table",
    "model_type": "a table",
    "string_type": "a text",
    "tuple_type": "a list",
}
_PATTERNS: Mapping[Any, str] = {
    "device": "'cpu', 'cuda' or 'cuda:1'",
    "walltime": "'04:00:00' or '2-00:00:00'",
}


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
    """Check the text of a study.

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
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = tuple(part.strip(" \"'") for part in header[1].split("."))
            places.setdefault(table, number)
        elif key := _KEY.match(line):
            parts = tuple(part.strip(" \"'") for part in key[1].split("."))
            places.setdefault((*table, *parts), number)
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
    problems: Sequence[Mapping[str, Any]], text: str, name: str, values: dict[str, Any]
) -> list[str]:
    """Return a sentence for each place; where a value may be of several kinds, it names all."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        path = _path(problem["loc"], values)
        line = line_of(text, path)
        where = name if line is None else f"{name}, line {line}"
        key = ".".join(part for part in path if isinstance(part, str))
        found = reasons.setdefault((where, key), [])
        reason = _reason(problem, key, path)
        if reason not in found:
            found.append(reason)
    return [f"{where}: {_joined(key, found)}" for (where, key), found in reasons.items()]


def _joined(key: str, reasons: Sequence[str]) -> str:
    start = f"{key} must be "
    if len(reasons) > 1 and all(reason.startswith(start) for reason in reasons):
        wanted = [reason.removeprefix(start).rpartition(", got ")[0] for reason in reasons]
        return f"{start}{' or '.join(wanted)}, got {reasons[0].rpartition(', got ')[2]}"
    return "; ".join(reasons)


def _path(loc: tuple[str | int, ...], values: Any) -> tuple[str | int, ...]:
    """Leave out what pydantic adds to a place: the chosen kind of a table or value."""
    path: list[str | int] = []
    for part in loc:
        if isinstance(values, dict) and part in values:
            values = values[part]
        elif isinstance(values, list) and isinstance(part, int):
            values = values[part] if part < len(values) else None
        elif part != loc[-1] or not isinstance(values, dict):
            continue
        elif isinstance(part, str) and part in ("simulated", "files") and values.get("source"):
            continue
        path.append(part)
    return tuple(path)


def _reason(problem: Mapping[str, Any], key: str, path: tuple[str | int, ...]) -> str:
    kind, context, got = problem["type"], problem.get("ctx", {}), problem.get("input")
    if kind == "extra_forbidden":
        return _unknown(str(path[-1]), path, problem["loc"])
    if kind == "missing":
        return f"{key} is missing"
    if kind == "union_tag_not_found":
        tags = " or ".join(sorted(context.get("expected_tags", "'files', 'simulated'").split(", ")))
        return f"{key}.source is missing; give {tags}"
    if kind == "union_tag_invalid":
        return f"{key}.source must be one of {context['expected_tags']}, got {context['tag']!r}"
    if kind == "literal_error":
        return f"{key} must be {context['expected']}, got {got!r}"
    if kind == "value_error":
        reason = str(context.get("error", problem["msg"]))
        return f"{key}: {reason}" if key else reason
    if kind in _WANTED:
        return f"{key} must be {_WANTED[kind]}, got {got!r}"
    if kind == "string_pattern_mismatch":
        return (
            f"{key} must be written like {_PATTERNS.get(path[-1], context['pattern'])}, got {got!r}"
        )
    message = problem["msg"].removeprefix("Input should be ")
    return f"{key} must be {message[0].lower()}{message[1:]}, got {got!r}"


def _unknown(key: str, path: tuple[str | int, ...], loc: tuple[str | int, ...]) -> str:
    allowed = _allowed(loc)
    near = difflib.get_close_matches(key, allowed, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    where = ".".join(str(part) for part in path[:-1])
    kind = f"[{where}] has no key" if where else "there is no table or key"
    return f"{kind} {key!r}; allowed: {', '.join(allowed)}{hint}"


def _allowed(loc: tuple[str | int, ...]) -> list[str]:
    from neurn.study import settings

    tables: dict[str | int, type[settings.Table]] = {
        "run": settings.Run,
        "simulated": settings.Simulated,
        "files": settings.Files,
        "representations": settings.Representations,
        "selection": settings.Selection,
        "models": settings.Models,
        "compare": settings.Compare,
        "architectures": settings.Architectures,
        "generalization": settings.Generalization,
        "cluster": settings.Cluster,
    }
    inner = next((tables[part] for part in reversed(loc[:-1]) if part in tables), settings.Study)
    return sorted(inner.model_fields)
