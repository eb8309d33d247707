"""Inputs, layouts and tolerances that the tests of the operator share."""

import itertools

import torch

import neurn  # noqa: F401, it registers torch.ops.neurn

from . import reference

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
PADDINGS = ("reflect", "replicate", "circular", "zeros", "valid")
SCOPES = ("image", "channel", "batch", "none")
KERNELS = (1, 3, 5, 9, 31)

# Relative error allowed to sigma. Half precision may lose half a unit of the last place in its one
# rounding, and no more than float32 does before it.
SIGMA_RTOL = {
    torch.float64: 1e-11,
    torch.float32: 1e-5,
    torch.bfloat16: torch.finfo(torch.bfloat16).eps / 2 + 2e-5,
    torch.float16: torch.finfo(torch.float16).eps / 2 + 2e-5,
}
# Half a step of float16's subnormals; the other types are kept away from theirs.
SMALLEST_STEP = {torch.float16: 2.0**-25 * 1.01}


def noise(shape, dtype=torch.float32, device="cpu", seed=0, mean=0.0, deviation=1.0):
    """Normal noise, the same on every device."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (mean + deviation * values).to(device=device, dtype=dtype)


def smallest_side(kernel_size, padding):
    """Height and width below which an image is too small."""
    radius = kernel_size // 2
    return {"reflect": radius + 1, "circular": max(radius, 1), "valid": kernel_size}.get(padding, 1)


def output_side(side, kernel_size, padding):
    """Height or width that comes out."""
    return side - kernel_size + 1 if padding == "valid" else side


def peak_gap(x, kernel_size, padding, scope):
    """Smallest relative gap between the largest and second largest sigma of any scope."""
    if scope == "none" or kernel_size == 1:
        return 1.0
    rows = reference.in_scopes(reference.sigma(x, kernel_size, padding), scope)
    if rows.shape[-1] < 2:
        return 1.0
    first, second = rows.topk(2, dim=-1).values.unbind(-1)
    return ((first - second) / first).min().item()


def untied(shape, kernel_size, padding, scope, dtype=torch.float64, device="cpu", gap=3e-4):
    """Noise in which each scope's maximum stands clear, so that the gradient is well defined."""
    for seed in range(300):
        x = noise(shape, dtype, seed=seed)
        if peak_gap(x, kernel_size, padding, scope) > gap:
            return x.to(device)
    raise AssertionError(f"no untied image of shape {shape}, k {kernel_size}, {padding}, {scope}")


def pairwise(*axes):
    """Few tuples in which every pair of values of any two axes occurs."""
    wanted = {
        (i, a, j, b)
        for (i, first), (j, second) in itertools.combinations(enumerate(axes), 2)
        for a in first
        for b in second
    }

    def pairs(case):
        return {(i, a, j, b) for (i, a), (j, b) in itertools.combinations(enumerate(case), 2)}

    cases = []
    while wanted:
        best = max(itertools.product(*axes), key=lambda case: len(pairs(case) & wanted))
        wanted -= pairs(best)
        cases.append(best)
    return cases


def case_id(value):
    """Readable names for parameters."""
    return str(value).removeprefix("torch.")


def _sliced(x):
    # NaN around every pixel: one wrong step shows at once.
    height, width = x.shape[-2:]
    around = x.new_full((*x.shape[:-2], 2 * height + 1, 3 * width + 2), torch.nan)
    view = around[..., 1::2, 2::3]
    return view.copy_(x)


def _offset(x):
    # One element past an aligned address.
    return torch.cat([x.new_full((1,), torch.nan), x.flatten()])[1:].view(x.shape)


def _channels_last(x):
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


LAYOUTS = {
    "contiguous": lambda x: x.contiguous(),
    "channels_last": _channels_last,
    "transposed": lambda x: x.mT.contiguous().mT,
    "permuted": lambda x: x.transpose(0, -1).contiguous().transpose(0, -1),
    "sliced": _sliced,
    "offset": _offset,
}


def assert_sigma(actual, expected, factor=1.0):
    """Compare sigma, or sigma over its maximum (factor 2), with the float64 reference."""
    torch.testing.assert_close(
        actual.detach().cpu().double(),
        expected,
        rtol=factor * SIGMA_RTOL[actual.dtype],
        atol=SMALLEST_STEP.get(actual.dtype, 0.0),
        equal_nan=True,
    )


def assert_gradient(actual, expected, rtol=None):
    """Compare a gradient with the float64 reference.

    A pixel's gradient is a sum of terms of both signs, so its error is judged against the largest
    element of the gradient; half precision adds its one rounding, relative to each element.
    """
    dtype = actual.dtype
    if rtol is None:
        rtol = 1e-10 if dtype == torch.float64 else 1e-5
    largest = expected.abs().max().item() if expected.numel() else 0.0
    rounding = torch.finfo(dtype).eps / 2 if dtype.itemsize == 2 else 0.0
    torch.testing.assert_close(
        actual.detach().cpu().double(),
        expected,
        rtol=rounding + rtol,
        atol=rtol * largest + SMALLEST_STEP.get(dtype, 0.0),
    )
