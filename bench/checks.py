"""What is timed is also right: NeuRN against plain torch in float64, peers against NeuRN."""

from __future__ import annotations

import torch
from torch import Tensor

import neurn
from bench import torch_peers

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9, torch.bfloat16: 2e-2}


def forward(x: Tensor, k: int) -> None:
    """The first sample is enough: the tests of the package look closer."""
    y = neurn.neurn(x, k)[:1]
    _close(y, torch_peers.reference(x[:1], k))


def backward(x: Tensor, grad: Tensor, dx: Tensor, k: int) -> None:
    sample = x[:1].detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(torch_peers.reference(sample, k), sample, grad[:1].double())
    _close(dx[:1], expected)


def same(y: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-4)


def same_gradient(dx: Tensor, expected: Tensor) -> None:
    # A peer's gradient carries the rounding of its squares.
    torch.testing.assert_close(dx, expected, rtol=0, atol=1e-3 * expected.abs().max().item())


def _close(value: Tensor, expected: Tensor) -> None:
    largest = expected.abs().max().item()
    tolerance = TOLERANCE[value.dtype] * max(largest, 1e-3)
    torch.testing.assert_close(value.double(), expected, rtol=0, atol=tolerance)
