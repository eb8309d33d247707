"""Comparison: distances of maps beside the bare product, extraction beside the model's forward."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench import report
from bench.measure import CPUS
from bench.report import Row
from neurn import compare, features

_NEURONS, _FEATURES, _SIDE = 1000, 512, 14
_SECONDS = 1.0
_OVERHEAD = 1.10
_HELD = 1e9


class _Block(nn.Module):
    """A residual block of ResNet18, so that no package is needed for one."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(out)
        self.second = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.short = nn.Conv2d(into, out, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm2(self.second(torch.relu(self.norm(self.first(x)))))
        return torch.relu(y + self.short(x))


def resnet18() -> nn.Sequential:
    blocks = [
        _Block(a, b, s)
        for into, out, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
        for a, b, s in ((into, out, stride), (out, out, 1))
    ]
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    return nn.Sequential(*stem, nn.MaxPool2d(3, 2, 1), *blocks, nn.AdaptiveAvgPool2d(1)).eval()


@pytest.mark.skipif(len(CPUS) < 2, reason="needs two cores")
@pytest.mark.parametrize("pairing", ["mean", "best", "best-heldout"])
def test_rmse(pairing, quick, stopwatch, figures):
    n, m = (50, 20) if quick else (_NEURONS, _FEATURES)
    random = np.random.default_rng(0)
    first, second, maps = (random.standard_normal((k, _SIDE, _SIDE)) for k in (n, n, m))
    settings = {"halves": (first, second), "pairing": pairing, "permutations": 0}
    a, b = (torch.from_numpy(x.reshape(len(x), -1)) for x in (first, maps))
    found = compare.rmse(first, maps, **settings)
    if pairing == "best":
        flat = [
            (x - x.mean(1, keepdim=True)) / x.std(1, correction=0, keepdim=True) for x in (a, b)
        ]
        distance = torch.cdist(*flat).min(1).values / _SIDE
        np.testing.assert_allclose(found["score"], distance.numpy(), rtol=1e-6)
    times = stopwatch.race(
        {"rmse": lambda: compare.rmse(first, maps, **settings), "product": lambda: a @ b.T},
        cores={"rmse": 2, "product": 2},
    )
    seconds = times.ms("rmse") / 1e3
    cells = {
        "what": f"`rmse`, {pairing}, {n} neurons x {m} maps x {_SIDE**2} cells, two cores",
        "ms": f"{1e3 * seconds:.1f}",
        "beside": f"the matrix product alone, {times.ms('product'):.1f} ms",
        "times": f"{times.ratio('rmse', 'product').median:.2f}",
    }
    figures.add(report.COMPARE, Row(cells, "at most 1 s", seconds <= _SECONDS))


@pytest.mark.parametrize("reduce", ["mean", "none"])
def test_extraction(reduce, quick, stopwatch, figures):
    model = resnet18()
    images = torch.rand(2 if quick else 8, 3, 64 if quick else 224, 64 if quick else 224)

    def forward() -> torch.Tensor:
        with torch.inference_mode():
            return model(images)

    def extract() -> features.Features:
        return features.extract(model, images, reduce=reduce, batch_size=len(images))

    found = extract()
    with torch.inference_mode():
        expected = model[0](images)
    expected = expected.mean((2, 3)) if reduce == "mean" else expected
    np.testing.assert_allclose(found["0"].values, expected.numpy(), atol=1e-4)
    times = stopwatch.race({"extract": extract, "forward": forward}, seconds=20)
    over = times.ratio("extract", "forward").median
    cells = {
        "what": f"`extract`, {len(found)} convolutions of ResNet18, reduce={reduce!r}, one core",
        "ms": f"{times.ms('extract'):.0f}",
        "beside": f"the model's forward alone, {times.ms('forward'):.0f} ms",
        "times": f"{over:.2f}",
    }
    figures.add(report.COMPARE, Row(cells, "at most 1.10", over <= _OVERHEAD))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_memory(quick, figures):
    n, m = (600, 1000) if quick else (63_000, 100_000)
    command = [sys.executable, "-m", "bench.compare_memory", str(n), str(m), str(_SIDE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, held = map(float, done.stdout.split())
    cells = {
        "what": f"`rmse`, best, {n} neurons x {m} maps x {_SIDE**2} cells, float32",
        "ms": f"{1e3 * seconds:.0f}",
        "beside": f"peak beyond the maps {held / 1e6:.0f} MB, whole table {4 * n * m / 1e6:.0f} MB",
        "times": "",
    }
    figures.add(report.COMPARE, Row(cells, "at most 1 GB", held <= _HELD))


@pytest.mark.skipif(len(CPUS) < 2, reason="needs two cores")
def test_null(quick, stopwatch, figures):
    """All of the sound form: 200 permutations of scenes, everything recomputed."""
    random = np.random.default_rng(0)
    n, m, count = (20, 8, 5) if quick else (200, 64, 200)
    trials = random.standard_normal((n, 118, 10))
    activity = random.standard_normal((118, m))
    images = random.random((118, 31, 31))

    def whole() -> object:
        return compare.rmse(trials, activity, images=images, permutations=count)

    times = stopwatch.race(
        {
            "null": whole,
            "one": lambda: compare.rmse(trials, activity, images=images, permutations=0),
        },
        cores={"null": 2, "one": 2},
        least=3,
    )
    cells = {
        "what": f"`rmse` with {count} permutations, {n} neurons x {m} features, two cores",
        "ms": f"{times.ms('null'):.0f}",
        "beside": f"without permutations, {times.ms('one'):.0f} ms",
        "times": f"{times.ratio('null', 'one').median:.2f}",
    }
    figures.add(report.COMPARE, Row(cells))
