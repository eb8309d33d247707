"""Single-source domain generalization: train on the source, test on every domain, in pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from neurn.generalize.datasets import Source
from neurn.generalize.domains import Shift
from neurn.generalize.front_ends import FrontEnd, build, resolve
from neurn.generalize.statistics import Interval, t_interval
from neurn.generalize.training import Fit, TrainingConfig, fit, predict


@dataclass(frozen=True)
class Run:
    """Accuracy (0 to 1) of one trained model on one domain of `n` images."""

    seed: int
    front_end: str
    domain: str
    accuracy: float
    n: int


@dataclass(frozen=True)
class Training:
    """One trained model and how its training went."""

    seed: int
    front_end: str
    fit: Fit


@dataclass(frozen=True)
class EpochEnd:
    """Progress of `evaluate`, sent after every epoch."""

    seed: int
    front_end: str
    epoch: int
    epochs: int
    validation_accuracy: float


@dataclass(frozen=True)
class Results:
    """All runs of an evaluation.

    Attributes
    ----------
    runs : tuple of Run
        One per seed, front end and domain; the source's own test set comes first.
    trainings : tuple of Training
        One per seed and front end.
    seeds : tuple of int
    front_ends, domains : tuple of str
        In the order they were run.
    """

    runs: tuple[Run, ...]
    trainings: tuple[Training, ...]
    seeds: tuple[int, ...]
    front_ends: tuple[str, ...]
    domains: tuple[str, ...]

    def accuracies(self, front_end: str, domain: str) -> list[float]:
        """Accuracies (0 to 1) of a front end on a domain, one per seed, in the order of seeds."""
        found = {
            run.seed: run.accuracy
            for run in self.runs
            if run.front_end == front_end and run.domain == domain
        }
        return [found[seed] for seed in self.seeds]

    def accuracy(self, front_end: str, domain: str, confidence: float = 0.95) -> Interval:
        """Mean accuracy over seeds with its t interval, cut off at 0 and 1."""
        return t_interval(self.accuracies(front_end, domain), confidence, (0.0, 1.0))

    def difference(
        self, front_end: str, baseline: str, domain: str, confidence: float = 0.95
    ) -> Interval:
        """Mean of the differences ``front_end - baseline`` seed by seed, with its t interval.

        The pairs share seed, split, initial weights, batches and test images. The interval is
        cut off at -1 and 1.
        """
        pairs = zip(
            self.accuracies(front_end, domain), self.accuracies(baseline, domain), strict=True
        )
        return t_interval([ours - theirs for ours, theirs in pairs], confidence, (-1.0, 1.0))


def evaluate(
    model: Callable[[], nn.Module],
    source: Source,
    targets: Sequence[Shift],
    front_ends: Sequence[str] | Mapping[str, FrontEnd] = ("none", "neurn"),
    seeds: int | Sequence[int] = 5,
    training: TrainingConfig | None = None,
    on_epoch: Callable[[EpochEnd], None] | None = None,
) -> Results:
    """Train a model on one source with each front end and test it on every target domain.

    For each seed a new split of the source, new initial weights, a new order of batches and new
    target images are drawn; all front ends of that seed share them. Labels of test images, of
    the source and of targets alike, are read after training only.

    Parameters
    ----------
    model : callable
        Takes no argument and returns a fresh network, float (N, 3, H, W) to logits.
    source : Source
    targets : sequence of Shift
        Domains made of the source's test images.
    front_ends : sequence of str, or mapping from str to callable
        See `neurn.generalize.front_ends.resolve`.
    seeds : int or sequence of int
        Number of seeds (0, 1, ...), or the seeds themselves.
    training : TrainingConfig, optional
    on_epoch : callable, optional
        Called after every epoch; it cannot read test labels.

    Returns
    -------
    Results

    Raises
    ------
    ValueError
        If a front end is unknown, there is no seed, or domain names repeat.
    """
    factories = resolve(front_ends)
    config = training or TrainingConfig()
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    domains = (source.data.name, *(target.name for target in targets))
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"seeds {seeds!r}: give at least one, each once")
    if len(set(domains)) < len(domains):
        raise ValueError(f"domain names must differ: {', '.join(domains)}")

    runs: list[Run] = []
    trainings: list[Training] = []
    for seed in chosen:
        split = source.split(seed)
        tests = [split.test, *(target.render(split.test, seed) for target in targets)]
        for name, factory in factories.items():
            network = build(model, factory, seed)
            tell = None if on_epoch is None else _reporter(on_epoch, seed, name, config.epochs)
            outcome = fit(network, split.train, split.validation, config, seed, tell)
            trainings.append(Training(seed, name, outcome))
            for test in tests:
                accuracy = test.accuracy(predict(network, test.images))
                runs.append(Run(seed, name, test.name, accuracy, len(test)))
    return Results(tuple(runs), tuple(trainings), chosen, tuple(factories), domains)


def _reporter(
    on_epoch: Callable[[EpochEnd], None], seed: int, front_end: str, epochs: int
) -> Callable[[int, float], None]:
    def tell(epoch: int, validation_accuracy: float) -> None:
        on_epoch(EpochEnd(seed, front_end, epoch, epochs, validation_accuracy))

    return tell
