"""Training on the source domain alone, selection by source validation accuracy."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from neurn.generalize.datasets import Dataset, Images, Labels, labels_sealed, random_generator

SELECTION_RULE = "epoch of highest source validation accuracy, the later one of equals"


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of `fit`: Adam on cross-entropy, no augmentation."""

    epochs: int = 12
    batch_size: int = 50
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.epochs < 1 or self.batch_size < 1 or not self.learning_rate > 0:
            raise ValueError(f"epochs, batch size and learning rate must be positive: {self}")


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
        Wall time.
    """

    epoch: int
    validation_accuracy: float
    seconds: float


def as_tensor(images: Images) -> torch.Tensor:
    """Convert uint8 images (N, 3, H, W) to a float32 tensor of the same shape, 0 to 1."""
    # Channels last in memory: pooling runs faster so on CPUs.
    x = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
    return x.float() / 255.0


@torch.no_grad()
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
    model.eval()
    batches = torch.split(as_tensor(images), batch_size)
    return torch.cat([model(batch).argmax(dim=1) for batch in batches]).numpy()


def fit(
    model: nn.Module,
    train: Dataset,
    validation: Dataset,
    config: TrainingConfig,
    seed: int,
    on_epoch: Callable[[int, float], None] | None = None,
) -> Fit:
    """Train a model in place on the source and keep the epoch that source validation selects.

    Labels of evaluation sets are sealed meanwhile (`labels_sealed`), also for `on_epoch`.

    Parameters
    ----------
    model : torch.nn.Module
        Float (N, 3, H, W) to logits.
    train, validation : Dataset
        Source images; `validation` chooses the epoch and nothing else.
    config : TrainingConfig
    seed : int
        Fixes the order of the batches, whatever the model.
    on_epoch : callable, optional
        ``on_epoch(epoch, validation_accuracy)`` after each epoch, counted from 1.

    Returns
    -------
    Fit

    Raises
    ------
    TypeError
        If `train` or `validation` is not a `Dataset`.
    """
    for part in (train, validation):
        if not isinstance(part, Dataset):
            raise TypeError(f"training takes a Dataset, not {type(part).__name__}")
    start = time.perf_counter()
    images, labels = as_tensor(train.images), torch.from_numpy(train.labels)
    shuffle = random_generator(seed, "batches")
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    best_epoch, best_accuracy, best_state = 0, -1.0, model.state_dict()
    with labels_sealed():
        for epoch in range(1, config.epochs + 1):
            model.train()
            order = torch.from_numpy(shuffle.permutation(len(train)))
            for batch in torch.split(order, config.batch_size):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
                loss.backward()
                optimizer.step()
            accuracy = float(np.mean(predict(model, validation.images) == validation.labels))
            if accuracy >= best_accuracy:
                best_epoch, best_accuracy = epoch, accuracy
                best_state = copy.deepcopy(model.state_dict())
            if on_epoch is not None:
                on_epoch(epoch, accuracy)
    model.load_state_dict(best_state)
    return Fit(best_epoch, best_accuracy, time.perf_counter() - start)
