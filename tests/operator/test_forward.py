"""Values of the operator and of its statistics against the reference."""

import math

import pytest
import torch

import neurn

from . import reference
from .cases import (
    DTYPES,
    KERNELS,
    PADDINGS,
    SCOPES,
    assert_sigma,
    case_id,
    noise,
    output_side,
    smallest_side,
)

op = torch.ops.neurn.forward
stats = torch.ops.neurn.forward_stats


def test_schema_is_the_documented_one():
    assert str(torch.ops.neurn.forward.default._schema) == (
        'neurn::forward(Tensor x, int kernel_size=3, str padding="reflect", str scope="image", '
        "float floor=0.) -> Tensor"
    )


@pytest.mark.parametrize(
    ("padding", "kernel_size", "image", "want"),
    [
        # Every row is the same, so a patch has the deviation of its row.
        ("reflect", 5, [[0, 3, 9]] * 3, math.sqrt(12.96)),  # 9 3 0 3 9
        ("replicate", 5, [[0, 3, 9]] * 3, math.sqrt(12.24)),  # 0 0 0 3 9
        ("circular", 3, [[0, 3, 9]] * 3, math.sqrt(14)),  # 9 0 3
        ("zeros", 3, [[9]], math.sqrt(8)),  # one 9 among eight zeros
        ("valid", 3, [[0, 0, 0], [0, 9, 0], [0, 0, 0]], math.sqrt(8)),
    ],
)
def test_first_pixel_by_hand(device, padding, kernel_size, image, want):
    x = torch.tensor([image], dtype=torch.float64, device=device)
    assert op(x, kernel_size, padding, "none")[0, 0, 0].item() == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("kernel_size", KERNELS)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
def test_matches_the_reference(device, dtype, padding, kernel_size):
    height, width = (33, 37) if padding == "valid" and kernel_size == 31 else (19, 23)
    x = noise((2, 3, height, width), dtype, device, seed=kernel_size, mean=0.7, deviation=0.3)
    x[:, 1] *= 3  # maxima of channels and of samples differ
    x[1] *= 5
    sigma = reference.sigma(x, kernel_size, padding)
    for scope in SCOPES:
        for floor in (0.0, 0.25):
            y = op(x, kernel_size, padding, scope, floor)
            assert y.dtype == dtype and y.device == x.device and y.is_contiguous()
            assert_sigma(y, reference.normalize(sigma, scope, floor), factor=2)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
def test_statistics_name_the_maximum_and_its_place(device, dtype, scope):
    x = noise((3, 2, 9, 11), dtype, device, seed=1)
    for image, samples in ((x, 3), (x[2], 1)):
        y, peak, index = stats(image, 5, "valid", scope, 0.5)
        sigma = reference.sigma(image, 5, "valid")
        want_peak, want_index = reference.peak_and_index(sigma, scope)
        shape = {"image": (samples,), "channel": (samples, 2), "batch": (1,), "none": (0,)}[scope]
        assert peak.shape == index.shape == shape
        assert peak.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert index.dtype == torch.int64
        assert torch.equal(index.cpu(), want_index)
        torch.testing.assert_close(peak.cpu().double(), want_peak, rtol=1e-5, atol=0)
        assert torch.equal(y, op(image, 5, "valid", scope, 0.5))
        assert y.shape == (*image.shape[:-2], 5, 7)


@pytest.mark.parametrize("scope", SCOPES)
def test_one_image_is_a_batch_of_one(device, scope):
    x = noise((3, 12, 13), device=device)
    assert torch.equal(op(x, scope=scope), op(x[None], scope=scope)[0])


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
def test_a_kernel_of_one_gives_zeros(device, dtype, scope):
    x = noise((2, 2, 4, 5), dtype, device, mean=3.0)
    for padding in PADDINGS:
        assert torch.equal(op(x, 1, padding, scope), torch.zeros_like(x))


def test_without_a_scope_there_is_no_divisor_and_so_no_floor(device):
    x = noise((1, 2, 8, 8), device=device)
    assert torch.equal(op(x, 3, "reflect", "none", 7.0), op(x, 3, "reflect", "none", 0.0))


@pytest.mark.parametrize("kernel_size", [3, 9, 31, 63])
@pytest.mark.parametrize("padding", PADDINGS)
def test_the_smallest_images_that_the_padding_allows(device, padding, kernel_size):
    side = smallest_side(kernel_size, padding)
    for height, width in ((side, side), (side, side + 3), (side + 2, side)):
        x = noise((2, 1, height, width), device=device, seed=height)
        y = op(x, kernel_size, padding, "none")
        assert y.shape[-2:] == (
            output_side(height, kernel_size, padding),
            output_side(width, kernel_size, padding),
        )
        assert_sigma(y, reference.sigma(x, kernel_size, padding))


def test_neither_reads_back_nor_writes_its_input(device):
    for scope in SCOPES:
        for kernel_size in (1, 3):
            x = noise((1, 2, 6, 7), device=device)
            before = x.clone()
            y = op(x, kernel_size, scope=scope)
            assert y.data_ptr() != x.data_ptr()
            y.fill_(9.0)
            assert torch.equal(x, before)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("shape", [(0, 3, 8, 9), (2, 0, 8, 9), (0, 8, 9)], ids=str)
def test_an_empty_batch_stays_empty(device, shape, scope):
    for padding in PADDINGS:
        x = torch.empty(shape, device=device, requires_grad=True)
        y = op(x, 3, padding, scope)
        assert y.shape == (*shape[:-2], output_side(8, 3, padding), output_side(9, 3, padding))
        (grad,) = torch.autograd.grad(y.sum(), x)
        assert grad.shape == shape


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
def test_nan_and_infinity_spoil_their_scope_and_nothing_else(device, dtype, scope, bad):
    clean = noise((2, 2, 40, 41), dtype, device, seed=2)
    x = clean.clone()
    x[1, 0, 17, 20] = bad
    y, peak, index = stats(x, 5, "reflect", scope)
    touched = torch.zeros(x.shape, dtype=torch.bool, device=device)
    if scope == "none":
        touched[1, 0, 15:20, 18:23] = True
    else:
        touched[{"image": 1, "channel": (1, 0), "batch": slice(None)}[scope]] = True
        spoiled = reference.in_scopes(touched, scope).any(-1)
        assert torch.equal(index == -1, spoiled)
        assert torch.equal(peak.isnan(), spoiled)
    assert torch.equal(y.isnan(), touched)
    # A NaN may send its row down a slower path, so the neighbours agree up to rounding.
    rtol = torch.finfo(dtype).eps if dtype.itemsize == 2 else 1e-6
    want = op(clean, 5, "reflect", scope)[~touched]
    torch.testing.assert_close(y[~touched], want, rtol=rtol, atol=0)


def test_every_position_of_a_nan_is_seen(device):
    # Blocked and vectorized loops lose a NaN in a tail or at a seam.
    count = 13 * 37
    x = noise((1, 13, 37), device=device).repeat(count, 1, 1, 1)
    x.view(count, count)[range(count), range(count)] = torch.nan
    assert op(x).isnan().all()
    assert (stats(x)[2] == -1).all()
    sigma = op(x, scope="none").isnan()
    assert torch.equal(sigma.cpu(), reference.sigma(x).isnan())


def test_functional_form_is_the_operator(device):
    x = noise((2, 3, 8, 9), device=device)
    assert torch.equal(neurn.neurn(x), op(x))
    got = neurn.neurn(x, kernel_size=5, padding="zeros", scope="channel", floor=0.5)
    assert torch.equal(got, op(x, 5, "zeros", "channel", 0.5))
