"""Evaluations described by values alone, as a command or a TOML file gives them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from neurn.generalize import domains, shifts
from neurn.generalize.digits import load_photos
from neurn.generalize.evaluation import EpochEnd, evaluate, leave_one_out
from neurn.generalize.results import Results
from neurn.generalize.training import TrainingConfig

PROTOCOLS = ("single", "leave-one-out")


@dataclass(frozen=True)
class Sweep:
    """One evaluation: a model behind several front ends, under several seeds.

    Attributes
    ----------
    source : tuple of str
        Domains to train on, each in turn; or all to take part in leave-one-domain-out.
    targets : tuple of str
        Domains and shifts; ``"standard"`` stands for the six of the embedded experiment.
    curves : tuple of str
        Families of shifts, each at all its severities.
    model : str
        As in `evaluate`, or ``"module:callable"``.
    name : str
        The model's name in tables.
    front_ends : tuple of str
        The first is the baseline.
    seeds : int
    first : int, optional
        Use the first images of the source only (`neurn.generalize.Domain.as_source`).
    limit : int, optional
        Test images of each domain, every class in proportion.
    validation : float
        Share of the source's images for selection.
    size : int
        Height and width of images.
    protocol : {"single", "leave-one-out"}
    oracle : bool
    training : TrainingConfig
    """

    source: tuple[str, ...] = ("digits",)
    targets: tuple[str, ...] = ("standard",)
    curves: tuple[str, ...] = ()
    model: str = "lenet"
    name: str = ""
    front_ends: tuple[str, ...] = ("none", "neurn", "sobel")
    seeds: int = 5
    first: int | None = None
    limit: int | None = None
    validation: float = 0.1
    size: int = 32
    protocol: str = "single"
    oracle: bool = False
    training: TrainingConfig = field(
        # Networks this small gain nothing by threads, and lose much by them on a busy machine.
        default_factory=lambda: TrainingConfig(epochs=15, learning_rate=3e-3, threads=1)
    )

    def __post_init__(self) -> None:
        """Check the protocol and the counts."""
        for name in ("seeds", "first", "limit", "size"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
        if self.protocol not in PROTOCOLS:
            raise ValueError(
                f"protocol must be one of {', '.join(PROTOCOLS)}, got {self.protocol!r}"
            )

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Sweep:
        """Make a sweep of a table of TOML; settings of the training stand among the others.

        Raises
        ------
        ValueError
            If a key is unknown or a value of the wrong kind; the message names it.
        """
        own = {f.name for f in fields(cls)} - {"training"}
        trained = {f.name for f in fields(TrainingConfig)}
        unknown = [key for key in values if key not in own | trained]
        if unknown:
            raise ValueError(
                f"unknown key {unknown[0]!r} in a sweep; known: {', '.join(sorted(own | trained))}"
            )
        given: dict[str, Any] = {}
        for key, value in values.items():
            if key in ("source", "targets", "curves", "front_ends"):
                value = (value,) if isinstance(value, str) else value
                if not isinstance(value, list | tuple) or not all(
                    isinstance(v, str) for v in value
                ):
                    raise ValueError(f"{key} must be a list of names, got {value!r}")
                value = tuple(value)
            given[key] = value
        try:
            config = TrainingConfig(**{k: v for k, v in given.items() if k in trained})
            return cls(**{k: v for k, v in given.items() if k in own}, training=config)
        except TypeError as error:
            raise ValueError(f"a value in a sweep is of the wrong kind: {error}") from error

    def run(
        self,
        data: str | Path | None = None,
        out: str | Path | None = None,
        on_epoch: Callable[[EpochEnd], None] | None = None,
        **options: Any,
    ) -> Results:
        """Run it.

        Parameters
        ----------
        data, out, on_epoch, **options
            As for `evaluate`.
        """
        loaded = [domains.load(name, data, self.size) for name in self.source]
        sources = [item.as_source(self.first, self.validation, self.limit) for item in loaded]
        model = _callable(self.model) if ":" in self.model else self.model
        common = {
            **{"front_ends": self.front_ends, "seeds": self.seeds, "training": self.training},
            **{"on_epoch": on_epoch, "name": self.name, "data": data, "size": self.size},
            **{"limit": self.limit, "out": out, "oracle": self.oracle, **options},
        }
        if self.protocol == "leave-one-out":
            return leave_one_out(model, sources, **common)
        targets: list[Any] = [point for family in self.curves for point in shifts.curve(family)]
        listed = [name for name in self.targets if name != "standard"]
        standard = shifts.standard_shifts(load_photos()) if len(listed) < len(self.targets) else ()
        targets = [*standard, *listed, *targets]
        return evaluate(model, sources if len(sources) > 1 else sources[0], targets, **common)

    @property
    def trainings(self) -> int:
        """Number of models to train."""
        return len(self.source) * len(self.front_ends) * self.seeds


def read(path: str | Path) -> list[Sweep]:
    """Read the sweeps of a TOML file: tables ``[[sweep]]`` over common keys at its top.

    Raises
    ------
    ValueError
        If it is no TOML, has no sweep, or a key is unknown.
    OSError
        If it cannot be read.
    """
    try:
        content = _toml(Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    sweeps = content.pop("sweep", None)
    if not isinstance(sweeps, list) or not all(isinstance(each, dict) for each in sweeps):
        raise ValueError(f"{path} must have one table [[sweep]] or more")
    return [Sweep.of({**content, **each}) for each in sweeps]


def _toml(content: bytes) -> dict[str, Any]:
    try:
        toml = importlib.import_module("tomllib")
    except ModuleNotFoundError:  # Python 3.10
        toml = importlib.import_module("tomli")
    found: dict[str, Any] = toml.loads(content.decode())
    return found


def _callable(text: str) -> Callable[..., Any]:
    module, _, name = text.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"model {text!r} cannot be imported: {error}") from error
    return found
