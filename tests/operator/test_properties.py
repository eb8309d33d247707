"""Properties that hold for every image, on images that hypothesis chooses."""

import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st

from . import reference
from .cases import (
    DTYPES,
    LAYOUTS,
    PADDINGS,
    SCOPES,
    assert_gradient,
    assert_sigma,
    noise,
    peak_gap,
    smallest_side,
)

op = torch.ops.neurn.forward

SAME_SIZE = ("reflect", "replicate", "circular", "zeros")
# Padded zeros do not follow when the image is shifted in value.
SHIFTABLE = ("reflect", "replicate", "circular", "valid")


def draw_image(shape, kind, seed):
    """Pictures of kinds that have each broken a variance: float64, on the CPU."""
    x = noise(shape, torch.float64, seed=seed)
    if kind == "offset":
        return x + 300.0
    if kind == "bytes":
        return (x * 60 + 128).clamp(0, 255).round()
    if kind == "sparse":
        return torch.where(x > 1.3, x, 0.0)
    if kind == "blocks":
        # One corner of the noise as constant blocks of eight pixels.
        height, width = shape[-2:]
        corner = x[..., : height // 8 + 1, : width // 8 + 1]
        blocks = corner.repeat_interleave(8, -2).repeat_interleave(8, -1)
        return blocks[..., :height, :width]
    return x


KINDS = ("noise", "offset", "bytes", "sparse", "blocks")


@st.composite
def problems(draw, largest_side=70, most_work=2e7):
    """(image in float64, kernel_size, padding): any size up to `largest_side`, kernel to match."""
    padding = draw(st.sampled_from(PADDINGS))
    height, width = draw(st.tuples(*[st.integers(1, largest_side)] * 2))
    limit = max(
        k for k in range(1, 140, 2) if k == 1 or smallest_side(k, padding) <= min(height, width)
    )
    limit = min(limit, 2 * largest_side - 1)
    kernel_size = draw(st.integers(0, limit // 2)) * 2 + 1
    # The reference costs its pixels times the kernel's: large kernels get few images.
    room = int(most_work // (height * width * kernel_size**2))
    assume(room >= 1)
    channels = draw(st.integers(1, min(4, room)))
    samples = draw(st.integers(1, min(3, room // channels)))
    shape = (samples, channels, height, width)
    kind = draw(st.sampled_from(KINDS))
    return draw_image(shape, kind, draw(st.integers(0, 99))), kernel_size, padding


@given(
    problem=problems(),
    dtype=st.sampled_from(DTYPES),
    scope=st.sampled_from(SCOPES),
    layout=st.sampled_from(sorted(LAYOUTS)),
    floor=st.sampled_from([0.0, 1e-3, 2.0]),
)
def test_any_size_type_layout_and_argument(device, problem, dtype, scope, layout, floor):
    x, kernel_size, padding = problem
    x = LAYOUTS[layout](x.to(device, dtype))
    y = op(x, kernel_size, padding, scope, floor)
    assert y.dtype == dtype
    want = reference.forward(x, kernel_size, padding, scope, floor)
    assert_sigma(y, want, factor=2)
    if scope != "none":
        assert (y >= 0).all() and (y <= 1).all()
        peak, _ = reference.peak_and_index(reference.sigma(x, kernel_size, padding), scope)
        if floor == 0:
            largest = reference.in_scopes(y.cpu(), scope).amax(-1)
            assert torch.equal(largest.double(), (peak > 0).double())


@given(
    problem=problems(largest_side=30, most_work=1e6),
    dtype=st.sampled_from(DTYPES),
    scope=st.sampled_from(SCOPES),
    layout=st.sampled_from(sorted(LAYOUTS)),
)
def test_gradient_of_any_size_type_and_layout(device, problem, dtype, scope, layout):
    x, kernel_size, padding = problem
    x = x.to(dtype)
    # Where two patches tie up to rounding, the gradient is a matter of rounding.
    assume(peak_gap(x, kernel_size, padding, scope) > 1e-4)
    x = LAYOUTS[layout](x.to(device)).requires_grad_()
    y = op(x, kernel_size, padding, scope)
    grad = noise(y.shape, dtype, device, seed=1)
    (got,) = torch.autograd.grad(y, x, grad)
    assert_gradient(got, reference.gradient(x, grad, kernel_size, padding, scope))


@given(
    problem=problems(largest_side=24, most_work=1e6),
    scope=st.sampled_from(["image", "channel", "batch"]),
    gain=st.floats(1e-3, 1e3),
    negative=st.booleans(),
    offset=st.floats(-1e2, 1e2),
)
def test_brightness_contrast_and_polarity_vanish(device, problem, scope, gain, negative, offset):
    x, kernel_size, padding = problem
    # Rounding of gain * x + offset turns an exact constant into noise; only the scale matters then.
    sigma = reference.sigma(x, kernel_size, padding)
    assume(not (sigma == 0).any() and gain * sigma.min() > 1e-6 * abs(offset))
    if padding not in SHIFTABLE:
        offset = 0.0
    x = x.to(device)
    changed = (-gain if negative else gain) * x + offset
    want = op(x, kernel_size, padding, scope)
    got = op(changed, kernel_size, padding, scope)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-9)


@given(
    problem=problems(largest_side=24, most_work=1e6),
    scope=st.sampled_from(SCOPES),
    power=st.integers(-20, 20),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_a_power_of_two_scales_the_floor_with_the_image(device, problem, scope, power, dtype):
    x, kernel_size, padding = problem
    x = x.to(device, dtype)
    factor = 2.0**power
    want = op(x, kernel_size, padding, scope, 0.5)
    got = op(-factor * x, kernel_size, padding, scope, 0.5 * factor)
    if scope == "none":
        got = got / factor
    torch.testing.assert_close(got, want, rtol=1e-6, atol=0)


@given(problem=problems(largest_side=24, most_work=1e6), scope=st.sampled_from(SCOPES))
def test_order_of_samples_and_of_channels_does_not_matter(device, problem, scope):
    x, kernel_size, padding = problem
    x = x.to(device, torch.float32)
    y = op(x, kernel_size, padding, scope)
    for dim in (0, 1):
        order = torch.randperm(x.shape[dim], generator=torch.Generator().manual_seed(1)).to(device)
        got = op(x.index_select(dim, order), kernel_size, padding, scope)
        torch.testing.assert_close(got, y.index_select(dim, order), rtol=1e-6, atol=0)


@given(problem=problems(largest_side=24, most_work=1e6), scope=st.sampled_from(SCOPES))
def test_a_sample_is_alone_in_its_batch(device, problem, scope):
    x, kernel_size, padding = problem
    x = x.to(device, torch.float32)
    y = op(x, kernel_size, padding, scope)
    if scope == "batch":
        together = reference.in_scopes(op(x, kernel_size, padding, "none"), "batch").amax()
        y = y * together
        scope = "none"
    for sample, want in zip(x, y, strict=True):
        got = op(sample, kernel_size, padding, scope)
        torch.testing.assert_close(got, want, rtol=1e-6, atol=0)


@given(problem=problems(largest_side=24, most_work=1e6))
def test_scopes_agree_where_they_are_the_same_thing(device, problem):
    x, kernel_size, padding = problem
    x = x.to(device, torch.float32)
    one_channel, one_sample = x[:, :1], x[:1]
    for first, second, image in (
        ("channel", "image", one_channel),
        ("image", "batch", one_sample),
        ("channel", "batch", x[:1, :1]),
    ):
        got = op(image, kernel_size, padding, first, 0.1)
        want = op(image, kernel_size, padding, second, 0.1)
        torch.testing.assert_close(got, want, rtol=1e-6, atol=0)
    sigma = op(x, kernel_size, padding, "none")
    for scope in ("image", "channel", "batch"):
        want = reference.normalize(sigma.cpu().double(), scope, 0.1)
        got = op(x, kernel_size, padding, scope, 0.1)
        torch.testing.assert_close(got.cpu().double(), want, rtol=1e-6, atol=0)


@given(problem=problems(largest_side=24, most_work=1e6), scope=st.sampled_from(SCOPES))
def test_mirrors_and_quarter_turns_commute(device, problem, scope):
    x, kernel_size, padding = problem
    x = x.to(device)
    y = op(x, kernel_size, padding, scope)
    for turn in (
        lambda t: t.flip(-1),
        lambda t: t.flip(-2),
        lambda t: t.mT,
        lambda t: t.rot90(1, (-2, -1)),
    ):
        got = op(turn(x), kernel_size, padding, scope)
        torch.testing.assert_close(got, turn(y), rtol=1e-9, atol=0)


@given(
    problem=problems(largest_side=24, most_work=1e6),
    scope=st.sampled_from(SCOPES),
    shift=st.tuples(st.integers(-30, 30), st.integers(-30, 30)),
)
def test_circular_padding_knows_no_place(device, problem, scope, shift):
    x, kernel_size, _ = problem
    assume(min(x.shape[-2:]) >= smallest_side(kernel_size, "circular"))
    x = x.to(device)
    got = op(x.roll(shift, (-2, -1)), kernel_size, "circular", scope)
    want = op(x, kernel_size, "circular", scope).roll(shift, (-2, -1))
    torch.testing.assert_close(got, want, rtol=1e-9, atol=0)


@given(problem=problems(largest_side=24, most_work=1e6), padding=st.sampled_from(SAME_SIZE))
def test_valid_is_the_inside_of_every_padding(device, problem, padding):
    x, kernel_size, _ = problem
    assume(min(x.shape[-2:]) >= kernel_size)
    x = x.to(device)
    radius = kernel_size // 2
    inside = op(x, kernel_size, padding, "none")
    inside = inside[..., radius : x.shape[-2] - radius, radius : x.shape[-1] - radius]
    got = op(x, kernel_size, "valid", "none")
    torch.testing.assert_close(got, inside, rtol=1e-9, atol=0)


@given(
    problem=problems(largest_side=24, most_work=1e6),
    scope=st.sampled_from(["image", "channel", "batch"]),
)
@example(problem=(draw_image((2, 2, 9, 9), "noise", 0), 3, "reflect"), scope="image")
def test_the_gradient_is_blind_to_scale_and_to_offset(device, problem, scope):
    # y(a x + b) = y(x): so the gradient is orthogonal to the image and sums to zero.
    x, kernel_size, padding = problem
    x = x.to(device).requires_grad_()
    y, peak, _ = torch.ops.neurn.forward_stats(x, kernel_size, padding, scope)
    weight = noise(y.shape, torch.float64, device, seed=1)
    (grad,) = torch.autograd.grad(y, x, weight)
    # A lone patch has no gradient but rounding: judge by what the sum is made of.
    size = grad.abs().sum() + weight.abs().sum() / peak[peak > 0].min() if peak.any() else 0.0
    x = x.detach()
    assert abs((grad * x).sum()) <= 1e-12 * size * (1 + x.abs().max())
    if padding in SHIFTABLE:
        assert grad.sum((-2, -1)).abs().max() <= 1e-12 * size


@pytest.mark.parametrize("padding", PADDINGS)
def test_sizes_around_every_vector_and_tile(device, padding):
    # Each width from 1 on, so that no tail of a vectorized or tiled loop is left out.
    for width in range(1, 71):
        height = 71 - width
        if min(width, height) < smallest_side(3, padding):
            continue
        x = noise((1, 2, height, width), device=device, seed=width)
        assert_sigma(op(x, 3, padding, "none"), reference.sigma(x, 3, padding))
