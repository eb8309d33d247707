"""Fine-tuning of a model on some classes of a data set of small images."""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from neurn._device import check_device
from neurn._files import open_atomic, write_atomic
from neurn._optional import import_optional
from neurn._progress import Progress, show_progress
from neurn.features.extract import describe, first_tensor, input_channels
from neurn.features.front_end import WithFrontEnd
from neurn.features.models import NamedModel

TRAINABLE = ("all", "head")

_CHECKPOINT = "checkpoint.pt"
_LOG = "log.jsonl"
_VALIDATION = 0.2


@dataclass(frozen=True, eq=False)
class Finetuned:
    """A fine-tuned model and how it came to be. `finetune` makes it.

    Attributes
    ----------
    model : NamedModel or WithFrontEnd
        In evaluation mode; results say on what it was fine-tuned, and from which weights.
    classes : tuple of str
        Names, in the order of the outputs.
    log : tuple of dict
        Of each epoch: ``epoch``, ``loss``, ``accuracy`` (on the training images as they passed),
        ``validation_accuracy``.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from neurn import features
    >>> images = np.zeros((20, 3, 8, 8), "uint8")
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    >>> tuned = features.finetune(net, (images, np.array([0, 1] * 10)), epochs=3)
    >>> tuned.classes, [line["epoch"] for line in tuned.log]
    (('0', '1'), [1, 2, 3])
    >>> tuned.model.weights
    'as given, fine-tuned on own images (2 classes, 3 epochs)'
    """

    model: nn.Module
    classes: tuple[str, ...]
    log: tuple[dict[str, float], ...]


def finetune(
    model: nn.Module,
    dataset: str | os.PathLike[str] | tuple[Any, Any] = "digits",
    classes: int | Sequence[int | str] | None = None,
    *,
    epochs: int = 5,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    trainable: str = "all",
    seed: int = 0,
    device: str | torch.device = "cpu",
    out: str | os.PathLike[str] | None = None,
    progress: bool | Progress | None = None,
) -> Finetuned:
    """Give a model a new last layer and train it on some classes (Adam, cross-entropy).

    Parameters
    ----------
    model : nn.Module
        Its last linear layer is replaced; it is trained in place.
    dataset : "digits", path, or (images, labels)
        ``"digits"``: the 1,797 handwritten digits that come with scikit-learn, 32 x 32. A path:
        CIFAR-100 in its Python form, the directory with ``train`` and ``meta``. Or images, uint8
        (N, C, H, W) or (N, H, W), and whole numbers (N,).
    classes : int or sequence of int or str, optional
        How many, the first ones, or which, by number or name; all by default.
    epochs, batch_size : int
    learning_rate : float
    trainable : {"all", "head"}
        ``"head"``: the new last layer alone.
    seed : int
        Of the new layer, the order of images, and the fifth of them that is kept for validation.
    device : str or torch.device
    out : path, optional
        A directory for ``checkpoint.pt``, written after each epoch, and ``log.jsonl``. Where it
        holds a checkpoint of the same call, training goes on from there; `epochs` may be more.
    progress : bool or callable, optional
        As in `neurn.features.extract`; counts epochs.

    Returns
    -------
    Finetuned

    Raises
    ------
    ValueError
        If an argument is not allowed, the data do not hold what is asked for, or `out` holds a
        checkpoint of another call.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from torch import nn
    >>> from neurn import features
    >>> _ = torch.manual_seed(0)
    >>> images, labels = np.zeros((40, 3, 8, 8), "uint8"), np.repeat([0, 1], 20)
    >>> images[labels == 1] = 255
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 1000))
    >>> tuned = features.finetune(net, (images, labels), epochs=20, learning_rate=0.01)
    >>> tuned.log[-1]["validation_accuracy"]
    1.0
    >>> tuned.model(torch.zeros(1, 3, 8, 8)).shape
    torch.Size([1, 2])
    """
    if trainable not in TRAINABLE:
        raise ValueError(f"trainable must be one of {', '.join(TRAINABLE)}, got {trainable!r}")
    if epochs < 1 or batch_size < 1 or not learning_rate > 0:
        raise ValueError(
            "epochs, batch_size and learning_rate must be positive, got "
            f"{epochs}, {batch_size}, {learning_rate}"
        )
    check_device(device)
    images, labels, names, source = _load(dataset, classes)
    about = describe(model)
    train, validation = _split(labels, seed)
    settings = {
        "model": about["model"],
        "front_end": about["front_end"],
        "classes": names,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "trainable": trainable,
        "seed": seed,
        "data": hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest(),
    }
    head = _new_head(model, len(names), seed)
    for parameter in model.parameters():
        parameter.requires_grad_(trainable == "all")
    head.requires_grad_(True)
    model.to(device)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], learning_rate)
    folder = None if out is None else Path(out)
    log: list[dict[str, float]] = []
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        log = _resume(folder / _CHECKPOINT, settings, model, optimizer)
    with show_progress(progress, "training", "epochs") as report, torch.random.fork_rng():
        for epoch in range(len(log) + 1, epochs + 1):
            # A seed of each epoch: one that goes on is the same as one that was never stopped.
            torch.manual_seed(seed * 100_003 + epoch)
            line = _epoch(model, images, labels, train, batch_size, optimizer, device, trainable)
            line["validation_accuracy"] = _accuracy(
                model, images[validation], labels[validation], batch_size, device
            )
            log.append({"epoch": epoch, **line})
            if not math.isfinite(line["loss"]):
                raise ValueError(f"loss is {line['loss']} in epoch {epoch}: lower learning_rate")
            if folder is not None:
                _save(folder, settings, model, optimizer, log)
            if report is not None:
                report(epoch, epochs)
    model.eval().to("cpu").requires_grad_(True)
    said = f"{about['weights']}, fine-tuned on {source} ({len(names)} classes, {len(log)} epochs)"
    return Finetuned(_say(model, said), tuple(names), tuple(log))


def _say(model: nn.Module, weights: str) -> nn.Module:
    if isinstance(model, WithFrontEnd):
        return WithFrontEnd(model.front_end, _say(model.model, weights), model.front_end_name)
    if isinstance(model, NamedModel):
        model.weights = weights
        return model
    return NamedModel(model, type(model).__name__, weights).eval()


def _load(
    dataset: Any, classes: Any
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], list[str], str]:
    if isinstance(dataset, tuple):
        images, labels, names, source = *dataset, None, "own images"
    elif dataset == "digits":
        images, labels, names, source = *_digits(), None, "scikit-learn's digits"
    else:
        images, labels, names = _cifar100(Path(dataset))
        source = "CIFAR-100"
    images, labels = np.asarray(images), np.asarray(labels)
    if images.ndim == 3:
        images = images[:, None]
    if images.dtype != np.uint8 or images.ndim != 4 or labels.shape != (len(images),):
        raise ValueError(
            "dataset must hold uint8 images (N, C, H, W) and N labels, got "
            f"{images.dtype} {images.shape} and {labels.shape}"
        )
    labels = labels.astype(np.int64)
    if names is None:
        names = [str(k) for k in range(int(labels.max()) + 1)]
    wanted = _classes(classes, names)
    keep = np.isin(labels, wanted)
    place = {label: i for i, label in enumerate(wanted)}
    chosen = np.array([place[int(label)] for label in labels[keep]], dtype=np.int64)
    counts = np.bincount(chosen, minlength=len(wanted))
    if counts.min() < 5:
        raise ValueError(
            f"dataset must hold 5 images or more of each class, got {counts.min()} of "
            f"{names[wanted[int(counts.argmin())]]!r}"
        )
    return images[keep], chosen, [names[k] for k in wanted], source


def _classes(classes: Any, names: Sequence[str]) -> list[int]:
    if classes is None:
        return list(range(len(names)))
    if isinstance(classes, int):
        classes = range(classes)
    if isinstance(classes, (str, float)):
        raise ValueError(f"classes must be a number of them or a sequence, got {classes!r}")
    wanted = []
    for each in classes:
        if isinstance(each, str) and each in names:
            wanted.append(names.index(each))
        elif not isinstance(each, str) and 0 <= each < len(names):
            wanted.append(int(each))
        else:
            some = ", ".join(names[:6])
            raise ValueError(f"classes: there is no {each!r} among {len(names)} ({some}, ...)")
    if len(set(wanted)) != len(wanted) or len(wanted) < 2:
        raise ValueError(f"classes must be 2 or more different ones, got {classes!r}")
    return wanted


def _digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    bunch = import_optional("sklearn.datasets", "mouse").load_digits()
    grey = torch.from_numpy(np.asarray(bunch.images))[:, None] / 16
    large = nn.functional.interpolate(grey, (32, 32), mode="bilinear", align_corners=False)
    return (255 * large).round().to(torch.uint8).numpy(), bunch.target


class _Unpickler(pickle.Unpickler):
    """Reads arrays, lists and texts only: a data file runs no code."""

    _ALLOWED = frozenset(
        [
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        ]
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def _cifar100(folder: Path) -> tuple[Any, Any, list[str]]:
    found = {}
    for name in ("train", "meta"):
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(
                f"dataset: {str(folder)!r} must be CIFAR-100's directory with the files train and "
                f"meta, and has no {name}"
            )
        try:
            with path.open("rb") as file:
                found[name] = _Unpickler(file, encoding="bytes").load()
        except (pickle.UnpicklingError, EOFError, ValueError) as error:
            raise ValueError(f"dataset: {str(path)!r} is no file of CIFAR-100: {error}") from error
    try:
        images = found["train"][b"data"].reshape(-1, 3, 32, 32)
        labels = np.array(found["train"][b"fine_labels"])
        names = [text.decode() for text in found["meta"][b"fine_label_names"]]
    except (KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"dataset: {str(folder)!r} is not CIFAR-100: no {error}") from error
    return images, labels, names


def _split(labels: npt.NDArray[np.int64], seed: int) -> tuple[Any, Any]:
    """Return places of training and validation images, the same share of each class."""
    random = np.random.default_rng(seed)
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        held[random.permutation(members)[: max(1, round(_VALIDATION * len(members)))]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def _new_head(model: nn.Module, outputs: int, seed: int) -> nn.Module:
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear or not linear[-1]:
        raise ValueError(f"model: {type(model).__name__} has no last linear layer to replace")
    parent, _, child = linear[-1].rpartition(".")
    owner = model.get_submodule(parent)
    old = getattr(owner, child)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Linear(old.in_features, outputs, bias=old.bias is not None)
    setattr(owner, child, head)
    return head


def _tensor(images: npt.NDArray[np.uint8], model: nn.Module, device: Any) -> Tensor:
    x = torch.from_numpy(images).to(device).float() / 255
    return x.expand(-1, 3, -1, -1) if x.shape[1] == 1 and input_channels(model) == 3 else x


def _epoch(
    model: nn.Module,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    train: npt.NDArray[np.int64],
    batch_size: int,
    optimizer: torch.optim.Optimizer,
    device: Any,
    trainable: str,
) -> dict[str, float]:
    # A frozen body keeps the statistics of its normalization, too.
    model.train(trainable == "all")
    order = train[torch.randperm(len(train)).numpy()]
    total, right, seen = 0.0, 0, 0
    for begin in range(0, len(order), batch_size):
        part = order[begin : begin + batch_size]
        if len(part) == 1 and len(order) > 1:
            continue  # batch normalization needs two
        target = torch.from_numpy(labels[part]).to(device)
        optimizer.zero_grad()
        output = first_tensor(model(_tensor(images[part], model, device)))
        assert output is not None
        loss = nn.functional.cross_entropy(output, target)
        loss.backward()
        optimizer.step()
        total += float(loss.detach()) * len(part)
        right += int((output.argmax(1) == target).sum())
        seen += len(part)
    return {"loss": total / seen, "accuracy": right / seen}


@torch.no_grad()
def _accuracy(model: nn.Module, images: Any, labels: Any, batch_size: int, device: Any) -> float:
    model.eval()
    right = 0
    for begin in range(0, len(images), batch_size):
        output = first_tensor(model(_tensor(images[begin : begin + batch_size], model, device)))
        assert output is not None
        right += int((output.argmax(1).cpu().numpy() == labels[begin : begin + batch_size]).sum())
    return right / len(images)


def _resume(
    path: Path, settings: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer
) -> list[dict[str, float]]:
    if not path.exists():
        return []
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        same = {key: stored["settings"][key] for key in settings}
    except Exception as error:
        raise ValueError(f"out: {str(path)!r} is not a checkpoint that can be read") from error
    for key, value in settings.items():
        if same[key] != value:
            raise ValueError(
                f"out: {str(path)!r} is of another call: {key} was {same[key]!r} and is {value!r}"
            )
    model.load_state_dict(stored["model"])
    optimizer.load_state_dict(stored["optimizer"])
    log: list[dict[str, float]] = stored["log"]
    return log


def _save(
    folder: Path,
    settings: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    log: list[dict[str, float]],
) -> None:
    state = {"settings": settings, "model": model.state_dict(), "log": log}
    with open_atomic(folder / _CHECKPOINT) as file:
        torch.save({**state, "optimizer": optimizer.state_dict()}, file)
    write_atomic(folder / _LOG, "".join(json.dumps(line) + "\n" for line in log))
