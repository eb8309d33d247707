"""What can be wrong with a recording's file."""

from __future__ import annotations


class RecordingError(ValueError):
    """A file is not a recording that can be read; the message names the file and the group.

    Examples
    --------
    >>> from pathlib import Path
    >>> from neurn import mouse
    >>> Path("notes.nwb").touch()
    >>> mouse.open_nwb("notes.nwb")
    Traceback (most recent call last):
        ...
    neurn.mouse.errors.RecordingError: 'notes.nwb' is empty
    """
