"""Accuracy where variance is easily lost: offsets, outliers, constants, ties and extreme scales.

All errors are those of sigma against float64 arithmetic on the very values that the operator got.
"""

import pytest
import torch

from . import reference
from .cases import DTYPES, PADDINGS, SCOPES, assert_gradient, assert_sigma, case_id, noise

op = torch.ops.neurn.forward
stats = torch.ops.neurn.forward_stats


def sigma_of(x, kernel_size=3, padding="reflect"):
    return op(x, kernel_size, padding, "none")


@pytest.mark.parametrize("offset", [0.0, 10.0, 1e3, 1e4, -1e4])
@pytest.mark.parametrize("kernel_size", [3, 9, 31])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=case_id)
def test_an_offset_costs_no_accuracy(device, dtype, kernel_size, offset):
    x = noise((1, 2, 40, 50), dtype, device, mean=offset)
    assert_sigma(sigma_of(x, kernel_size), reference.sigma(x, kernel_size))


@pytest.mark.parametrize("kernel_size", [3, 9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=case_id)
def test_an_offset_of_its_own_in_every_block_costs_no_accuracy(device, dtype, kernel_size):
    # No one shift serves a whole plane, row or tile here.
    blocks = noise((1, 1, 5, 6), torch.float64, seed=1, deviation=1e4)
    offset = blocks.repeat_interleave(16, -2).repeat_interleave(16, -1)
    x = (offset + noise((1, 1, 80, 96), torch.float64)).to(device, dtype)
    assert_sigma(sigma_of(x, kernel_size), reference.sigma(x, kernel_size))


@pytest.mark.parametrize("kernel_size", [3, 5, 9, 15, 31, 63])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=case_id)
def test_one_bright_pixel_blinds_no_patch(device, dtype, kernel_size):
    # Running sums carry the rounding of the bright pixel into every patch that comes after it.
    x = noise((1, 1, 80, 90), dtype, device, seed=4)
    x[0, 0, 11, 13] = 1e4
    assert_sigma(sigma_of(x, kernel_size), reference.sigma(x, kernel_size))


@pytest.mark.parametrize("scale", [1e-25, 1e25, 1e-30, 1e30])
@pytest.mark.parametrize("kernel_size", [3, 31])
def test_extreme_scales_of_float32(device, kernel_size, scale):
    # The squares leave float32's range, sigma and its ratio do not.
    x = noise((1, 2, 33, 35), device=device, deviation=scale)
    sigma = reference.sigma(x, kernel_size)
    assert_sigma(sigma_of(x, kernel_size), sigma)
    for scope in ("image", "channel", "batch"):
        assert_sigma(op(x, kernel_size, scope=scope), reference.normalize(sigma, scope), factor=2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=case_id)
def test_half_precision_is_summed_in_a_wider_type(device, dtype):
    # The sum of one patch passes float16's maximum; its squares pass it at once.
    x = noise((1, 2, 40, 41), dtype, device, mean=2e4, deviation=5e3)
    for kernel_size in (3, 9, 31):
        sigma = reference.sigma(x, kernel_size)
        assert_sigma(sigma_of(x, kernel_size), sigma)
        assert_sigma(op(x, kernel_size), reference.normalize(sigma, "image"))


CONSTANTS = (0.0, 0.1, -1 / 3, 1e-20, 1e30, 255.0, -7.7e4)


@pytest.mark.parametrize("kernel_size", [3, 5, 9, 31])
@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
def test_a_constant_is_exactly_zero_with_no_gradient(device, dtype, kernel_size):
    info = torch.finfo(dtype)
    for value in (*CONSTANTS, info.max, info.min, info.tiny, info.smallest_normal / 2):
        constant = torch.tensor(value, dtype=torch.float64, device=device).to(dtype)
        if not constant.isfinite():
            continue  # the type has no such value
        x = constant.repeat(1, 2, 37, 35).requires_grad_()
        for padding in PADDINGS:
            if padding == "zeros":
                continue  # its border is not constant
            for scope, floor in (("image", 0.0), ("batch", 0.5), ("channel", 0.0), ("none", 0.0)):
                y = op(x, kernel_size, padding, scope, floor)
                assert torch.equal(y, torch.zeros_like(y)), (value, padding, scope)
                (grad,) = torch.autograd.grad(y.sum(), x)
                assert torch.equal(grad, torch.zeros_like(grad)), (value, padding, scope)


def test_a_constant_scope_is_zero_beside_scopes_that_are_not(device):
    x = noise((3, 2, 9, 9), device=device)
    x[1] = 0.1
    x[2, 0] = 0.7
    x.requires_grad_()
    grad = noise(x.shape, device=device, seed=1)
    for scope in SCOPES:
        y = op(x, scope=scope)
        assert not y[1].any() and not y[2, 0].any() and y[0].any() and y[2, 1].any()
        (got,) = torch.autograd.grad(y, x, grad)
        assert not got[1].any() and not got[2, 0].any()
        assert_gradient(got, reference.gradient(x, grad, scope=scope))


@pytest.mark.parametrize("kernel_size", [3, 5, 9, 31])
@pytest.mark.parametrize("value", [0.1, 1e-20, 1e30, 255.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=case_id)
def test_a_constant_region_beside_bright_texture_is_exactly_zero(device, dtype, value, kernel_size):
    x = torch.full((1, 1, 64, 96), value, dtype=dtype, device=device)
    texture = noise((64, 40), dtype, device, deviation=max(1e4, 1e4 * value))
    x[0, 0, :, :40] = texture
    x[0, 0, 50:, 88:] = texture[:14, :8]
    radius = kernel_size // 2
    y = sigma_of(x, kernel_size, "replicate")
    # Above row 50 the right-hand side is constant; the kernel reaches it from column 40 on.
    quiet = y[0, 0, : 50 - radius, 40 + radius :]
    assert quiet.numel() and torch.equal(quiet, torch.zeros_like(quiet))
    assert (y[0, 0, :, : 40 + radius] > 0).all()
    assert_sigma(y, reference.sigma(x, kernel_size, "replicate"))


def test_two_constants_meet_in_a_line(device):
    # Only patches across the step deviate, and by exactly known amounts.
    x = torch.full((1, 1, 12, 20), 0.1, dtype=torch.float64, device=device)
    x[..., 10:] = 1000.1
    step = float(x[0, 0, 0, 10] - x[0, 0, 0, 0])
    want = torch.zeros(12, 20, dtype=torch.float64)
    want[:, 9:11] = step * (2 / 9) ** 0.5
    torch.testing.assert_close(sigma_of(x).cpu()[0, 0], want, rtol=1e-12, atol=0)
    assert torch.equal(op(x).cpu()[0, 0] > 0, want > 0)


@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
def test_the_maximum_is_exactly_one(device, dtype):
    for scope in ("image", "channel", "batch"):
        x = noise((3, 2, 17, 19), dtype, device, mean=5.0)
        rows = reference.in_scopes(op(x, scope=scope), scope)
        assert (rows.amax(-1) == 1).all() and (rows >= 0).all()


# Two spots of height k*k on black: all patches around a spot have the same sigma, with no rounding.
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=case_id)
@pytest.mark.parametrize("scope", ["image", "channel", "batch"])
@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=case_id)
def test_ties_of_spots_go_to_the_first_in_channel_row_column_order(
    device, dtype, kernel_size, scope, layout
):
    x = torch.zeros(2, 3, 40, 43, device=device, dtype=dtype)
    # The first in memory of channels_last is not the first in channel, row, column order.
    x[:, 0, 25, 30] = x[:, 1, 9, 11] = x[:, 1, 9, 30] = x[:, 2, 30, 8] = kernel_size**2
    x = x.to(memory_format=layout)
    index = reference.first_largest_exactly(x, kernel_size, "reflect", scope)
    assert torch.equal(stats(x, kernel_size, "reflect", scope)[2].cpu(), index)
    grad = noise(x.shape, dtype, device)
    y = op(x.requires_grad_(), kernel_size, "reflect", scope)
    (got,) = torch.autograd.grad(y, x, grad)
    want = reference.gradient(x, grad, kernel_size, "reflect", scope, index=index)
    assert_gradient(got, want)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=case_id)
def test_ties_of_equal_planes_go_to_the_first_plane(device, layout, restore_threads):
    plane = noise((1, 1, 61, 67), device=device, seed=5)
    x = plane.repeat(4, 3, 1, 1).contiguous(memory_format=layout)
    best = reference.sigma(plane).argmax().item()
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        assert stats(x, scope="image")[2].tolist() == [best] * 4
        assert stats(x, scope="batch")[2].tolist() == [best]
        assert stats(x, scope="channel")[2].tolist() == [[best] * 3] * 4


def test_ties_of_repeated_rows_go_to_the_first_row(device):
    # Rows far apart: whatever the blocks of a parallel maximum are, they tie with each other.
    x = noise((1, 1, 1, 37), device=device, seed=6).repeat(1, 1, 512, 1)
    assert stats(x, 3, "replicate", "image")[2].item() < 37
