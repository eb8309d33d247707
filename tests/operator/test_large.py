"""Sizes past 32 bits, past the limits of GPU grids, and far from square."""

import pytest
import torch

from . import reference
from .cases import assert_gradient, assert_sigma, noise

op = torch.ops.neurn.forward
stats = torch.ops.neurn.forward_stats
backward = torch.ops.neurn.backward

FAR = 2**31 + 17
HALF_FAR = 2**30 + 9

# Small images whose elements lie more than 2^31 elements apart, along each axis in turn.
DISTANT = {
    "start": ((2, 2, 7, 9), (126, 63, 9, 1), FAR),
    "samples": ((2, 2, 7, 9), (FAR, 63, 9, 1), 0),
    "channels": ((1, 2, 7, 9), (FAR, FAR, 9, 1), 0),
    "rows": ((1, 1, 3, 9), (1, 1, HALF_FAR, 1), 0),
    "columns": ((1, 1, 9, 3), (1, 1, 1, HALF_FAR), 0),
}


@pytest.fixture(scope="module")
def storage(device):
    """Four gibibytes of float16 of which only touched pages exist."""
    if device.type == "cuda" and torch.cuda.mem_get_info()[0] < 6 * 2**30:
        pytest.skip("less than 6 GiB of GPU memory are free")
    try:
        return torch.empty(FAR + 1000, dtype=torch.float16, device=device)
    except RuntimeError as error:
        pytest.skip(f"4 GiB of address space could not be had: {error}")


@pytest.mark.parametrize("axis", DISTANT)
def test_offsets_past_32_bits(device, storage, axis):
    shape, stride, start = DISTANT[axis]
    dense = noise(shape, torch.float16, device, seed=2)
    x = storage.as_strided(shape, stride, start).copy_(dense)
    for kernel_size, padding in ((3, "reflect"), (5, "replicate")):
        y, peak, index = stats(x, kernel_size, padding)
        assert y.is_contiguous()
        assert_sigma(y, reference.forward(dense, kernel_size, padding))
        grad = noise(shape, torch.float16, device, seed=3)
        arguments = (peak, index, kernel_size, padding, "image", 0.0)
        want = reference.gradient(dense, grad, kernel_size, padding)
        assert_gradient(backward(grad, x, *arguments), want)
    # Now the incoming gradient is the distant one.
    x.copy_(grad)
    assert_gradient(backward(x, dense, *arguments), want)


@pytest.mark.parametrize("shape", [(70_000, 1, 3, 4), (1, 70_000, 4, 3)], ids=str)
def test_more_planes_than_a_grid_has_rows(device, shape):
    x = noise(shape, device=device).requires_grad_()
    sigma = reference.sigma(x)
    for scope in ("image", "channel", "batch", "none"):
        y = op(x, scope=scope)
        assert_sigma(y, reference.normalize(sigma, scope), factor=2)
    grad = noise(shape, device=device, seed=1)
    (got,) = torch.autograd.grad(y, x, grad)
    assert_gradient(got, reference.gradient(x, grad, scope="none"))


@pytest.mark.parametrize(
    ("shape", "kernel_size"),
    [
        ((1, 1, 1031, 769), 5),
        ((2, 3, 224, 224), 3),
        ((1, 1, 3, 20_011), 3),
        ((1, 1, 20_011, 3), 5),
        ((1, 2, 131, 137), 63),
    ],
    ids=str,
)
def test_many_tiles(device, shape, kernel_size):
    x = noise(shape, device=device, mean=0.5, deviation=0.2)
    sigma = reference.sigma(x, kernel_size)
    y, _, index = stats(x, kernel_size, scope="image")
    assert_sigma(y, reference.normalize(sigma, "image"), factor=2)
    assert torch.equal(index.cpu(), reference.peak_and_index(sigma, "image")[1])


@pytest.mark.parametrize("shape", [(1, 1, 257, 263), (1, 1, 2, 5_003), (1, 1, 5_003, 2)], ids=str)
def test_gradients_over_many_tiles(device, shape):
    x = noise(shape, device=device, seed=3).requires_grad_()
    y, _, index = stats(x)
    grad = noise(shape, device=device, seed=1)
    (got,) = torch.autograd.grad(y, x, grad)
    assert_gradient(got, reference.gradient(x, grad, index=index))
