"""Forward: beside memcpy, over kernel sizes, cores, types and layouts, and beside its peers."""

from __future__ import annotations

import os

import pytest
import torch
from torch import Tensor

import neurn
from bench import checks, peers, report
from bench.contests import KERNEL_SIZES
from bench.measure import CPUS, Call, use_cores
from bench.tensors import BATCH, KINDS, LARGE, SHAPES, SMALL, as_kind, label, normal

OF_MEMCPY = {BATCH: 2.0, SMALL: 2.5, LARGE: 2.5}
PEER_INPUTS = [(BATCH, 3), (SMALL, 3), (LARGE, 3), (SMALL, 7), (SMALL, 15)]
# What takes k * k tensors takes minutes to compile, or all memory, for a larger k.
PEER_CASES = [
    pytest.param(shape, k, name, id=f"{label(shape)}-{k}-{name}")
    for shape, k in PEER_INPUTS
    for name in [*peers.EAGER, *peers.COMPILED]
    if k <= 7 or not ("slices" in name or "unfold" in name)
]


@pytest.fixture(autouse=True)
def _inference():
    with torch.no_grad():
        yield


def _call(x: Tensor, k: int) -> Call:
    return lambda: neurn.neurn(x, k)


@pytest.mark.parametrize("k", [3, 7])
@pytest.mark.parametrize("shape", SHAPES, ids=label)
def test_beside_memcpy(shape, k, quick, contests):
    x = normal(shape, quick)
    checks.forward(x, k)
    contests.beside_memcpy(report.FORWARD, shape, k, x, _call(x, k), OF_MEMCPY[shape])


@pytest.mark.parametrize("shape", SHAPES, ids=label)
def test_over_kernel_sizes(shape, quick, contests):
    x = normal(shape, quick)
    for k in (KERNEL_SIZES[0], KERNEL_SIZES[-1]):
        checks.forward(x, k)
    contests.over_kernel_sizes("forward", shape, {k: _call(x, k) for k in KERNEL_SIZES})


@pytest.mark.skipif(len(CPUS) < 2, reason="needs two cores")
@pytest.mark.parametrize("shape", SHAPES, ids=label)
def test_two_cores(shape, quick, contests):
    x = normal(shape, quick)
    checks.forward(x, 3)
    contests.two_cores("forward", shape, _call(x, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_types_and_layouts(kind, quick, contests):
    x = as_kind(normal(BATCH, quick), kind)
    checks.forward(x, 3)
    contests.other_kind("forward", BATCH, kind, x, _call(x, 3))


@pytest.mark.parametrize(("shape", "k", "name"), PEER_CASES)
def test_beside_peers(shape, k, name, quick, contests):
    x = normal(shape, quick)
    peer = peers.find(name)
    os.sched_setaffinity(0, CPUS)  # a compiler may use every core
    checks.same(peer(x, k), neurn.neurn(x, k))
    use_cores(1)
    contests.beside_peer("forward", shape, k, name, lambda: peer(x, k), _call(x, k))
