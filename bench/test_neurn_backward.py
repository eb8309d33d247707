"""Backward: the gradient through the graph, as autograd calls it, and whole training steps."""

from __future__ import annotations

import os

import pytest
import torch
from torch import Tensor

import neurn
from bench import checks, peers, report
from bench.contests import KERNEL_SIZES
from bench.measure import CPUS, Call, use_cores
from bench.tensors import BATCH, KINDS, SHAPES, as_kind, label, normal

OF_MEMCPY = 4.0
# OpenCV and skimage have no gradient; unfold needs tens of seconds for one.
PEERS = ("avg_pool2d", "shifted slices", *peers.COMPILED)


def _call(x: Tensor, grad: Tensor, k: int, check: bool = True) -> Call:
    """The gradient of one forward pass, again and again."""
    x = x.detach().requires_grad_()
    y = neurn.neurn(x, k)

    def backward() -> Tensor:
        return torch.autograd.grad(y, x, grad, retain_graph=True)[0]

    if check:
        checks.backward(x, grad, backward(), k)
    return backward


def _inputs(shape: tuple[int, ...], quick: bool) -> tuple[Tensor, Tensor]:
    return normal(shape, quick), normal(shape, quick, seed=1)


@pytest.mark.parametrize("k", [3, 7])
@pytest.mark.parametrize("shape", SHAPES, ids=label)
def test_beside_memcpy(shape, k, quick, contests):
    x, grad = _inputs(shape, quick)
    contests.beside_memcpy(report.BACKWARD, shape, k, x, _call(x, grad, k), OF_MEMCPY)


@pytest.mark.parametrize("shape", SHAPES, ids=label)
def test_over_kernel_sizes(shape, quick, contests):
    x, grad = _inputs(shape, quick)
    ends = KERNEL_SIZES[0], KERNEL_SIZES[-1]
    calls = {k: _call(x, grad, k, check=k in ends) for k in KERNEL_SIZES}
    contests.over_kernel_sizes("backward", shape, calls)


@pytest.mark.skipif(len(CPUS) < 2, reason="needs two cores")
@pytest.mark.parametrize("shape", SHAPES, ids=label)
def test_two_cores(shape, quick, contests):
    x, grad = _inputs(shape, quick)
    contests.two_cores("backward", shape, _call(x, grad, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_types_and_layouts(kind, quick, contests):
    x, grad = (as_kind(values, kind) for values in _inputs(BATCH, quick))
    contests.other_kind("backward", BATCH, kind, x, _call(x, grad, 3))


@pytest.mark.parametrize("name", PEERS)
def test_beside_peers(name, quick, contests):
    x, grad = _inputs(BATCH, quick)
    x.requires_grad_()
    peer = peers.find(name)

    def step(function: peers.Peer) -> Tensor:
        return torch.autograd.grad(function(x, 3), x, grad)[0]

    os.sched_setaffinity(0, CPUS)  # a compiler may use every core
    checks.same_gradient(step(peer), step(neurn.neurn))
    use_cores(1)
    contests.beside_peer(
        "forward, backward", BATCH, 3, name, lambda: step(peer), lambda: step(neurn.neurn)
    )
