"""Fetch session files from the Allen Institute's public bucket: announced, resumed, verified."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neurn.mouse.errors import RecordingError
from neurn.mouse.events import FOLDER, read_events
from neurn.mouse.nwb import open_nwb

BUCKET = "https://allen-brain-observatory.s3.us-west-2.amazonaws.com/visual-coding-2p"

_CHUNK = 1 << 20
_TIMEOUT = 60  # seconds without a byte

Progress = Callable[[int, int], object]


def session_url(experiment: int, bucket: str = BUCKET) -> str:
    """Return the address of a session's file."""
    return f"{bucket}/ophys_experiment_data/{experiment}.nwb"


def events_url(experiment: int, bucket: str = BUCKET) -> str:
    """Return the address of the file of a session's events."""
    return f"{bucket}/{FOLDER}/{experiment}_events.npz"


def size_of(url: str) -> int:
    """Return the size of a file in bytes, without fetching it.

    Raises
    ------
    ConnectionError
        If the file cannot be reached.
    """
    return _head(url)[0]


def fetch_session(
    experiment: int,
    path: Path,
    *,
    progress: Progress | None = None,
    bucket: str = BUCKET,
) -> None:
    """Fetch one session's file; go on where an earlier call was interrupted.

    What has come lies beside `path` under a name of its own (``.part``). It gets the name `path`
    when it is whole: of the announced size and checksum, and a recording that opens.

    Parameters
    ----------
    experiment : int
    path : Path
        Its directory is made.
    progress : callable, optional
        Called with the bytes that are there and those of all, once before the first comes.
    bucket : str
        Address of the bucket's folder.

    Raises
    ------
    ConnectionError
        If the file cannot be reached, or the connection ends early.
    OSError
        If the disk has not enough room.
    RecordingError
        If what came is not what was announced.
    """
    _fetch(session_url(experiment, bucket), path, open_nwb, progress)


def fetch_events(
    experiment: int,
    path: Path,
    *,
    progress: Progress | None = None,
    bucket: str = BUCKET,
) -> None:
    """Fetch one session's events, as `fetch_session` does a recording; about 100 MB.

    Parameters
    ----------
    experiment : int
    path : Path
        ``ophys_experiment_events/<id>_events.npz`` of a cache; its directory is made.
    progress, bucket
        Of `fetch_session`.

    Raises
    ------
    ConnectionError
        If the file cannot be reached (not every session has one), or the connection ends early.
    RecordingError
        If what came is not what was announced.
    """
    _fetch(events_url(experiment, bucket), path, read_events, progress)


def _fetch(
    url: str, path: Path, opens: Callable[[Path], object], progress: Progress | None
) -> None:
    size, checksum = _head(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    there = part.stat().st_size if part.exists() else 0
    if there > size:
        part.unlink()
        there = 0
    free = shutil.disk_usage(path.parent).free
    if size - there > free:
        raise OSError(
            f"{str(path)!r} needs {(size - there) / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free"
        )
    if progress is not None:
        progress(there, size)
    if there < size:
        _append(url, part, there, size, progress)
    _verify(part, url, size, checksum, opens)
    os.replace(part, path)


def _head(url: str) -> tuple[int, str]:
    """Return size and MD5; "" where the entity tag is none."""
    with _open(urllib.request.Request(url, method="HEAD")) as answer:
        size = int(answer.headers.get("Content-Length") or 0)
        tag = answer.headers.get("ETag", "").strip('"')
    if size < 1:
        raise ConnectionError(f"{url} does not say how large it is; is it a file of the bucket?")
    # The tag of a file that was uploaded in parts is not its MD5; it has a hyphen.
    return size, tag if len(tag) == 32 and "-" not in tag else ""


def _append(url: str, part: Path, there: int, size: int, progress: Progress | None) -> None:
    request = urllib.request.Request(url)
    if there:
        request.add_header("Range", f"bytes={there}-")
    with _open(request) as answer:
        # A server that knows no ranges sends all of it.
        resumed = answer.status == 206
        there = there if resumed else 0
        with part.open("ab" if resumed else "wb") as file:
            while block := _block(answer, url, there, size):
                file.write(block)
                there += len(block)
                if progress is not None:
                    progress(there, size)
            file.flush()
            os.fsync(file.fileno())
    if there < size:
        raise ConnectionError(_early(url, there, size))


def _block(answer: Any, url: str, there: int, size: int) -> bytes:
    try:
        found: bytes = answer.read(_CHUNK)
        return found
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionError(_early(url, there, size)) from error


def _verify(
    part: Path, url: str, size: int, checksum: str, opens: Callable[[Path], object]
) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    with part.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    wrong = part.stat().st_size != size or (checksum and digest.hexdigest() != checksum)
    if not wrong:
        try:
            opens(part)
            return
        except RecordingError as error:
            part.unlink()
            raise RecordingError(f"what {url} sent is no recording: {error}") from error
    part.unlink()
    raise RecordingError(f"what {url} sent differs from its checksum; fetch it again")


def _open(request: urllib.request.Request) -> Any:
    try:
        return urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        raise ConnectionError(f"{request.full_url}: {error.code} {error.reason}") from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise ConnectionError(f"{request.full_url} cannot be reached: {reason}") from error


def _early(url: str, there: int, size: int) -> str:
    return f"{url} ended after {there:,} of {size:,} bytes; call again to go on"
