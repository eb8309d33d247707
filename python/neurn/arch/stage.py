"""Stages of repeated blocks in a sequence of layers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias

from neurn.arch.layers import Layer, LayerSequence

# A block computes with weights at least so often: fewer are a layer with its norm and activation.
_WEIGHTED = 2
_BRANCHES = 2  # as many numbered modules may be the branches of one block
_WITH_WEIGHTS = frozenset(["conv", "transposed conv", "linear", "attention", "rnn", "C", "L"])
_CONTAINERS = frozenset(["blocks", "layer", "layers"])
_LONGEST_UNIT = 16
_NUMBERED = re.compile(r"\d+[a-z]?$|^[a-z]$")
# Keras has no modules; these names of its applications tell blocks.
_KERAS = (
    (re.compile(r"^(conv\d+)_(block\d+)_(.+)$"), r"\1.\2.\3"),
    (re.compile(r"^block(\d+)([a-z])_(.+)$"), r"block\1.\2.\3"),
    (re.compile(r"^(block_\d+)_(.+)$"), r"\1.\2"),
    (re.compile(r"^conv_([dp]w)_(\d+)(.*)$"), r"conv.\2.\1\3"),
)
# The last layer of a cell of Inception, Inception-ResNet and NASNet, whose other layers are
# numbered in one row: the name of the cell, and its number.
_CELL_END = re.compile(
    r"^(mixed)_?(\d+[ab]?)$|^(block\d+)_(\d+)_ac$|^(block8)_(10)_conv$"
    r"|^(?:normal|reduction)_(concat)_((?:stem_|reduce_)?\d+)$"
)


@dataclass(frozen=True)
class Stage:
    """Layers of a model in a row: blocks of one kind, or what stands between such.

    Attributes
    ----------
    name : str
        Of the module that holds the blocks (``"layer3"``); else that of the first layer.
    blocks : tuple of (int, int)
        First place and the one after the last, of each block; one follows the other.
    unit : tuple of str
        Tokens of the most frequent block.
    count : int
        How many blocks of one kind; 0 where nothing repeats.

    Examples
    --------
    >>> from neurn import arch
    >>> stage = arch.stages(arch.zoo.sequence("VGG16"))[2]
    >>> stage.name, stage.unit, stage.count
    ('block2_pool', ('conv', 'activation'), 3)
    >>> arch.zoo.sequence("VGG16").tokens[stage.start : stage.stop]
    ('pool', 'conv', 'activation', 'conv', 'activation', 'conv', 'activation')
    """

    name: str
    blocks: tuple[tuple[int, int], ...]
    unit: tuple[str, ...]
    count: int

    @property
    def start(self) -> int:
        """Place of the first layer."""
        return self.blocks[0][0]

    @property
    def stop(self) -> int:
        """Place after the last layer."""
        return self.blocks[-1][1]


def stages(sequence: LayerSequence) -> tuple[Stage, ...]:
    """Split a sequence into stages of blocks.

    A block is a module with a number in its name that holds two layers with weights or more
    (``layer3.5``, ``features.4.1``, ``encoder.layers.7``, Keras' ``conv4_block6``; of Keras'
    Inception and NASNet the cells, which end where their branches are joined); modules that
    only hold such modules are stages, and blocks side by side without one are cut where the
    resolution changes. What no such module holds is cut where the resolution changes, and its
    blocks are units of up to 16 layers that follow each other (conv, activation, three times).

    Parameters
    ----------
    sequence : LayerSequence

    Returns
    -------
    tuple of Stage
        Each layer is in one block of one stage.

    Examples
    --------
    >>> from neurn import arch
    >>> found = arch.stages(arch.zoo.sequence("torchvision/resnet101"))
    >>> [(stage.name, stage.count) for stage in found if stage.count > 1]
    [('layer1', 3), ('layer2', 4), ('layer3', 23), ('layer4', 3)]
    """
    paths = _paths(sequence.layers)
    tree = _Node()
    for path, token in zip(paths, sequence.tokens, strict=True):
        tree.add(path, _weighted(token))
    holders = dict(_blocks(tree, (), numbered=False))
    runs: list[tuple[Any, list[tuple[int, int]]]] = []
    for block, start, stop in _runs(paths, holders):
        kind = ("", "") if block is None else holders[block]
        # A stage goes on: of one holder, and where that is no stage itself, of one resolution.
        key = (kind, None if kind[0] == "stage" else _resolution(sequence.layers[start:stop]))
        if block is not None and runs and runs[-1][0] == key:
            runs[-1][1].append((start, stop))
        else:
            runs.append((key, [(start, stop)]))
    found: list[Stage] = []
    for (kind, _), blocks in runs:
        if kind[0]:
            first, last = (paths[blocks[end][0]][: kind[2]] for end in (0, -1))
            name = kind[1] if kind[0] == "stage" else ".".join(first)
            if kind[0] != "stage" and first != last:
                name += f" to {last[-1]}"
            units = Counter(sequence.tokens[start:stop] for start, stop in blocks)
            found.append(Stage(name, tuple(blocks), units.most_common(1)[0][0], len(blocks)))
        else:
            found += _loose(sequence, *blocks[0])
    return tuple(found)


def _weighted(token: str) -> bool:
    # The vocabulary "fine" writes a kernel behind.
    return token in _WITH_WEIGHTS or token.rpartition(" ")[2].startswith("conv")


def _paths(layers: Sequence[Layer]) -> list[tuple[str, ...]]:
    """Return modules from the outermost on, and the layer: names cut at dots."""
    paths = [_path(layer.name) for layer in layers]
    start = 0
    for place, layer in enumerate(layers):
        end = _CELL_END.search(layer.name)
        if end is None:
            continue
        if not start:  # the stem goes to where the resolution of the first cell begins
            here = _resolution(layers[place : place + 1])
            start = place
            while start and _resolution(layers[start - 1 : start]) in (here, None):
                start -= 1
        cell = [part for part in end.groups() if part is not None]
        for i in range(start, place + 1):
            paths[i] = (*cell, layers[i].name)
        start = place + 1
    return paths


def _path(name: str) -> tuple[str, ...]:
    for pattern, dotted in _KERAS:
        name = pattern.sub(dotted, name)
    return tuple(name.split("."))


@dataclass
class _Node:
    """A module: what it computes itself, and its children."""

    own: int = 0
    weighted: int = 0
    children: dict[str, _Node] = field(default_factory=dict)

    def add(self, path: Sequence[str], weighted: bool) -> None:
        self.weighted += weighted
        if path:
            self.children.setdefault(path[0], _Node()).add(path[1:], weighted)
        else:
            self.own += 1

    @property
    def contains(self) -> bool:
        """Whether it only holds others, by number or in a list."""
        numbered = all(_NUMBERED.search(name) for name in self.children)
        whole = all(child.weighted >= _WEIGHTED for child in self.children.values())
        if numbered and whole and len(self.children) > _BRANCHES:
            return True  # also where it joins what they return, as a dense block does
        listed = any(
            name in _CONTAINERS and child.children for name, child in self.children.items()
        )
        return not self.own and (numbered or listed)


_Holder: TypeAlias = tuple[str, str, int]


def _blocks(
    node: _Node, path: tuple[str, ...], numbered: bool
) -> Iterator[tuple[tuple[str, ...], _Holder]]:
    """Yield the path of each block, and what holds it: a stage of a name, or a run of a stem."""
    for name, child in node.children.items():
        inner = (*path, name)
        if _NUMBERED.search(name):
            deeper = list(_blocks(child, inner, True)) if child.contains else []
            if deeper:
                yield from deeper
            elif child.weighted >= _WEIGHTED and child.children:
                stem = ".".join((*path, _NUMBERED.sub("", name)))
                holder = ".".join(path)
                yield (
                    inner,
                    ("stage", holder, len(inner)) if numbered else ("run", stem, len(inner)),
                )
        elif not numbered or name in _CONTAINERS:
            yield from _blocks(child, inner, numbered)


def _runs(
    paths: Sequence[tuple[str, ...]], holders: dict[tuple[str, ...], _Holder]
) -> Iterator[tuple[tuple[str, ...] | None, int, int]]:
    """Yield the block of each run of layers, None for those outside, with first and last place."""
    lengths = sorted({len(path) for path in holders})
    start, current = 0, None
    for place, path in enumerate(paths):
        block = next((path[:n] for n in lengths if path[:n] in holders), None)
        if place and block != current:
            yield current, start, place
            start = place
        current = block
    if paths:
        yield current, start, len(paths)


def _resolution(layers: Sequence[Layer]) -> tuple[int, ...] | None:
    """Return the sides of the last map, whichever axis its channels are."""
    for layer in reversed(layers):
        shape = layer.shape
        if shape is not None and len(shape) == 4:
            return shape[1:3] if shape[1] == shape[2] else shape[2:]
    return None


def _loose(sequence: LayerSequence, start: int, stop: int) -> Iterator[Stage]:
    """Cut layers that no block holds where the resolution changes, and find what repeats."""
    first = start
    for place in range(start + 1, stop + 1):
        if place < stop:
            before, here = (_resolution(sequence.layers[i : i + 1]) for i in (place - 1, place))
            flat = len(sequence.layers[place].shape or (0, 0, 0)) == 2
            was_flat = len(sequence.layers[place - 1].shape or (0, 0, 0)) == 2
            if (here is None or before is None or here == before) and flat == was_flat:
                continue
        blocks: list[tuple[int, int]] = []
        unit, count = sequence.tokens[first:place], 0
        at = first
        for length, times in _weighted_repeats(sequence.tokens[first:place]):
            each = sequence.tokens[at : at + length]
            if times > max(count, 1):
                unit, count = each, times
            if times == 1:  # cut before each layer with weights
                cuts = [i for i in range(1, length) if _weighted(each[i])]
                edges = [at, *(at + i for i in cuts), at + length]
            else:
                edges = [at + i * length for i in range(times + 1)]
            blocks += pairwise(edges)
            at += length * times
        yield Stage(sequence.layers[first].name, tuple(blocks), unit, count)
        first = place


def _weighted_repeats(tokens: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield what `_repeats` does; what has no weights does not repeat, as norms in a row."""
    at = pending = 0
    for length, times in _repeats(tokens):
        whole = times > 1 and any(map(_weighted, tokens[at : at + length]))
        at += length * times
        if not whole:
            pending += length * times
            continue
        if pending:
            yield pending, 1
            pending = 0
        yield length, times
    if pending:
        yield pending, 1


def _repeats(tokens: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield length and times of units: what repeats at once, and once each run that does not."""
    place = pending = 0
    while place < len(tokens):
        length, times = max(
            ((n, _times(tokens, place, n)) for n in range(1, _LONGEST_UNIT + 1)),
            key=lambda found: (found[0] * found[1] if found[1] > 1 else 0, -found[0]),
        )
        if times == 1:
            place, pending = place + 1, pending + 1
            continue
        if pending:
            yield pending, 1
        yield length, times
        place, pending = place + length * times, 0
    if pending:
        yield pending, 1


def _times(tokens: Sequence[str], place: int, length: int) -> int:
    unit, times = tokens[place : place + length], 1
    while tokens[(at := place + times * length) : at + length] == unit:
        times += 1
    return times
