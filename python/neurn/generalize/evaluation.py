"""Domain generalization: train on a source, test on every domain, in pairs."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import neurn
from neurn._files import prepare_directory
from neurn.front_ends import FrontEnd
from neurn.generalize import distributed
from neurn.generalize.datasets import Dataset, EvaluationSet, Images, Source, Split, sha256_of
from neurn.generalize.domains import KNOWN, Domain, NoData, load, load_or_no_data
from neurn.generalize.models import Model, ModelMaker, build, fingerprint, resolve_model
from neurn.generalize.results import DomainInfo, Results, Run, Training, read_line
from neurn.generalize.shifts import Shift, is_shift, shift
from neurn.generalize.store import Store, key_of, pack, pack_numbers
from neurn.generalize.training import (
    SELECTION_RULE,
    Fit,
    TrainingConfig,
    cpu_threads,
    fit,
    predict_probabilities,
)
from neurn.generalize.variants import Variant, resolve_variants

Target = Shift | Domain | Dataset | EvaluationSet | NoData | str
RUNS_FILE = "runs.jsonl"
EXAMPLES = 10


@dataclass(frozen=True)
class EpochEnd:
    """Progress of `evaluate`, sent after every epoch; for a run found on disk, once.

    Examples
    --------
    >>> from neurn import generalize
    >>> def tell(end):
    ...     print(f"seed {end.seed}, {end.front_end}: epoch {end.epoch} of {end.epochs}")
    >>> source = generalize.load("digits").as_source(n=100)
    >>> training = generalize.TrainingConfig(epochs=1)
    >>> results = generalize.evaluate(
    ...     "lenet", source, ["invert"], seeds=1, training=training, on_epoch=tell
    ... )
    seed 0, none: epoch 1 of 1
    seed 0, neurn: epoch 1 of 1
    """

    seed: int
    front_end: str
    epoch: int
    epochs: int
    validation_accuracy: float
    source: str = ""
    model: str = ""


@dataclass(frozen=True)
class _Job:
    """All that the runs of one call share."""

    maker: ModelMaker
    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    config: TrainingConfig
    on_epoch: Callable[[EpochEnd], None] | None
    out: Path | None
    store: Store | None
    oracle: bool
    checkpoints: bool
    tensorboard: bool


def evaluate(
    model: Model,
    source: Source | Domain | Dataset | str | Sequence[Source | Domain | str],
    targets: Sequence[Target],
    front_ends: Iterable[str | Variant] | Mapping[str, FrontEnd] = ("none", "neurn"),
    seeds: int | Sequence[int] = 5,
    training: TrainingConfig | None = None,
    on_epoch: Callable[[EpochEnd], None] | None = None,
    *,
    name: str = "",
    data: str | Path | None = None,
    size: int = 32,
    limit: int | None = None,
    out: str | Path | None = None,
    oracle: bool = False,
    checkpoints: bool = False,
    tensorboard: bool = False,
    command: str = "neurn.generalize.evaluate",
) -> Results:
    """Train a model on one source with each front end and test it on every target domain.

    For each seed a new split of the source, new initial weights, a new order of batches and new
    shifted images are drawn; all front ends of that seed share them. Labels of test images, of
    the source and of targets alike, are read after training only: reading them earlier raises
    `LabelLeakError`. The weights kept are those of the epoch of highest accuracy on source
    validation images.

    Under ``torchrun`` every training is spread over the processes.

    Parameters
    ----------
    model : str or callable
        A name (`neurn.generalize.models.names`, ``"torchvision/NAME"``, ``"timm/NAME"``), or a
        callable that returns a fresh network, float (N, 3, H, W) to logits; the number of classes
        goes to its parameter ``classes`` or ``num_classes``, if it has one.
    source : Source, Domain, Dataset or str
        What to train on; a str names a domain (`neurn.generalize.domains.load`). Of several, each
        in turn: a matrix of sources and targets.
    targets : sequence of Shift, Domain, Dataset, EvaluationSet, NoData or str
        Shifts are made of the source's test images; a str names a shift (``"contrast=0.1"``) or a
        domain, whose row says "no data" where its files are missing.
    front_ends : iterable of str, or mapping from str to callable
        See `neurn.generalize.variants.resolve_variants`. The first is the baseline.
    seeds : int or sequence of int
        Number of seeds (0, 1, ...), or the seeds themselves.
    training : TrainingConfig, optional
    on_epoch : callable, optional
        Called after every epoch; it cannot read test labels.
    name : str
        The model's name in tables.
    data : str or Path, optional
        Folder of the files of named domains.
    size : int
        Height and width of the images of named domains.
    limit : int, optional
        Test images of each named domain, every class in proportion, always the same.
    out : str or Path, optional
        Directory for ``runs.jsonl``, one line per trained model and domain, written when the model
        is trained; made if missing. Lines found there under the same content hash (network with
        its initial weights, front end, settings, seed, images, labels, versions) are taken instead
        of being computed.
    oracle : bool
        Also note the best accuracy of any epoch on each domain: chosen by its test labels, so a
        bound and no result; a column of its own.
    checkpoints : bool
        With `out`: write a checkpoint after every epoch and go on from it.
    tensorboard : bool
        With `out`: write event files of each training below ``tensorboard``.
    command : str
        Recorded.

    Returns
    -------
    Results

    Raises
    ------
    ValueError
        If a front end, model, domain or shift is unknown, there is no seed, domain names repeat, a
        target is the source, or sizes, classes or hashes do not fit; before any training.
    NoDataError
        If the source's files are missing.

    Examples
    --------
    >>> from neurn import generalize
    >>> source = generalize.load("digits").as_source(n=100)
    >>> training = generalize.TrainingConfig(epochs=1)  # too short to learn much
    >>> results = generalize.evaluate(
    ...     "lenet", source, ["invert", "noise=0.2"], ["none", "neurn"], seeds=1, training=training
    ... )
    >>> results.to_frame()[["source", "seed", "front_end", "domain", "n"]]
       source  seed front_end     domain   n
    0  digits     0      none     digits  20
    1  digits     0      none     invert  20
    2  digits     0      none  noise=0.2  20
    3  digits     0     neurn     digits  20
    4  digits     0     neurn     invert  20
    5  digits     0     neurn  noise=0.2  20
    >>> 0 <= results.accuracy("neurn", "noise=0.2").mean <= 1
    True
    """
    config = training or TrainingConfig()
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"seeds {seeds!r}: give at least one, each once")
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    many = isinstance(source, Sequence) and not isinstance(source, str)
    given = list(source) if isinstance(source, Sequence) and many else [source]
    if not given:
        raise ValueError("source: give at least one")
    sources = [_source(item, data, size, limit) for item in given]  # type: ignore[arg-type]
    found = [_target(item, data, size) for item in targets]
    if (checkpoints or tensorboard) and out is None:
        raise ValueError("checkpoints and tensorboard need a directory: give out")
    variants = resolve_variants(front_ends)
    maker = resolve_model(model, name)
    plans = [_check(item, found, many, limit) for item in sources]
    for plan in plans:
        with torch.random.fork_rng(devices=[]):
            for variant in variants:
                _check_network(maker, plan[0], variant)

    with distributed.process_group(config.place.type), cpu_threads(config.threads):
        store = None
        if out is not None:
            if distributed.is_first():
                prepare_directory(Path(out))
                store = Store(Path(out) / RUNS_FILE)
            distributed.share(None)
        job = _Job(
            *(maker, variants, chosen, config, on_epoch, Path(out) if out is not None else None),
            *(store, oracle, checkpoints, tensorboard),
        )
        runs: list[Run] = []
        trainings: list[Training] = []
        examples: dict[str, Images] = {}
        for item, chosen_targets in plans:
            for seed in chosen:
                tests = _run_seed(job, item, chosen_targets, seed, runs, trainings)
                for test in tests:
                    examples.setdefault(test.name, test.images[:EXAMPLES].copy())
    info = {
        **{item.name: _info(item) for item, _ in plans},
        **{target.name: _info(target) for target in found if target.name not in _names(sources)},
    }
    return Results(
        tuple(runs),
        tuple(trainings),
        chosen,
        tuple(variant.name for variant in variants),
        tuple(info),
        info,
        _record(job, sources, found, given, limit, command),
        examples,
    )


def leave_one_out(
    model: Model, domains: Sequence[Source | Domain | str], *arguments: Any, **options: Any
) -> Results:
    """Train on all domains but one and test on that one, for each in turn.

    Parameters
    ----------
    model : str or callable
    domains : sequence of Source, Domain or str
        At least two, with images of one size and the same classes.
    *arguments, **options
        As for `evaluate`, after `targets`.

    Returns
    -------
    Results
        Sources are named ``"all but DOMAIN"``.

    Raises
    ------
    ValueError
        If there are fewer than two domains; and as `evaluate`.

    Examples
    --------
    >>> from neurn import generalize
    >>> digits = generalize.load("digits").train
    >>> negatives = generalize.Dataset("negatives", 255 - digits.images, digits.labels)
    >>> sources = [generalize.Source(data, 80, 10, 20) for data in (digits, negatives)]
    >>> results = generalize.leave_one_out(
    ...     "lenet", sources, ["neurn"], seeds=1, training=generalize.TrainingConfig(epochs=1)
    ... )
    >>> results.sources
    ('all but digits', 'all but negatives')
    >>> results.to_frame()[["source", "domain", "n"]]
                  source             domain     n
    0     all but digits     all but digits    20
    1     all but digits             digits  1797
    2  all but negatives  all but negatives    20
    3  all but negatives          negatives  1797
    """
    if len(domains) < 2:
        raise ValueError(f"leave_one_out needs two domains or more, got {len(domains)}")
    keys = ("data", "size", "limit")
    where = (options.get("data"), options.get("size", 32), options.get("limit"))
    options = {key: value for key, value in options.items() if key not in keys}
    loaded = [load(d, where[0], where[1]) if isinstance(d, str) else d for d in domains]
    sources = [_source(item, *where) for item in loaded]
    names = [item.name for item in sources]
    if len(set(names)) < len(names):
        raise ValueError(f"domain names must differ: {', '.join(names)}")
    parts = []
    for place, held in enumerate(loaded):
        others = [s for number, s in enumerate(sources) if number != place]
        pooled = Source.pooled(f"all but {names[place]}", others)
        target: Target = (
            held.as_target(where[2]) if isinstance(held, Domain) else _whole(sources[place])
        )
        parts.append(evaluate(model, pooled, [target], *arguments, **options))
    return Results.join(parts)


def _whole(source: Source) -> EvaluationSet:
    data = source.test or source.data
    return EvaluationSet(source.name, data.images, data.labels)


def _source(
    item: Source | Domain | Dataset | str, data: str | Path | None, size: int, limit: int | None
) -> Source:
    if isinstance(item, str):
        item = load(item, data, size)
    if isinstance(item, Dataset):
        item = Domain(item.name, item.name, item, None)
    if isinstance(item, Domain):
        item = item.as_source(n_test=limit)
    if not isinstance(item, Source):
        raise TypeError(f"source must be a Source, Domain, Dataset or str, got {type(item)}")
    return item


def _target(
    item: Target, data: str | Path | None, size: int
) -> Shift | Domain | EvaluationSet | NoData:
    if isinstance(item, str):
        return shift(item) if is_shift(item) else load_or_no_data(item, data, size)
    if isinstance(item, Dataset):
        return EvaluationSet(item.name, item.images, item.labels)
    if not isinstance(item, Shift | Domain | EvaluationSet | NoData):
        raise TypeError(
            f"target must be a Shift, Domain, Dataset, EvaluationSet, NoData or str, got {item!r}"
        )
    return item


def _names(items: Iterable[Any]) -> set[str]:
    return {item.name for item in items}


Fixed = Shift | EvaluationSet


def _check(
    source: Source,
    targets: Sequence[Shift | Domain | EvaluationSet | NoData],
    many: bool,
    limit: int | None,
) -> tuple[Source, list[Fixed]]:
    """Choose the targets of one source, and refuse what does not fit."""
    chosen: list[Fixed] = []
    seen = [source.name]
    own = {sha256_of(d.images) for d in (source.data, source.test) if d is not None}
    shape = source.data.images.shape[1:]
    for item in targets:
        if isinstance(item, NoData):
            seen.append(item.name)
            continue
        if isinstance(item, Domain) and item.class_names and source.class_names:
            if item.class_names != source.class_names:
                raise ValueError(
                    f"target {item.name!r} has classes {', '.join(item.class_names)}, the source "
                    f"{source.name!r} has {', '.join(source.class_names)}; they must be the same"
                )
        target: Fixed = item.as_target(limit) if isinstance(item, Domain) else item
        whole = item.as_target() if isinstance(item, Domain) and limit is not None else target
        same = isinstance(whole, EvaluationSet) and (
            whole.name == source.name or sha256_of(whole.images) in own
        )
        if same and many:
            continue
        if same:
            raise ValueError(
                f"target {target.name!r} is the source; its own test images are tested anyway"
            )
        if isinstance(target, EvaluationSet):
            if target.images.shape[1:] != shape:
                raise ValueError(
                    f"target {target.name!r} has images of {target.images.shape[2:]}, the source "
                    f"{source.name!r} of {shape[1:]}; bring both to one size"
                )
            target.check_classes(source.classes)
        seen.append(target.name)
        chosen.append(target)
    if len(set(seen)) < len(seen):
        raise ValueError(f"domain names must differ: {', '.join(seen)}")
    return source, chosen


def _check_network(maker: ModelMaker, source: Source, variant: Variant) -> None:
    network = build(partial(maker.make, source.classes), variant.front_end, 0).eval()
    size = source.data.images.shape[1:]
    try:
        with torch.no_grad():
            shape = tuple(network(torch.zeros(2, *size)).shape)
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"model {maker.name!r} behind {variant.name!r} cannot take images of {tuple(size)}: "
            f"{str(error).splitlines()[0]}"
        ) from error
    if len(shape) != 2 or shape[0] != 2 or shape[1] < source.classes:
        raise ValueError(
            f"model {maker.name!r} must give (2, {source.classes}) logits for two images of "
            f"{source.name!r}, got {shape}"
        )


def _run_seed(
    job: _Job,
    source: Source,
    targets: Sequence[Fixed],
    seed: int,
    runs: list[Run],
    trainings: list[Training],
) -> list[EvaluationSet]:
    """Train and test every front end under one seed, or take from disk what is there."""
    split = source.split(seed)
    tests = [split.test] + [
        target.render(split.test, seed) if isinstance(target, Shift) else target
        for target in targets
    ]
    hashes = [test.sha256() for test in tests] if job.out is not None else []
    data = [split.train.sha256(), split.validation.sha256()] if job.out is not None else []
    for variant in job.variants:
        network = build(partial(job.maker.make, source.classes), variant.front_end, seed)
        keys, run_key = [""] * len(tests), ""
        lines: list[dict[str, Any]] = []
        if job.out is not None:
            run_key = key_of(_identity(job, network, variant, data, seed))
            keys = [key_of([run_key, name]) for name in hashes]
            known = job.store.lines if job.store is not None else {}
            lines = distributed.share([known[key] for key in keys if key in known])
        names = {"source": source.name, "model": job.maker.name}
        if len(lines) == len(tests):
            outcome = Fit(**lines[0]["fit"])
            if job.on_epoch is not None and distributed.is_first():
                epochs, reached = job.config.epochs, outcome.validation_accuracy
                job.on_epoch(EpochEnd(seed, variant.name, epochs, epochs, reached, **names))
            # Names are those of this call, the content is the line's.
            runs += [
                replace(
                    read_line(line),
                    front_end=variant.name,
                    domain=test.name,
                    source=names["source"],
                    model=names["model"],
                )
                for line, test in zip(lines, tests, strict=True)
            ]
        else:
            outcome, fresh = _train(job, network, split, tests, variant, seed, names, run_key)
            for run, test, key in zip(fresh, tests, keys, strict=True):
                if job.store is not None and key not in job.store.lines:
                    job.store.add(_line(run, test, key, run_key, outcome))
            runs += fresh
        trainings.append(Training(seed, variant.name, outcome, **names))
    return tests


def _train(
    job: _Job,
    network: nn.Module,
    split: Split,
    tests: Sequence[EvaluationSet],
    variant: Variant,
    seed: int,
    names: dict[str, str],
    run_key: str,
) -> tuple[Fit, list[Run]]:
    states: dict[int, dict[str, Any]] = {}
    checkpoint = tensorboard = None
    if job.out is not None and job.checkpoints:
        checkpoint = job.out / f"{run_key}.checkpoint"
    if job.out is not None and job.tensorboard:
        slug = "-".join((*names.values(), variant.name, str(seed))).replace("/", "_")
        tensorboard = job.out / "tensorboard" / slug
    outcome = fit(
        network,
        split.train,
        split.validation,
        job.config,
        seed,
        _reporter(job, seed, variant.name, names),
        augmentations=variant.augmentations,
        checkpoint=checkpoint,
        tensorboard=tensorboard,
        keep=states.__setitem__ if job.oracle else None,
    )
    amp = job.config.amp
    scores = [t.score(predict_probabilities(network, t.images, amp=amp)) for t in tests]
    best = [math.nan] * len(tests)
    for state in states.values():
        network.load_state_dict(state)
        reached = [
            t.score(predict_probabilities(network, t.images, amp=amp)).accuracy for t in tests
        ]
        best = [float(np.fmax(*pair)) for pair in zip(best, reached, strict=True)]
    return outcome, [
        Run(
            *(seed, variant.name, test.name, score.accuracy, len(test)),
            source=names["source"],
            model=names["model"],
            calibration_error=score.calibration_error,
            oracle=oracle,
            confusion=score.confusion,
            correct=score.correct,
            ids=test.ids,
        )
        for test, score, oracle in zip(tests, scores, best, strict=True)
    ]


def _identity(
    job: _Job, network: nn.Module, variant: Variant, data: list[str], seed: int
) -> dict[str, Any]:
    return {
        "network": fingerprint(network),
        "augmentations": [repr(a) for a in variant.augmentations],
        "data": data,
        "seed": seed,
        "training": asdict(job.config),
        "device": job.config.place.type,
        "processes": distributed.world(),
        "oracle": job.oracle,
        "versions": [neurn.__version__, torch.__version__],
    }


def _line(run: Run, test: EvaluationSet, key: str, run_key: str, outcome: Fit) -> dict[str, Any]:
    assert run.confusion is not None and run.correct is not None
    return {
        "key": key,
        "run": run_key,
        "model": run.model,
        "source": run.source,
        "seed": run.seed,
        "front_end": run.front_end,
        "domain": run.domain,
        "accuracy": run.accuracy,
        "n": run.n,
        "calibration_error": run.calibration_error,
        "oracle": None if run.oracle != run.oracle else run.oracle,
        "confusion": run.confusion.tolist(),
        "correct": pack(run.correct),
        "ids": pack_numbers(test.ids),
        "fit": asdict(outcome),
    }


def _reporter(
    job: _Job, seed: int, front_end: str, names: dict[str, str]
) -> Callable[[int, float], None] | None:
    if job.on_epoch is None or not distributed.is_first():
        return None
    tell = job.on_epoch

    def report(epoch: int, validation_accuracy: float) -> None:
        tell(EpochEnd(seed, front_end, epoch, job.config.epochs, validation_accuracy, **names))

    return report


def _info(item: Source | Shift | Domain | EvaluationSet | NoData) -> DomainInfo:
    if isinstance(item, Shift):
        return DomainInfo(item.title, item.recipe, item.family, item.severity)
    if isinstance(item, NoData):
        return DomainInfo(item.title, no_data=item.reason)
    if isinstance(item, Source):
        title = KNOWN[item.name].title if item.name in KNOWN else item.name
        return DomainInfo(title, "as in training, unseen images")
    return DomainInfo(item.title if isinstance(item, Domain) else item.name)


def _record(
    job: _Job,
    sources: Sequence[Source],
    targets: Sequence[Shift | Domain | EvaluationSet | NoData],
    given: Sequence[Any],
    limit: int | None,
    command: str,
) -> dict[str, Any]:
    domains = [item for item in (*given, *targets) if isinstance(item, Domain)]
    return {
        "format": "neurn generalize 1",
        "command": command,
        "model": job.maker.name,
        "front_ends": {v.name: str(v.front_end()) for v in job.variants},
        "augmentations": {v.name: [repr(a) for a in v.augmentations] for v in job.variants},
        "seeds": list(job.seeds),
        "training": asdict(job.config),
        "selection": SELECTION_RULE,
        "oracle": job.oracle,
        "data": {
            **{
                item.name: {
                    "train": item.n_train,
                    "validation": item.n_validation,
                    "test": item.n_test,
                    "sha256": item.data.sha256(),
                }
                for item in sources
            },
            **{
                item.name: {"n": len(item.as_target(limit))}
                for item in targets
                if isinstance(item, Domain)
            },
        },
        "provenance": {item.name: dict(item.provenance) for item in domains},
        "no data": {item.name: item.reason for item in targets if isinstance(item, NoData)},
        "versions": {
            "python": platform.python_version(),
            **{m.__name__: m.__version__ for m in (neurn, torch, np)},
        },
        "machine": {
            "platform": platform.platform(),
            "device": str(job.config.place),
            "cpus": os.cpu_count(),
            "torch_threads": job.config.threads or torch.get_num_threads(),
            "processes": distributed.world(),
        },
    }
