"""Output files that are either whole or absent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class OutputError(ValueError):
    """The output directory cannot be used; the message says why."""


def prepare_directory(path: Path) -> None:
    """Create an output directory, parents included, and check that files can be made in it.

    Raises
    ------
    OutputError
        If `path` is a file, or the directory cannot be created or written to.
    """
    if path.exists() and not path.is_dir():
        raise OutputError(f"{str(path)!r} is a file; give a directory, new or existing")
    probe = path / f".neurn-{os.getpid()}.probe"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write to {str(path)!r} ({reason}); give another") from error


@contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write under a temporary name beside it; rename it into place at the end.

    Parameters
    ----------
    path : Path
        Replaced if it exists, kept as it was if the body raises. Its directory must exist.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Provide a temporary name beside a file, for libraries that open files themselves.

    Parameters
    ----------
    path : Path
        Replaced at the end, kept as it was if the body raises. Its directory must exist.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file under a temporary name beside it, then rename it into place.

    Parameters
    ----------
    path : Path
        Replaced if it exists. Its directory must exist.
    data : bytes or str
        Text is encoded as UTF-8.
    """
    with open_atomic(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)
