"""The directory of a study: results by key, whole or absent, and what is known of them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neurn._files import OutputError, prepare_directory, write_atomic
from neurn.study.read import StudyError

RECORD = "item.json"
STUDY = "study.json"
LOG = "study.log"
_CACHE = "cache"
_HASHES = "files.json"
_LOCK = ".lock"
_PART = ".part"
_CHUNK = 1 << 22


class Store:
    """The directory of a study.

    Parameters
    ----------
    folder : Path
        Made by `prepare`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._hashes: dict[str, list[Any]] | None = None

    def prepare(self) -> None:
        """Make the directory, parents included, and see that it can be written to.

        Raises
        ------
        StudyError
            If it is a file, or cannot be made or written to.
        """
        try:
            prepare_directory(self.folder)
            (self.folder / _CACHE).mkdir(exist_ok=True)
        except OutputError as error:
            raise StudyError(str(error)) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of the directory, and sweep up what killed processes left.

        Raises
        ------
        StudyError
            If another run is at work there.
        """
        with (self.folder / _LOCK).open("w") as file:
            if sys.platform != "win32":
                import fcntl

                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    if error.errno not in (errno.EAGAIN, errno.EACCES):
                        raise
                    raise StudyError(f"another run is at work in {str(self.folder)!r}") from None
            self._sweep()
            try:
                yield
            finally:
                self._sweep()

    def _sweep(self) -> None:
        for path in (self.folder / _CACHE).glob(f"*/.*{_PART}"):
            shutil.rmtree(path, ignore_errors=True)

    def path(self, stage: str, key: str) -> Path:
        """Return where a result is, or will be."""
        return self.folder / _CACHE / stage / key

    def partial(self, stage: str, key: str) -> Path:
        """Make and return an empty folder to write a result to."""
        name = f".{key}.{socket.gethostname()}.{os.getpid()}{_PART}"
        path = self.path(stage, name)
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def keep(self, partial: Path, stage: str, key: str, record: dict[str, Any]) -> None:
        """Put a finished result in its place; of two the first stays."""
        record["contents"] = {
            file.relative_to(partial).as_posix(): [file.stat().st_size, sha256(file)]
            for file in sorted(partial.rglob("*"))
            if file.is_file()
        }
        text = json.dumps(record, indent=1, allow_nan=False) + "\n"
        (partial / RECORD).write_text(text, encoding="utf-8")
        for file in partial.rglob("*"):
            if file.is_file():
                _sync(file)
        place = self.path(stage, key)
        if place.exists() and not self.has(stage, key):
            shutil.rmtree(place)
        try:
            partial.rename(place)
        except OSError:
            if not self.has(stage, key):
                raise
            shutil.rmtree(partial)

    def record(self, stage: str, key: str) -> dict[str, Any] | None:
        """Return what is known of a result, None where there is none."""
        try:
            text = (self.path(stage, key) / RECORD).read_text(encoding="utf-8")
            found: dict[str, Any] = json.loads(text)
        except (OSError, ValueError):
            return None
        return found

    def has(self, stage: str, key: str) -> bool:
        """Return whether a result is there with all its files, each of its size."""
        record = self.record(stage, key)
        if record is None:
            return False
        try:
            place = self.path(stage, key)
            return all(
                (place / name).stat().st_size == size
                for name, (size, _) in record["contents"].items()
            )
        except OSError:
            return False

    def hash_file(self, path: str, reads: Callable[[Path], str] | None = None) -> str:
        """Return a file's SHA-256, or what `reads` makes of it; unchanged files are not read again.

        Raises
        ------
        StudyError
            If the file cannot be read.
        """
        file = Path(path).resolve()
        name = str(file) if reads is None else f"{file} {reads.__name__}"
        try:
            about = file.stat()
            if self._hashes is None:
                self._hashes = self._read_hashes()
            stamp = [about.st_size, about.st_mtime_ns]
            known = self._hashes.get(name)
            if known is not None and known[:2] == stamp:
                return str(known[2])
            found = sha256(file) if reads is None else reads(file)
        except OSError as error:
            raise StudyError(f"{path}: cannot be read ({error.strerror or error})") from None
        self._hashes[name] = [*stamp, found]
        if self.folder.is_dir():
            write_atomic(self.folder / _HASHES, json.dumps(self._hashes, indent=1))
        return found

    def _read_hashes(self) -> dict[str, list[Any]]:
        try:
            known = json.loads((self.folder / _HASHES).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def write_study(self, about: dict[str, Any]) -> None:
        """Write what a report needs: settings, items, keys, and how each went."""
        write_atomic(self.folder / STUDY, json.dumps(about, indent=1, allow_nan=False) + "\n")

    def read_study(self) -> dict[str, Any]:
        """Read what `write_study` wrote.

        Raises
        ------
        StudyError
            If there is none.
        """
        try:
            text = (self.folder / STUDY).read_text(encoding="utf-8")
            about: dict[str, Any] = json.loads(text)
        except (OSError, ValueError):
            raise StudyError(
                f"{str(self.folder)!r} holds no study; neurn study run makes one"
            ) from None
        return about


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
    return total.hexdigest()


def _sync(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
