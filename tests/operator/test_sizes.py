"""Every way an image can be cut into vectors, groups of rows and strips of columns.

Small patches are swept row by row in single precision, the others in transposed tiles. Gradients
are compared with those of the same image in float64, which takes the tiles always.
"""

import pytest
import torch

from . import reference
from .cases import (
    PADDINGS,
    assert_gradient,
    assert_sigma,
    case_id,
    noise,
    output_side,
    smallest_side,
)

op = torch.ops.neurn.forward
stats = torch.ops.neurn.forward_stats
backward = torch.ops.neurn.backward

KERNELS = (3, 5, 7, 9, 11)
# Around one vector (4, 8 or 16 lanes) and two.
WIDTHS = (1, 2, 4, 5, 8, 9, 15, 16, 17, 31, 32, 33, 35, 47, 48, 63, 65, 100)
# Around a strip: 256 columns in tiles, 1024 in rows, fewer with channels side by side.
WIDE = (255, 257, 300, 511, 513, 1023, 1025, 1040, 2050)


def check(x, kernel_size, padding, scope):
    y, peak, index = stats(x, kernel_size, padding, scope, 0.0)
    assert_sigma(y, reference.forward(x, kernel_size, padding, scope), factor=2)
    grad = noise(y.shape, x.dtype, x.device, seed=1)
    got = backward(grad, x, peak, index, kernel_size, padding, scope, 0.0)
    # The same maximum: in float64 another could come out larger by less than single precision sees.
    wide = backward(
        grad.double(), x.double(), peak.double(), index, kernel_size, padding, scope, 0.0
    )
    assert_gradient(got, wide)


@pytest.mark.parametrize("layout", ["planes", "channels last"])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("kernel_size", KERNELS)
def test_every_width(device, kernel_size, padding, layout):
    least = smallest_side(kernel_size, padding)
    for number, width in enumerate(WIDTHS):
        if width < least:
            continue
        height = max(least, 1 + number % 7)
        x = noise((2, 3, height, width), device=device, seed=width, mean=0.5)
        if layout == "channels last":
            x = x.to(memory_format=torch.channels_last)
        outputs = output_side(width, kernel_size, padding) * output_side(
            height, kernel_size, padding
        )
        # Outputs that are all the same, or few, leave a gradient that is nothing but rounding.
        scope = "channel" if number % 2 and width > kernel_size and outputs > 5 else "none"
        check(x, kernel_size, padding, scope)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("kernel_size", KERNELS)
def test_every_height(device, kernel_size, padding):
    for height in range(smallest_side(kernel_size, padding), 41):
        check(noise((1, 2, height, 37), device=device, seed=height), kernel_size, padding, "image")


@pytest.mark.parametrize("kernel_size", KERNELS)
@pytest.mark.parametrize("width", WIDE)
def test_strips_of_columns(device, width, kernel_size):
    for number, padding in enumerate(PADDINGS):
        x = noise((1, 1 + number, 11 + number, width), device=device, seed=number)
        if number % 2:
            x = x.to(memory_format=torch.channels_last)
        check(x, kernel_size, padding, "image")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=case_id)
@pytest.mark.parametrize("kernel_size", KERNELS)
def test_half_precision(device, kernel_size, dtype):
    for number, width in enumerate((17, 33, 64, 300)):
        padding = PADDINGS[number]
        for channels in (1, 3):
            x = noise((2, channels, 13, width), dtype, device, seed=width)
            check(x.to(memory_format=torch.channels_last), kernel_size, padding, "image")


@pytest.mark.parametrize("kernel_size", KERNELS)
def test_a_gradient_of_any_strides(device, kernel_size):
    x = noise((2, 3, 19, 37), device=device)
    y, peak, index = stats(x, kernel_size, "reflect", "image", 0.0)
    dense = noise(y.shape, device=device, seed=2)
    arguments = (x, peak, index, kernel_size, "reflect", "image", 0.0)
    want = backward(dense, *arguments)
    for grad in (
        dense.to(memory_format=torch.channels_last),
        dense.mT.contiguous().mT,
        torch.cat([dense, dense], -1)[..., : y.shape[-1]],
    ):
        torch.testing.assert_close(backward(grad, *arguments), want, rtol=1e-6, atol=1e-6)
    one = torch.ones((), device=device).expand(y.shape)
    torch.testing.assert_close(
        backward(one, *arguments),
        backward(torch.ones_like(y), *arguments),
        rtol=1e-6,
        atol=1e-6,
    )


@pytest.mark.parametrize("width", [40, 32, 27, 16, 13])
@pytest.mark.parametrize("kernel_size", KERNELS)
def test_nan_reaches_its_patches_alone(device, kernel_size, width):
    radius = kernel_size // 2
    for row, column in ((0, 0), (9, width // 2), (3, width - 1), (17, 5)):
        x = noise((1, 1, 18, width), device=device)
        clean = op(x, kernel_size, "zeros", "none")
        x[0, 0, row, column] = float("nan")
        y = op(x, kernel_size, "zeros", "none")
        touched = torch.zeros_like(x, dtype=torch.bool)
        touched[
            0,
            0,
            max(row - radius, 0) : row + radius + 1,
            max(column - radius, 0) : column + radius + 1,
        ] = True
        assert torch.equal(y.isnan(), touched)
        assert torch.equal(y[~touched], clean[~touched])
