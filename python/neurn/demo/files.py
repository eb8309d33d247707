"""Output files that are either whole or absent."""

from __future__ import annotations

import os
from pathlib import Path


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


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file under a temporary name beside it, then rename it into place.

    Parameters
    ----------
    path : Path
        Replaced if it exists. Its directory must exist.
    data : bytes or str
        Text is encoded as UTF-8.
    """
    content = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
