"""What the operator means, in the slowest and plainest way.

Values come from numpy, in two passes over every patch of the padded image. Derivatives come from
torch's own autograd over gathered patches. The two share nothing with each other beyond the axis
index and nothing at all with the package under test.
"""

import numpy as np
import torch


def axis_index(length, kernel_size, padding):
    """Source index of every position of a padded axis; -1 stands for a padded zero."""
    radius = kernel_size // 2
    if padding == "valid":
        return np.arange(length)
    index = np.arange(-radius, length + radius)
    if padding == "reflect":
        index = np.abs(index)
        return np.where(index >= length, 2 * (length - 1) - index, index)
    if padding == "replicate":
        return np.clip(index, 0, length - 1)
    if padding == "circular":
        return index % length
    if padding == "zeros":
        return np.where((index < 0) | (index >= length), -1, index)
    raise ValueError(padding)


def patch_index(height, width, kernel_size, padding):
    """(H', W', k*k): flat index in the image of every element of every patch, -1 for a zero."""
    rows = axis_index(height, kernel_size, padding)
    columns = axis_index(width, kernel_size, padding)
    flat = rows[:, None] * width + columns
    flat[(rows < 0)[:, None] | (columns < 0)] = -1
    windows = np.lib.stride_tricks.sliding_window_view(flat, (kernel_size, kernel_size))
    return windows.reshape(*windows.shape[:2], -1).copy()


def sigma(x, kernel_size=3, padding="reflect"):
    """Population standard deviation of every patch of a tensor, as a float64 tensor."""
    # float64 images need a reference that is better than float64.
    wide = np.longdouble if x.dtype == torch.float64 else np.float64
    image = x.detach().cpu().double().numpy().astype(wide)
    rows = axis_index(image.shape[-2], kernel_size, padding)
    columns = axis_index(image.shape[-1], kernel_size, padding)
    padded = image[..., rows[:, None], columns]
    padded[..., (rows < 0)[:, None] | (columns < 0)] = 0
    shape = (kernel_size, kernel_size)
    patches = np.lib.stride_tricks.sliding_window_view(padded, shape, axis=(-2, -1))
    deviation = np.empty(patches.shape[:-2])
    with np.errstate(invalid="ignore"):
        for row in range(patches.shape[-4]):  # one row at a time keeps the copies small
            patch = patches[..., row, :, :, :]
            # Taking the centre away first makes the patches of a constant exactly zero.
            centre = patch[..., kernel_size // 2, kernel_size // 2, None, None]
            patch = patch - centre
            patch -= patch.mean(axis=(-2, -1), keepdims=True)
            deviation[..., row, :] = np.sqrt(np.square(patch).mean(axis=(-2, -1)))
    return torch.from_numpy(deviation)


def in_scopes(values, scope):
    """View (N, C, H, W) or (C, H, W) as the statistics' shape plus one flat axis per scope."""
    values = values if values.dim() == 4 else values[None]
    if scope == "image":
        return values.flatten(1)
    if scope == "channel":
        return values.flatten(2)
    if scope == "batch":
        return values.flatten()[None]
    raise ValueError(scope)


def _over_scopes(per_scope, like, scope):
    """Repeat one number per scope over the elements of that scope."""
    return per_scope[..., None].expand(in_scopes(like, scope).shape).reshape(like.shape)


def peak_and_index(deviation, scope):
    """Largest sigma of every scope and its flat index; -1 where a NaN hides it."""
    if scope == "none":
        return torch.zeros(0, dtype=torch.float64), torch.zeros(0, dtype=torch.int64)
    rows = in_scopes(deviation, scope).numpy()
    peak = rows.max(axis=-1)
    index = np.where(np.isnan(peak), -1, rows.argmax(axis=-1))  # numpy takes the first of equals
    return torch.from_numpy(peak), torch.from_numpy(index)


def normalize(deviation, scope, floor=0.0):
    """Divide sigma by its maximum over the scope plus the floor; 0 where the maximum is 0."""
    if scope == "none":
        return deviation
    peak = _over_scopes(peak_and_index(deviation, scope)[0], deviation, scope)
    return torch.where(peak == 0, torch.zeros_like(deviation), deviation / (peak + floor))


def forward(x, kernel_size=3, padding="reflect", scope="image", floor=0.0):
    """The operator's value in float64."""
    return normalize(sigma(x, kernel_size, padding), scope, floor)


def differentiable(x, kernel_size=3, padding="reflect", scope="image", floor=0.0, index=None):
    """The operator on a float64 tensor in operations that autograd knows, to any order.

    `index` names the element that each scope's maximum follows; by default the first largest.
    """
    source = torch.from_numpy(patch_index(*x.shape[-2:], kernel_size, padding))
    pixels = torch.cat([x.flatten(-2), x.new_zeros(*x.shape[:-2], 1)], dim=-1)
    patches = pixels[..., source]  # -1 takes the zero at the end
    variance = (patches - patches.mean(-1, keepdim=True)).square().mean(-1)
    flat = (patches.amax(-1) == patches.amin(-1)).detach()
    deviation = torch.where(flat, 0.0, torch.where(flat, 1.0, variance).sqrt())
    if scope == "none":
        return deviation
    rows = in_scopes(deviation, scope)
    if index is None:
        index = peak_and_index(deviation.detach(), scope)[1]
    peak = rows.gather(-1, index.cpu().clamp(min=0)[..., None])[..., 0]
    peak = torch.where(index.cpu() < 0, torch.nan, peak)
    dark = _over_scopes(peak.detach() == 0, deviation, scope)
    divisor = torch.where(dark, 1.0, _over_scopes(peak + floor, deviation, scope))
    return torch.where(dark, 0.0, deviation / divisor)


def gradient(x, grad, *arguments, index=None, **options):
    """Gradient of <grad, operator(x)> with respect to x, in float64."""
    x = x.detach().cpu().double().requires_grad_()
    y = differentiable(x, *arguments, index=index, **options)
    return torch.autograd.grad(y, x, grad.detach().cpu().double())[0]


def second_gradients(x, grad, direction, *arguments, **options):
    """Gradients of <direction, gradient(x, grad)> with respect to x and to grad, in float64."""
    x = x.detach().cpu().double().requires_grad_()
    grad = grad.detach().cpu().double().requires_grad_()
    y = differentiable(x, *arguments, **options)
    (first,) = torch.autograd.grad(y, x, grad, create_graph=True)
    return torch.autograd.grad(first, (x, grad), direction.detach().cpu().double())


def first_largest_exactly(x, kernel_size, padding, scope):
    """Index of the first largest sigma of an integer-valued image, with no rounding at all."""
    source = torch.from_numpy(patch_index(*x.shape[-2:], kernel_size, padding))
    x = x.detach().cpu().long()
    patches = torch.cat([x.flatten(-2), x.new_zeros(*x.shape[:-2], 1)], dim=-1)[..., source]
    scaled_variance = kernel_size**2 * patches.square().sum(-1) - patches.sum(-1).square()
    return peak_and_index(scaled_variance, scope)[1]
