"""What of the matrix a path may use: free ends and a band."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

from neurn import _core

ENDS = ("a_begin", "a_end", "b_begin", "b_end")
_SHORT = {"a": ENDS[:2], "b": ENDS[2:], "both": ENDS}
_WHOLE = _core.AlignRegion()


def parse_free_ends(free_ends: str | Iterable[str]) -> tuple[str, ...]:
    """Return the names of free ends in their order.

    Raises
    ------
    ValueError
        If one is not "a_begin", "a_end", "b_begin", "b_end", "a", "b" or "both".
    """
    given = (free_ends,) if isinstance(free_ends, str) else tuple(free_ends)
    if not given:
        return ()
    free: set[str] = set()
    for end in given:
        if end not in ENDS and end not in _SHORT:
            allowed = ", ".join(map(repr, (*ENDS, *_SHORT)))
            raise ValueError(f"free_ends must be of {allowed}, got {end!r}")
        free.update(_SHORT.get(end, (end,)))
    return tuple(end for end in ENDS if end in free)


def make_region(free_ends: tuple[str, ...], band: Any) -> _core.AlignRegion:
    """Return what the native library takes.

    Raises
    ------
    TypeError
        If band is neither None nor a whole number.
    ValueError
        If band is negative.
    """
    if band is None:
        if not free_ends:
            return _WHOLE
        band = -1
    elif not isinstance(band, Integral):
        raise TypeError(f"band must be a whole number or None, got {band!r}")
    elif band < 0:
        raise ValueError(f"band must be >= 0, got {band}")
    a_begin, a_end, b_begin, b_end = (end in free_ends for end in ENDS)
    return _core.AlignRegion(a_begin, a_end, b_begin, b_end, min(int(band), 2**62))


def is_symmetric(free_ends: tuple[str, ...]) -> bool:
    """Whether a and b may change places."""
    return not free_ends or all(
        (f"a_{end}" in free_ends) == (f"b_{end}" in free_ends) for end in ("begin", "end")
    )
