"""What is compared: a front end, with or without train-time augmentations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from neurn import front_ends
from neurn.front_ends import FrontEnd
from neurn.generalize.augmentations import AUGMENTATION_TITLES, AUGMENTATIONS, Augmentation


@dataclass(frozen=True)
class Variant:
    """One of the things that are compared.

    Attributes
    ----------
    name : str
        As in tables: ``"neurn:5+randconv"``.
    front_end : callable
    augmentations : tuple of Augmentation

    Examples
    --------
    >>> from neurn import generalize
    >>> from neurn.layer import NeuRN
    >>> variant = generalize.Variant("both", NeuRN, (generalize.RandConv(),))
    >>> variant.front_end()
    NeuRN(kernel_size=3, padding='reflect', scope='image', floor=0)
    >>> variant.augmentations
    (RandConv(centre=0.5, mix=True, probability=0.5, sizes=(1, 3, 5, 7)),)
    """

    name: str
    front_end: FrontEnd
    augmentations: tuple[Augmentation, ...] = ()


def resolve_variants(
    given: Iterable[str | Variant] | Mapping[str, FrontEnd],
) -> tuple[Variant, ...]:
    """Read what is to be compared.

    Parameters
    ----------
    given : iterable of str or Variant, or mapping from str to callable
        Texts such as ``"neurn"``, ``"neurn:kernel_size=5,scope=channel"`` or
        ``"neurn+randconv"``: a front end that `neurn.front_ends.front_end` reads, then
        augmentations. A mapping gives front ends of one's own.

    Raises
    ------
    ValueError
        If there is none, one comes twice, or a name is unknown.
    """
    if isinstance(given, Mapping):
        found = tuple(Variant(name, factory) for name, factory in given.items())
    else:
        found = tuple(v if isinstance(v, Variant) else _read(v) for v in given)
    names = [variant.name for variant in found]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"front ends {names}: give at least one, each once")
    return found


def title(name: str) -> str:
    """Return a variant's name for people: ``"neurn+randconv"`` is "NeuRN + RandConv"."""
    front, *rest = name.split("+")
    parts = [AUGMENTATION_TITLES.get(part, part) for part in rest]
    if front != "none" or not parts:
        parts.insert(0, front_ends.title(front))
    return " + ".join(parts)


def _read(text: str) -> Variant:
    front, *rest = text.split("+")
    unknown = [name for name in rest if name not in AUGMENTATIONS]
    if unknown:
        raise ValueError(
            f"unknown augmentation {unknown[0]!r} in {text!r}; known: {', '.join(AUGMENTATIONS)}"
        )
    augmentations = tuple(AUGMENTATIONS[name]() for name in rest)
    return Variant(text, front_ends.front_end(front), augmentations)
