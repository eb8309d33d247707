"""Real digits, where the checkout has them beside it."""

from pathlib import Path

import numpy as np
import pytest
import torch

import neurn

from . import reference
from .cases import assert_gradient, assert_sigma, noise

DIGITS = Path(__file__).parents[2].parent / "shared" / "data" / "digits" / "mnist.npz"


@pytest.fixture(scope="module")
def digits():
    """Sixty-four MNIST digits as bytes, (64, 1, 28, 28)."""
    if not DIGITS.exists():
        pytest.skip("MNIST is not here: ../shared/data/digits/mnist.npz")
    with np.load(DIGITS) as archive:
        return torch.from_numpy(archive["x_test"][:64])[:, None]


def test_real_digits(device, digits):
    x = (digits.float() / 255).to(device)
    sigma = reference.sigma(x)
    y = neurn.neurn(x)
    assert_sigma(y, reference.normalize(sigma, "image"), factor=2)
    # Digits are mostly black: those patches are exactly zero, and each digit's edge reaches one.
    assert (sigma == 0).double().mean() > 0.3
    assert torch.equal(y.cpu() == 0, sigma == 0)
    assert torch.equal(y.amax((1, 2, 3)), torch.ones(64, device=device))
    for changed in (1 - x, 0.25 * x + 0.5):
        torch.testing.assert_close(neurn.neurn(changed), y, rtol=1e-4, atol=1e-6)
    assert_sigma(neurn.transforms.NeuRN()(digits), reference.forward(digits.float()), factor=2)


def test_gradient_on_real_digits(device, digits):
    x = (digits[:8].float() / 255).to(device).requires_grad_()
    y, _, index = torch.ops.neurn.forward_stats(x)
    grad = noise(x.shape, device=device)
    (got,) = torch.autograd.grad(y, x, grad)
    assert_gradient(got, reference.gradient(x, grad, index=index))
