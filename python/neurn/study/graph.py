"""Stages, their work items, and the keys under which results are kept."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurn.study.settings import Study

Parameters = Mapping[str, Any]
HashFile = Callable[[str, Callable[[Path], str] | None], str]

# What NeuRN's layer consists of, its native library included: for `Stage.code`.
NEURN = ("neurn.layer", "neurn.ops", "neurn._ops")


@dataclass(frozen=True)
class Cost:
    """What an item is expected to take, on one core.

    Attributes
    ----------
    seconds : float
    memory, disk : float
        In bytes.
    """

    seconds: float = 1.0
    memory: float = 5e8
    disk: float = 1e6


@dataclass(frozen=True)
class Item:
    """A piece of work that is done, kept and repeated as a whole.

    Attributes
    ----------
    stage, name : str
        The two together are its identifier, ``"statistics/VISp Cux2"``.
    parameters : mapping
        Everything that the result depends on beside inputs, files and code; what JSON can write.
    inputs : tuple of str
        Identifiers of the items whose results it reads.
    files : tuple of str
        Paths of files from outside that it reads.
    cost : Cost
    reads : callable, optional
        Takes the path of a file, returns the digest of what is read of it, where other content
        makes no difference.
    """

    stage: str
    name: str
    parameters: Parameters = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    cost: Cost = Cost()
    reads: Callable[[Path], str] | None = None

    @property
    def id(self) -> str:
        """Stage and name."""
        return f"{self.stage}/{self.name}"


@dataclass(frozen=True)
class Work:
    """What an item's function is given.

    Attributes
    ----------
    parameters : mapping
    inputs : mapping of str to Path
        Folders of the results that the item reads, by identifier, in the order of `Item.inputs`.
    files : tuple of str
    folder : Path
        Empty; what is written there is the result.
    """

    parameters: Parameters
    inputs: Mapping[str, Path]
    files: tuple[str, ...]
    folder: Path

    def of(self, stage: str) -> list[Path]:
        """Return the folders of the inputs of one stage."""
        return [path for name, path in self.inputs.items() if name.startswith(f"{stage}/")]


@dataclass(frozen=True)
class Stage:
    """A step of the framework.

    Attributes
    ----------
    name, title : str
    needs : tuple of str
        Stages whose items its items may read.
    code : tuple of str
        Modules, packages and native libraries of neurn that decide what comes out.
    libraries : tuple of str
        Distributions whose version decides as well.
    plan : callable
        Takes the study and the items planned so far by stage; returns its own.
    run : callable
        A function of a module, so that other processes find it; does one item.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    code: tuple[str, ...]
    libraries: tuple[str, ...]
    plan: Callable[[Study, Mapping[str, Sequence[Item]]], list[Item]]
    run: Callable[[Work], None]

    def version(self) -> str:
        """Return a digest of its code and of the versions of its libraries."""
        versions = {name: library_version(name) for name in self.libraries}
        return digest({"code": [code_digest(module) for module in self.code], **versions})


@dataclass(frozen=True)
class Planned:
    """An item with the key that its result is kept under."""

    item: Item
    key: str


class Plan:
    """All items of a study in an order in which they can be done.

    Parameters
    ----------
    stages : sequence of Stage
        Each after those it needs.
    study : Study
    hash_file : callable
        Takes a path and an item's `reads`, returns the digest of the content.

    Attributes
    ----------
    items : dict of str to Planned
        By identifier.
    stages : tuple of Stage
        Those that have an item.
    """

    def __init__(self, stages: Sequence[Stage], study: Study, hash_file: HashFile) -> None:
        check_order(stages)
        self.items: dict[str, Planned] = {}
        planned: dict[str, Sequence[Item]] = {}
        for stage in stages:
            found = stage.plan(study, {name: planned.get(name, ()) for name in stage.needs})
            planned[stage.name] = found
            version = stage.version() if found else ""
            for item in found:
                self._add(stage, item, version, hash_file)
        self.stages = tuple(stage for stage in stages if planned[stage.name])

    def _add(self, stage: Stage, item: Item, version: str, hash_file: HashFile) -> None:
        strange = [i for i in item.inputs if i.partition("/")[0] not in stage.needs]
        if item.id in self.items or strange:
            raise ValueError(f"{item.id}: planned twice, or reads what {stage.name} does not need")
        what = {
            "stage": item.stage,
            "version": version,
            "parameters": item.parameters,
            "inputs": [self.items[name].key for name in item.inputs],
            "files": [hash_file(path, item.reads) for path in item.files],
        }
        self.items[item.id] = Planned(item, digest(what)[:32])

    def of(self, stage: str) -> list[Planned]:
        """Return the items of one stage."""
        return [planned for planned in self.items.values() if planned.item.stage == stage]


def check_order(stages: Iterable[Stage]) -> None:
    """Raise ValueError unless stages have names of their own and follow those they need."""
    seen: set[str] = set()
    for stage in stages:
        lacking = [name for name in stage.needs if name not in seen]
        if lacking or stage.name in seen:
            raise ValueError(f"stage {stage.name!r}: named twice, or before {lacking}")
        seen.add(stage.name)


def digest(value: Any) -> str:
    """Return the SHA-256 of a value that JSON can write, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def code_digest(module: str) -> str:
    """Return the SHA-256 of the file of a module, source or native, or of those of a package."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"{module!r} is no module")
    origin = Path(spec.origin)
    files = [origin]
    if spec.submodule_search_locations:
        files = sorted(path for path in origin.parent.rglob("*") if path.suffix in (".py", ".gz"))
    total = hashlib.sha256()
    for file in files:
        total.update(file.relative_to(origin.parent).as_posix().encode() + b"\0")
        total.update(file.read_bytes() + b"\0")
    return total.hexdigest()


@cache
def library_version(name: str) -> str:
    """Return the version of a distribution, ``"absent"`` where there is none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
