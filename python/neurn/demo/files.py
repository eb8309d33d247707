"""The directory that a run writes to."""

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
