"""Training on the source domain alone, selection by source validation accuracy."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from neurn._files import open_atomic
from neurn._optional import import_optional
from neurn.generalize import distributed
from neurn.generalize.augmentations import Augmentation
from neurn.generalize.datasets import Dataset, Images, Labels, labels_sealed, random_generator

SELECTION_RULE = "epoch of highest source validation accuracy, the later one of equals"

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("constant", "cosine", "linear", "step")
PRECISIONS = ("off", "bfloat16", "float16")
MAX_THREADS = 1024


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of `fit`: cross-entropy on the source.

    Attributes
    ----------
    epochs : int
    batch_size : int
        Images of one step of the optimizer, over all processes.
    learning_rate : float
        The largest of the schedule.
    optimizer : {"adamw", "sgd"}
        With `weight_decay` 0, AdamW is Adam.
    weight_decay : float
    momentum : float
        Of SGD (Nesterov's, unless 0).
    schedule : {"constant", "cosine", "linear", "step"}
        Of the learning rate, per step: cosine and linear to 0; step: a tenth after half and again
        after three quarters.
    warmup : float
        Share of all steps in which the learning rate first rises linearly, 0 to 1.
    accumulate : int
        Parts that a batch is worked through in, to save memory; gradients add up.
    amp : {"off", "bfloat16", "float16"}
        Automatic mixed precision; float16 with a scaled loss.
    channels_last : bool
        Weights too; images always are.
    compile : str
        Backend of ``torch.compile``, such as ``"inductor"``; ``"off"``: none.
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``; ``"auto"``: a GPU where there is one.
    label_smoothing : float
        0 to below 1.
    threads : int
        Of torch, for work on the CPU; 0: as many as it has. The order of sums depends on their
        number, so weights of one seed agree bit for bit only where it is the same.

    Raises
    ------
    ValueError
        If a setting is not allowed.

    Examples
    --------
    >>> from neurn import generalize
    >>> config = generalize.TrainingConfig(epochs=20, schedule="cosine", warmup=0.1)
    >>> [round(config.factor(step, steps=100), 2) for step in (0, 9, 55, 99)]
    [0.1, 1.0, 0.5, 0.0]
    >>> generalize.TrainingConfig(optimizer="adam")
    Traceback (most recent call last):
        ...
    ValueError: optimizer must be one of adamw, sgd, got 'adam'
    """

    epochs: int = 12
    batch_size: int = 50
    learning_rate: float = 1e-3
    optimizer: str = "adamw"
    weight_decay: float = 0.0
    momentum: float = 0.9
    schedule: str = "constant"
    warmup: float = 0.0
    accumulate: int = 1
    amp: str = "off"
    channels_last: bool = False
    compile: str = "off"
    device: str = "cpu"
    label_smoothing: float = 0.0
    threads: int = 0

    def __post_init__(self) -> None:
        """Check the settings."""
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")
        if not 1 <= self.accumulate <= self.batch_size:
            raise ValueError(
                f"accumulate must lie between 1 and the batch size {self.batch_size}, "
                f"got {self.accumulate}"
            )
        for name, allowed in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("amp", PRECISIONS),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}"
                )
        for name, limit in (("momentum", 1), ("warmup", 1), ("label_smoothing", 1)):
            if not 0 <= getattr(self, name) < limit:
                raise ValueError(
                    f"{name} must be at least 0 and below 1, got {getattr(self, name)}"
                )
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay must be at least 0, got {self.weight_decay}")
        if not 0 <= self.threads <= MAX_THREADS:
            raise ValueError(
                f"threads must lie between 1 and {MAX_THREADS}, or be 0 for torch's own number, "
                f"got {self.threads}"
            )

    @property
    def place(self) -> torch.device:
        """The device itself.

        Raises
        ------
        ValueError
            If it is a GPU and there is none.
        """
        name = self.device
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        if name.startswith("cuda") and not torch.cuda.is_available():
            raise ValueError(f"device {self.device!r}: torch finds no GPU here")
        return torch.device(name)

    def factor(self, step: int, steps: int) -> float:
        """Share of the learning rate at a step, counted from 0, of `steps`."""
        rise = round(self.warmup * steps)
        if step < rise:
            return (step + 1) / rise
        done = (step - rise) / max(steps - rise, 1)
        if self.schedule == "cosine":
            return 0.5 + 0.5 * math.cos(math.pi * done)
        if self.schedule == "linear":
            return 1.0 - done
        if self.schedule == "step":
            return 1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01
        return 1.0


@dataclass(frozen=True)
class Fit:
    """How a training went.

    Attributes
    ----------
    epoch : int
        The epoch whose weights were kept, counted from 1.
    validation_accuracy : float
        Source validation accuracy at that epoch, 0 to 1.
    seconds : float
        Wall time; of a resumed training, that after the last resumption.
    threads : int
        Of torch on the CPU; 0 in results that do not say.

    Examples
    --------
    >>> from neurn import generalize
    >>> from neurn.generalize.training import fit
    >>> split = generalize.load("digits").as_source(n=100).split(seed=0)
    >>> config = generalize.TrainingConfig(epochs=2)
    >>> found = fit(generalize.lenet(), split.train, split.validation, config, seed=0)
    >>> found.epoch in (1, 2), 0 <= found.validation_accuracy <= 1
    (True, True)
    """

    epoch: int
    validation_accuracy: float
    seconds: float
    threads: int = 0


def as_tensor(images: Images) -> Tensor:
    """Convert uint8 images (N, 3, H, W) to a float32 tensor of the same shape, 0 to 1."""
    # Channels last in memory: pooling runs faster so on CPUs.
    x = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
    return x.float() / 255.0


@torch.no_grad()
def predict_probabilities(
    model: nn.Module, images: Images, batch_size: int = 250, amp: str = "off"
) -> npt.NDArray[np.float32]:
    """Predict class probabilities; under several processes each takes its share.

    Parameters
    ----------
    model : torch.nn.Module
        Left in evaluation mode.
    images : ndarray of uint8, shape (N, 3, H, W)
    batch_size : int
    amp : {"off", "bfloat16", "float16"}

    Returns
    -------
    ndarray of float32, shape (N, K)
    """
    model.eval()
    place = next((p.device for p in model.parameters()), torch.device("cpu"))
    mine = images[distributed.rank() :: distributed.world()]
    parts = []
    for start in range(0, max(len(mine), 1), batch_size):
        # Every process has a row to give the shape of the others, so none is left without.
        batch = mine[start : start + batch_size] if len(mine) else images[:1]
        with _autocast(place, amp):
            logits = model(as_tensor(batch).to(place))
        parts.append(logits.float().softmax(dim=1).cpu())
    rows = torch.cat(parts)[: len(mine)]
    probabilities: npt.NDArray[np.float32] = distributed.gather_rows(rows, len(images)).numpy()
    return probabilities


def predict(model: nn.Module, images: Images, batch_size: int = 250) -> Labels:
    """Predict classes.

    Parameters
    ----------
    model : torch.nn.Module
        Left in evaluation mode.
    images : ndarray of uint8, shape (N, 3, H, W)
    batch_size : int

    Returns
    -------
    ndarray of int64, shape (N,)
    """
    labels: Labels = predict_probabilities(model, images, batch_size).argmax(axis=1)
    return labels


def fit(
    model: nn.Module,
    train: Dataset,
    validation: Dataset,
    config: TrainingConfig,
    seed: int,
    on_epoch: Callable[[int, float], None] | None = None,
    *,
    augmentations: Sequence[Augmentation] = (),
    checkpoint: Path | None = None,
    tensorboard: Path | None = None,
    keep: Callable[[int, dict[str, Any]], None] | None = None,
) -> Fit:
    """Train a model in place on the source and keep the epoch that source validation selects.

    Labels of evaluation sets are sealed meanwhile (`labels_sealed`), also for `on_epoch`. Inside
    `neurn.generalize.distributed.process_group`, each process takes its share of every batch and
    gradients are averaged: weights are those of one process, but for rounding and for the
    statistics of batch normalization, which each process takes of its own share.

    Parameters
    ----------
    model : torch.nn.Module
        Float (N, 3, H, W) to logits; moved to the device of `config`.
    train, validation : Dataset
        Source images; `validation` chooses the epoch and nothing else.
    config : TrainingConfig
    seed : int
        Fixes the order of the batches, whatever the model, augmentations and dropout.
    on_epoch : callable, optional
        ``on_epoch(epoch, validation_accuracy)`` after each epoch, counted from 1.
    augmentations : sequence of Augmentation, optional
        Of training images, before the model and so before its front end.
    checkpoint : Path, optional
        Written after every epoch, and gone on from where it exists, with the same number of
        threads: on a CPU, weights are then bit for bit those of a training without interruption.
        Removed at the end.
    tensorboard : Path, optional
        Directory for event files with loss, learning rate and validation accuracy.
    keep : callable, optional
        ``keep(epoch, state)`` gets the weights of every epoch.

    Returns
    -------
    Fit

    Raises
    ------
    TypeError
        If `train` or `validation` is not a `Dataset`.
    ValueError
        If the checkpoint is of another training.
    FloatingPointError
        If the loss becomes infinite or NaN.
    """
    for part in (train, validation):
        if not isinstance(part, Dataset):
            raise TypeError(f"training takes a Dataset, not {type(part).__name__}")
    start = time.perf_counter()
    with labels_sealed(), cpu_threads(config.threads), _own_randomness(config.place, seed):
        training = _Training(model, train, config, seed, augmentations)
        if checkpoint is not None and distributed.share(checkpoint.exists()):
            training.load(checkpoint)
        with _events(tensorboard) as log:
            for epoch in range(training.epoch + 1, config.epochs + 1):
                loss = training.run_epoch()
                accuracy = training.accuracy(validation)
                training.select(epoch, accuracy)
                if keep is not None:
                    keep(epoch, copy.deepcopy(model.state_dict()))
                if checkpoint is not None and distributed.is_first():
                    training.save(checkpoint)
                log("loss/train", loss, epoch)
                log("accuracy/validation", accuracy, epoch)
                log("learning_rate", training.optimizer.param_groups[0]["lr"], epoch)
                if on_epoch is not None:
                    on_epoch(epoch, accuracy)
        threads = torch.get_num_threads()
        model.load_state_dict(training.best_state)
        if checkpoint is not None and distributed.is_first():
            checkpoint.unlink(missing_ok=True)
    seconds = time.perf_counter() - start
    return Fit(training.best_epoch, training.best_accuracy, seconds, threads)


class _Training:
    """A training between two epochs: all that a checkpoint holds."""

    def __init__(
        self,
        model: nn.Module,
        train: Dataset,
        config: TrainingConfig,
        seed: int,
        augmentations: Sequence[Augmentation],
    ) -> None:
        self.model, self.train, self.config = model, train, config
        self.augmentations, self.place = augmentations, config.place
        layout = torch.channels_last if config.channels_last else torch.preserve_format
        model.to(self.place)
        model.to(memory_format=layout)  # type: ignore[call-overload]
        for augmentation in augmentations:
            augmentation.attach(model)
        self.shuffle = random_generator(seed, "batches")
        self.drawing = torch.Generator().manual_seed(seed)
        self.labels = torch.from_numpy(train.labels)
        self.running = self._wrap(model)
        self.optimizer = self._optimizer()
        self.scaler = torch.amp.GradScaler(self.place.type, enabled=config.amp == "float16")
        self.steps = config.epochs * -(-len(train) // config.batch_size)
        self.step = self.epoch = 0
        self.best_epoch, self.best_accuracy = 0, -1.0
        self.best_state: dict[str, Any] = {}
        self.identity = json.dumps(
            [train.sha256(), asdict(config), seed, list(map(repr, augmentations))]
        )

    def _wrap(self, model: nn.Module) -> nn.Module:
        running = model
        if distributed.world() > 1 and any(p.requires_grad for p in model.parameters()):
            running = DistributedDataParallel(running)
        if self.config.compile != "off":
            running = torch.compile(running, backend=self.config.compile)  # type: ignore[assignment]
        return running

    def _optimizer(self) -> torch.optim.Optimizer:
        config, weights = self.config, self.model.parameters()
        if config.optimizer == "sgd":
            return torch.optim.SGD(
                weights,
                lr=config.learning_rate,
                momentum=config.momentum,
                nesterov=config.momentum > 0,
                weight_decay=config.weight_decay,
            )
        return torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=config.weight_decay)

    def run_epoch(self) -> float:
        """Take every image once and return the mean loss of this process's share."""
        self.model.train()
        self.epoch += 1
        order = self.shuffle.permutation(len(self.train))
        total = 0.0
        for begin in range(0, len(order), self.config.batch_size):
            total += self._step(order[begin : begin + self.config.batch_size])
        if not math.isfinite(total):
            raise FloatingPointError(
                f"the loss became {total} in epoch {self.epoch}; a lower learning rate than "
                f"{self.config.learning_rate:g} may help"
            )
        return total * distributed.world() / len(order)

    def _step(self, batch: npt.NDArray[np.int64]) -> float:
        images = as_tensor(self.train.images[batch])
        for augmentation in self.augmentations:
            images = augmentation(images, self.drawing)
        labels = self.labels[torch.from_numpy(batch)]
        mine = slice(distributed.rank(), None, distributed.world())
        mine_images, mine_labels = images[mine], labels[mine]
        weight = 1.0
        if not len(mine_labels):  # a last batch smaller than the world: take part, count nothing
            mine_images, mine_labels, weight = images[:1], labels[:1], 0.0
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * self.config.factor(self.step, self.steps)
        self.optimizer.zero_grad()
        total = 0.0
        parts = min(self.config.accumulate, len(mine_labels))
        pieces = list(
            zip(mine_images.tensor_split(parts), mine_labels.tensor_split(parts), strict=True)
        )
        for place, (x, y) in enumerate(pieces):
            last = place == len(pieces) - 1
            with ExitStack() as stack:
                if not last and isinstance(self.running, DistributedDataParallel):
                    stack.enter_context(self.running.no_sync())
                stack.enter_context(_autocast(self.place, self.config.amp))
                loss = nn.functional.cross_entropy(
                    self.running(x.to(self.place)),
                    y.to(self.place),
                    label_smoothing=self.config.label_smoothing,
                )
                # Processes are averaged: with this share, that is the mean over the whole batch.
                share = weight * len(y) * distributed.world() / len(batch)
                self.scaler.scale(loss * share).backward()
            total += weight * len(y) * float(loss.detach())
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        return total

    def accuracy(self, data: Dataset) -> float:
        """Share of right predictions on source validation images."""
        predicted = predict_probabilities(self.model, data.images, amp=self.config.amp)
        return float(np.mean(predicted.argmax(axis=1) == data.labels))

    def select(self, epoch: int, accuracy: float) -> None:
        """Keep the weights if none were better before."""
        if accuracy >= self.best_accuracy:
            self.best_epoch, self.best_accuracy = epoch, accuracy
            self.best_state = copy.deepcopy(self.model.state_dict())

    def save(self, path: Path) -> None:
        """Write all that going on needs."""
        state = {
            "identity": self.identity,
            "threads": torch.get_num_threads(),
            "epoch": self.epoch,
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "best": (self.best_epoch, self.best_accuracy, self.best_state),
            "shuffle": json.dumps(self.shuffle.bit_generator.state),
            "drawing": self.drawing.get_state(),
            "torch": torch.random.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if self.place.type == "cuda" else [],
        }
        with open_atomic(path) as file:
            torch.save(state, file)

    def load(self, path: Path) -> None:
        """Go on from where a checkpoint was written."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["identity"] != self.identity:
            raise ValueError(
                f"checkpoint {str(path)!r} is of another training (data, settings or seed); "
                "remove it or give another path"
            )
        torch.set_num_threads(state["threads"])  # `fit` restores it
        self.epoch, self.step = state["epoch"], state["step"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.best_epoch, self.best_accuracy, self.best_state = state["best"]
        self.shuffle.bit_generator.state = json.loads(state["shuffle"])
        self.drawing.set_state(state["drawing"])
        torch.random.set_rng_state(state["torch"])
        if self.place.type == "cuda":
            torch.cuda.set_rng_state_all(state["cuda"])


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Use `count` threads of torch on the CPU in the block, 0: as many as before it."""
    before = torch.get_num_threads()
    try:
        if count:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _own_randomness(place: torch.device, seed: int) -> Iterator[None]:
    """Draw dropout and the like from `seed` inside the block; restore torch's state after it."""
    devices = list(range(torch.cuda.device_count())) if place.type == "cuda" else []
    before = (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark)
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        if place.type == "cuda":
            # Kernels without a deterministic form only warn: not every network can do without.
            torch.use_deterministic_algorithms(True, warn_only=True)
            torch.backends.cudnn.benchmark = False
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=True)
            torch.backends.cudnn.benchmark = before[1]


def _autocast(place: torch.device, amp: str) -> Any:
    return torch.autocast(
        place.type, torch.float16 if amp == "float16" else torch.bfloat16, enabled=amp != "off"
    )


@contextmanager
def _events(directory: Path | None) -> Iterator[Callable[[str, float, int], None]]:
    """Provide ``log(name, value, epoch)``: into event files, or nowhere."""
    if directory is None or not distributed.is_first():
        yield lambda *_: None
        return
    writer = import_optional("tensorboardX", "generalize").SummaryWriter(str(directory))
    try:
        yield writer.add_scalar
    finally:
        writer.close()
