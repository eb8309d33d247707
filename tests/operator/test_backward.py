"""Gradients of first and second order."""

import itertools
import math

import pytest
import torch

from . import reference
from .cases import (
    DTYPES,
    KERNELS,
    PADDINGS,
    SCOPES,
    assert_gradient,
    case_id,
    noise,
    pairwise,
    smallest_side,
    untied,
)

op = torch.ops.neurn.forward
stats = torch.ops.neurn.forward_stats
backward = torch.ops.neurn.backward


def small_shape(kernel_size, padding):
    """An oblong image as small as the kernel leaves it interesting, and its maximum unique."""
    if padding == "zeros":
        # Patches that hold the whole image would tie.
        return 1 if kernel_size > 9 else 2, 2, max(kernel_size + 1, 4), max(kernel_size + 2, 5)
    if padding == "circular" and kernel_size > 3:
        # So would windows of just the image's size.
        return 2, 2, kernel_size // 2 + 1, kernel_size // 2 + 2
    least = smallest_side(kernel_size, padding)
    return 2, 2, max(least + 1, 4), max(least + 2, 5)


def medium_shape(kernel_size, padding):
    """The same with room for an interior."""
    large = kernel_size == 31 and padding in ("valid", "zeros")
    return (2, 2, 33, 37) if large else (2, 2, 19, 23)


@pytest.mark.parametrize("kernel_size", KERNELS)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
def test_matches_the_reference(device, dtype, padding, kernel_size):
    shape = medium_shape(kernel_size, padding)
    for scope, floor in itertools.product(SCOPES, (0.0, 0.25)):
        x = untied(shape, kernel_size, padding, scope, dtype, device)
        x.requires_grad_()
        y = op(x, kernel_size, padding, scope, floor)
        grad = noise(y.shape, dtype, device, seed=9)
        (got,) = torch.autograd.grad(y, x, grad)
        assert got.dtype == dtype and got.shape == x.shape
        assert_gradient(got, reference.gradient(x, grad, kernel_size, padding, scope, floor))


@pytest.mark.parametrize("kernel_size", KERNELS)
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("padding", PADDINGS)
def test_gradcheck(device, padding, scope, kernel_size):
    shape = small_shape(kernel_size, padding)
    x = untied(shape, kernel_size, padding, scope, device=device).requires_grad_()
    for floor in (0.0, 0.3):
        assert torch.autograd.gradcheck(
            lambda x, floor=floor: op(x, kernel_size, padding, scope, floor),
            x,
            eps=1e-7,
            # Every entry of the Jacobian where that is cheap, a random projection elsewhere.
            fast_mode=x.numel() > 100,
        )


@pytest.mark.parametrize(
    ("kernel_size", "padding", "scope", "floor"),
    pairwise(KERNELS, PADDINGS, SCOPES, (0.0, 0.3)),
    ids=case_id,
)
def test_gradgradcheck(device, kernel_size, padding, scope, floor):
    shape = small_shape(kernel_size, padding)
    x = untied(shape, kernel_size, padding, scope, device=device).requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda x: op(x, kernel_size, padding, scope, floor),
        x,
        eps=1e-7,
        fast_mode=x.numel() > 100,
    )


@pytest.mark.parametrize(
    ("dtype", "padding", "scope"),
    pairwise((torch.float32, torch.float64), PADDINGS, SCOPES),
    ids=case_id,
)
def test_double_backward_matches_the_reference(device, dtype, padding, scope):
    for kernel_size in (3, 7):
        arguments = (kernel_size, padding, scope, 0.1)
        x = untied((2, 2, 11, 13), *arguments[:3], dtype, device).requires_grad_()
        y = op(x, *arguments)
        grad = noise(y.shape, dtype, device, seed=7).requires_grad_()
        direction = noise(x.shape, dtype, device, seed=8)
        (first,) = torch.autograd.grad(y, x, grad, create_graph=True)
        got = torch.autograd.grad(first, (x, grad), direction)
        want = reference.second_gradients(x, grad, direction, *arguments)
        for actual, expected in zip(got, want, strict=True):
            assert actual.dtype == dtype
            assert_gradient(actual, expected, rtol=1e-4 if dtype == torch.float32 else 1e-9)


def test_double_backward_beside_constant_patches(device):
    x = untied((1, 2, 12, 14), 3, "reflect", "image", device=device)
    x[..., :6] = 0.1
    x[0, 1] = 2.0
    x.requires_grad_()
    grad = noise(x.shape, torch.float64, device, seed=7).requires_grad_()
    direction = noise(x.shape, torch.float64, device, seed=8)
    (first,) = torch.autograd.grad(op(x), x, grad, create_graph=True)
    got = torch.autograd.grad(first, (x, grad), direction)
    want = reference.second_gradients(x, grad, direction)
    for actual, expected in zip(got, want, strict=True):
        assert_gradient(actual, expected)
        assert not actual[0, 1].any()


def test_double_backward_of_a_constant_is_zero(device):
    x = torch.full((1, 2, 6, 6), 0.1, device=device, requires_grad=True)
    grad = torch.ones_like(x, requires_grad=True)
    (first,) = torch.autograd.grad(op(x), x, grad, create_graph=True)
    for second in torch.autograd.grad(first, (x, grad), torch.ones_like(x)):
        assert torch.equal(second, torch.zeros_like(x))


def test_a_gradient_penalty_trains(device):
    # The usual way to a second derivative: a loss made of the gradient's norm.
    def penalty(operator, x):
        (grad,) = torch.autograd.grad(operator(x).square().sum(), x, create_graph=True)
        return torch.autograd.grad(grad.square().sum(), x)[0]

    x = untied((2, 2, 9, 9), 3, "reflect", "image")
    want = penalty(reference.differentiable, x.clone().requires_grad_())
    got = penalty(op, x.to(device).requires_grad_())
    assert_gradient(got, want, rtol=1e-9)


def test_only_the_gradient_that_is_asked_for(device):
    x = untied((1, 1, 8, 9), 3, "reflect", "image", device=device)
    y, peak, index = stats(x)
    rest = (peak, index, 3, "reflect", "image", 0.0)
    grad = noise(y.shape, torch.float64, device, seed=7)
    direction = noise(x.shape, torch.float64, device, seed=8)
    want_x, want_grad = reference.second_gradients(x, grad, direction)
    asked = grad.clone().requires_grad_()
    (got,) = torch.autograd.grad(backward(asked, x, *rest), asked, direction)
    assert_gradient(got, want_grad)
    asked = x.clone().requires_grad_()
    (got,) = torch.autograd.grad(backward(grad, asked, *rest), asked, direction)
    assert_gradient(got, want_x)


def test_a_lone_patch_is_its_own_maximum(device):
    # y = sigma / sigma: the part through the maximum cancels the direct part.
    x = noise((1, 1, 5, 5), torch.float64, device).requires_grad_()
    (grad,) = torch.autograd.grad(op(x, 5, "valid").sum(), x)
    assert grad.abs().max() < 1e-15
    (grad,) = torch.autograd.grad(op(x, 5, "valid", "image", 0.5).sum(), x)
    assert grad.abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=case_id)
@pytest.mark.parametrize("kernel_size", [3, 9])
def test_an_offset_costs_no_accuracy(device, kernel_size, dtype):
    x = untied((1, 2, 30, 31), kernel_size, "reflect", "image", torch.float32) + 1e3
    x = x.to(device, dtype).requires_grad_()
    grad = noise(x.shape, dtype, device, seed=9)
    (got,) = torch.autograd.grad(op(x, kernel_size), x, grad)
    assert_gradient(got, reference.gradient(x, grad, kernel_size))


@pytest.mark.parametrize("kernel_size", [3, 9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=case_id)
def test_one_bright_pixel_blinds_no_gradient(device, dtype, kernel_size):
    # Scope none: the gradient of a quiet pixel must be right on its own scale.
    x = noise((1, 1, 60, 70), dtype, device, seed=4)
    x[0, 0, 31, 33] = 1e4
    grad = noise(x.shape, dtype, device, seed=9)
    want = reference.gradient(x, grad, kernel_size, "reflect", "none")
    (got,) = torch.autograd.grad(op(x.requires_grad_(), kernel_size, scope="none"), x, grad)
    assert_gradient(got, want)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("power", [-80, 80])
def test_extreme_scales_of_float32(device, power, scope):
    # y does not change with the scale of x, so its gradient changes inversely; sigma's does not.
    x = untied((1, 2, 20, 21), 3, "reflect", scope, torch.float32, device)
    grad = noise(x.shape, device=device, seed=9)
    scaled = (x * 2.0**power).requires_grad_()
    (got,) = torch.autograd.grad(op(scaled, scope=scope), scaled, grad)
    back = got.double() * (1.0 if scope == "none" else 2.0**power)
    assert_gradient(back, reference.gradient(x, grad, scope=scope), rtol=1e-5)


def test_piecewise_constant_images(device):
    # Digits on black: most patches are constant and must add exactly nothing.
    x = torch.zeros(1, 2, 24, 25, device=device)
    x[0, 0, 6:12, 7:13] = 0.1
    x[0, 1, 4:9, 3:10] = noise((5, 7), device=device, mean=0.5, deviation=0.1)
    grad = noise(x.shape, device=device, seed=3)
    for scope in ("batch", "none"):
        want = reference.gradient(x, grad, 3, "zeros", scope)
        (got,) = torch.autograd.grad(op(x.requires_grad_(), 3, "zeros", scope), x, grad)
        x = x.detach()
        assert_gradient(got, want)
        assert torch.equal(got.cpu() == 0, want == 0)


@pytest.mark.parametrize("padding", ["reflect", "replicate", "zeros", "valid"])
@pytest.mark.parametrize("width", [32, 27, 16, 13])
@pytest.mark.parametrize("kernel_size", [3, 5, 7])
def test_nan_reaches_the_pixels_of_its_patches_alone(device, kernel_size, width, padding):
    reach = kernel_size - 1  # of a patch that holds it, the pixel furthest away
    x = noise((1, 1, 18, width), device=device)
    grad = noise(op(x, kernel_size, padding, "none").shape, device=device, seed=9)
    for row, column in ((0, 0), (9, width // 2), (3, width - 1), (17, 5)):
        clean = x.clone().requires_grad_()
        (want,) = torch.autograd.grad(op(clean, kernel_size, padding, "none"), clean, grad)
        spoiled = x.clone()
        spoiled[0, 0, row, column] = math.nan
        spoiled.requires_grad_()
        (got,) = torch.autograd.grad(op(spoiled, kernel_size, padding, "none"), spoiled, grad)
        touched = torch.zeros(x.shape, dtype=torch.bool, device=device)
        touched[
            0,
            0,
            max(row - reach, 0) : row + reach + 1,
            max(column - reach, 0) : column + reach + 1,
        ] = True
        assert not (got.isnan() & ~touched).any()
        assert got[0, 0, row, column].isnan()
        torch.testing.assert_close(got[~touched], want[~touched], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_reaches_the_gradient_of_its_scope_and_no_other(device, bad, scope):
    clean = noise((2, 2, 20, 21), device=device)
    x = clean.clone()
    x[1, 0, 9, 10] = bad
    grad = noise(x.shape, device=device, seed=9)
    (got,) = torch.autograd.grad(op(x.requires_grad_(), scope=scope), x, grad)
    touched = torch.zeros(x.shape, dtype=torch.bool, device=device)
    if scope == "none":
        touched[1, 0, 7:12, 8:13] = True  # every pixel of every patch that holds it
    else:
        touched[{"image": 1, "channel": (1, 0), "batch": slice(None)}[scope]] = True
    assert torch.equal(got.isnan(), touched)
    assert_gradient(
        got.masked_fill(touched, 0),
        reference.gradient(clean, grad, scope=scope).masked_fill(touched.cpu(), 0),
    )


@pytest.mark.parametrize("scope", SCOPES)
def test_any_strides_of_the_incoming_gradient(device, scope):
    x = untied((2, 3, 9, 11), 3, "reflect", scope, torch.float32, device).requires_grad_()
    y = op(x, scope=scope)
    one = torch.tensor(0.75, device=device)
    dense = noise(y.shape, device=device, seed=9)
    for grad in (
        one.expand(y.shape),  # what y.sum() sends
        dense[:, :1].expand(y.shape),
        dense[..., :1].expand(y.shape),
        dense.mT.contiguous().mT,
        dense.to(memory_format=torch.channels_last),
        torch.stack([dense, dense * torch.nan], dim=-1)[..., 0],
    ):
        (got,) = torch.autograd.grad(y, x, grad, retain_graph=True)
        (want,) = torch.autograd.grad(y, x, grad.contiguous(), retain_graph=True)
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)
        assert_gradient(got, reference.gradient(x, grad, scope=scope))


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=case_id)
@pytest.mark.parametrize(
    "shape",
    [(5, 3, 65, 67), (1, 1, 411, 307), (70, 1, 9, 9), (3, 1, 203, 29)],
    ids=["planes", "plane", "batch", "short rows"],
)
def test_bit_for_bit_the_same_for_any_number_of_threads(
    device, shape, dtype, scope, restore_threads
):
    x = noise(shape, dtype, device, seed=5).requires_grad_()
    grad = noise(shape, dtype, device, seed=6).requires_grad_()
    direction = noise(shape, dtype, device, seed=7)
    for kernel_size in (3, 9):
        results = []
        for threads in (1, 2, 3, 2):
            torch.set_num_threads(threads)
            y, peak, index = stats(x, kernel_size, scope=scope)
            (first,) = torch.autograd.grad(y, x, grad, create_graph=True)
            second = torch.autograd.grad(first, (x, grad), direction)
            results.append((y, peak, index, first, *second))
        for other in results[1:]:
            assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_deterministic_algorithms_are_no_obstacle(device):
    x = noise((2, 3, 16, 16), device=device).requires_grad_()
    enabled = torch.are_deterministic_algorithms_enabled()
    try:
        torch.use_deterministic_algorithms(True)
        (first,) = torch.autograd.grad(op(x).square().sum(), x)
    finally:
        torch.use_deterministic_algorithms(enabled)
    assert torch.equal(first, torch.autograd.grad(op(x).square().sum(), x)[0])


def test_the_saved_image_is_guarded_against_changes_in_place(device):
    x = noise((1, 1, 8, 8), device=device).requires_grad_()
    image = x * 1.0
    y = op(image)
    image.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("wrong", ["grad", "peak", "index", "peak dtype", "index dtype"])
def test_tensors_that_do_not_belong_together_are_refused(device, wrong):
    # Reachable as torch.ops.neurn.backward: memory must be safe from a wrong call.
    x = noise((2, 3, 8, 9), device=device)
    y, peak, index = stats(x)
    tensors = {"grad": torch.ones_like(y), "peak": peak, "index": index}
    if wrong == "peak dtype":
        tensors["peak"] = peak.to(torch.int8)
    elif wrong == "index dtype":
        tensors["index"] = index.to(torch.int8)
    else:
        tensors[wrong] = tensors[wrong][:1]
    with pytest.raises(RuntimeError):
        backward(tensors["grad"], x, tensors["peak"], tensors["index"], 3, "reflect", "image", 0.0)


def test_the_smallest_images_and_kernels_larger_than_the_image(device):
    for kernel_size, padding in itertools.product((3, 9, 31), PADDINGS):
        side = smallest_side(kernel_size, padding)
        for height, width in ((side, side), (side, side + 1), (side + 2, side)):
            x = noise((2, 1, height, width), torch.float64, device).requires_grad_()
            y = op(x, kernel_size, padding, "none")
            grad = noise(y.shape, torch.float64, device, seed=1)
            (got,) = torch.autograd.grad(y, x, grad)
            assert_gradient(got, reference.gradient(x, grad, kernel_size, padding, "none"))
