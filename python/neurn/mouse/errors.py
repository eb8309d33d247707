"""What can be wrong with a recording's file."""

from __future__ import annotations


class RecordingError(ValueError):
    """A file is not a recording that can be read; the message names the file and the group."""
