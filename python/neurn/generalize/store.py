"""Results on disk: one JSON line for each trained model and target, found again by content hash."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FORMAT = "neurn generalize 1"


class Store:
    """A file of lines, each with a key that says what it is the result of.

    A line is written whole and flushed to the disk; one that a crash cut off is dropped when the
    file is opened again.

    Parameters
    ----------
    path : Path
        Made with the first line. Its directory must exist.

    Raises
    ------
    ValueError
        If the file is of something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[str, dict[str, Any]] = {}
        if not path.exists():
            return
        content = path.read_bytes()
        whole, _, rest = content.rpartition(b"\n")
        for number, text in enumerate(whole.splitlines(), 1):
            try:
                line = json.loads(text)
                if line["format"] != FORMAT:
                    raise ValueError
                self.lines[line["key"]] = line
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}, line {number}: not a line of {FORMAT!r}") from error
        if rest:
            with path.open("r+b") as file:
                file.truncate(len(content) - len(rest))

    def add(self, line: dict[str, Any]) -> None:
        """Append a line; it must have a key of its own."""
        text = json.dumps({"format": FORMAT, **line}, separators=(",", ":"))
        with self.path.open("a") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.lines[line["key"]] = {"format": FORMAT, **line}


def key_of(content: Any) -> str:
    """SHA-256 of anything that JSON can hold, as hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def pack(values: npt.NDArray[np.bool_]) -> str:
    """Write booleans as short text."""
    return base64.b64encode(zlib.compress(np.packbits(values).tobytes(), 9)).decode("ascii")


def unpack(text: str, count: int) -> npt.NDArray[np.bool_]:
    """Read `count` booleans from the text of `pack`."""
    bits = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return np.unpackbits(bits, count=count).astype(np.bool_)


def pack_numbers(values: npt.NDArray[np.int64]) -> str:
    """Write whole numbers, 0 to 2^32 - 1, as short text."""
    return base64.b64encode(zlib.compress(values.astype("<u4").tobytes(), 9)).decode("ascii")


def unpack_numbers(text: str) -> npt.NDArray[np.int64]:
    """Read the numbers of `pack_numbers`."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<u4").astype(np.int64)
