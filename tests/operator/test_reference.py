"""The references themselves, against exact arithmetic, finite differences and numpy's padding."""

import statistics
from fractions import Fraction

import numpy as np
import pytest
import torch

from . import reference
from .cases import PADDINGS, SCOPES, noise, pairwise, untied

NUMPY_MODES = {
    "reflect": {"mode": "reflect"},
    "replicate": {"mode": "edge"},
    "circular": {"mode": "wrap"},
    "zeros": {"mode": "constant"},
}


@pytest.mark.parametrize("padding", PADDINGS)
def test_sigma_is_the_standard_deviation_of_exact_arithmetic(padding):
    x = noise((1, 5, 6), seed=3, mean=100.0)
    padded = x[0].double().numpy()
    if padding != "valid":
        padded = np.pad(padded, 1, **NUMPY_MODES[padding])
    height, width = padded.shape[0] - 2, padded.shape[1] - 2
    want = [
        [
            statistics.pstdev([Fraction(v) for v in padded[i : i + 3, j : j + 3].ravel()])
            for j in range(width)
        ]
        for i in range(height)
    ]
    want = torch.tensor([want], dtype=torch.float64)
    torch.testing.assert_close(reference.sigma(x, 3, padding), want, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("padding", "scope"), pairwise(PADDINGS, SCOPES))
def test_both_references_agree_and_the_derivatives_are_those_of_finite_differences(padding, scope):
    x = untied((2, 2, 4, 5), 3, padding, scope).requires_grad_()

    def operator(x):
        return reference.differentiable(x, 3, padding, scope, 0.1)

    want = reference.forward(x, 3, padding, scope, 0.1)
    torch.testing.assert_close(operator(x), want, rtol=1e-12, atol=0)
    assert torch.autograd.gradcheck(operator, x)
    assert torch.autograd.gradgradcheck(operator, x, fast_mode=True)


def test_a_constant_is_exactly_zero_and_has_no_gradient():
    x = torch.full((1, 4, 4), 0.1, dtype=torch.float64)
    assert torch.equal(reference.forward(x), torch.zeros_like(x))
    assert torch.equal(reference.gradient(x, torch.ones_like(x)), torch.zeros_like(x))
