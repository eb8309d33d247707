"""Files of your own: which of them a study is about."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

from neurn import mouse
from neurn.study.read import StudyError
from neurn.study.settings import Files


def find_files(settings: Files) -> Iterator[tuple[str, str]]:
    """Yield name and path of each recording, and open no more files than are asked for.

    Raises
    ------
    StudyError
        If a pattern matches nothing, two files have one name, or none is wanted.
    """
    found: dict[str, Path] = {}
    wanted = False
    for pattern in settings.files:
        paths = sorted(glob.glob(pattern, recursive=True))
        if not paths:
            raise StudyError(f"recordings.files: nothing matches {pattern!r}")
        for path in map(Path, paths):
            if path.stem in found:
                if found[path.stem] != path:
                    raise StudyError(f"recordings.files: two files are called {path.stem!r}")
                continue
            found[path.stem] = path
            if _wanted(settings, path):
                wanted = True
                yield path.stem, str(path.resolve())
    if not wanted:
        raise StudyError("recordings: no file is of these areas and cre_lines")


def _wanted(settings: Files, path: Path) -> bool:
    if not settings.areas and not settings.cre_lines:
        return True
    try:
        about = mouse.open_nwb(path).metadata
    except mouse.RecordingError as error:
        raise StudyError(str(error)) from None
    line = mouse.driver(about.genotype)
    return (not settings.areas or about.area in settings.areas) and (
        not settings.cre_lines or line in settings.cre_lines
    )
