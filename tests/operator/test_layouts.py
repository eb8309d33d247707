"""Any strides in, the right answer out."""

import pytest
import torch

from . import reference
from .cases import (
    DTYPES,
    LAYOUTS,
    PADDINGS,
    SCOPES,
    assert_gradient,
    assert_sigma,
    case_id,
    noise,
    untied,
)

op = torch.ops.neurn.forward
stats = torch.ops.neurn.forward_stats
backward = torch.ops.neurn.backward


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
@pytest.mark.parametrize("shape", [(2, 3, 13, 17), (3, 13, 17)], ids=["batch", "image"])
def test_values_and_gradients_do_not_depend_on_strides(device, shape, dtype, layout):
    for scope in SCOPES:
        dense = untied(shape, 3, "reflect", scope, dtype, device)
        x = LAYOUTS[layout](dense).requires_grad_()
        assert torch.equal(x, dense)
        y = op(x, scope=scope)
        plain = op(dense, scope=scope)
        # Half precision may round the other way once in a while.
        rtol = 1e-6 if dtype.itemsize > 2 else torch.finfo(dtype).eps
        torch.testing.assert_close(y, plain, rtol=rtol, atol=1e-6 if dtype.itemsize > 2 else 0)
        assert_sigma(y, reference.forward(dense, scope=scope), factor=2)
        grad = LAYOUTS[layout](noise(y.shape, dtype, device, seed=9))
        (got,) = torch.autograd.grad(y, x, grad)
        assert_gradient(got, reference.gradient(dense, grad, scope=scope))


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
def test_channels_last_in_channels_last_out(device, dtype, padding):
    for channels in (2, 3, 5, 16, 19):
        dense = noise((2, channels, 11, 14), dtype, device, seed=channels)
        x = dense.to(memory_format=torch.channels_last)
        for scope in SCOPES:
            for kernel_size in (3, 7):
                y = op(x, kernel_size, padding, scope)
                assert y.is_contiguous(memory_format=torch.channels_last)
                assert not y.is_contiguous()
                want = op(dense, kernel_size, padding, scope)
                assert want.is_contiguous()
                rtol = 1e-6 if dtype.itemsize > 2 else torch.finfo(dtype).eps
                torch.testing.assert_close(y, want, rtol=rtol, atol=0)


@pytest.mark.parametrize("layout", ["transposed", "permuted", "sliced", "offset"])
def test_other_layouts_give_contiguous_outputs(device, layout):
    for shape in ((2, 3, 8, 9), (3, 8, 9)):
        assert op(LAYOUTS[layout](noise(shape, device=device))).is_contiguous()


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("dim", [0, 1, 2, 3])
def test_expanded_images(device, dim, scope):
    # A grey image shown to a colour model is one plane expanded to three.
    shape = [4, 3, 12, 13]
    shape[dim] = 1
    x = noise(shape, device=device, seed=dim).requires_grad_()
    shape[dim] = 5
    expanded = x.expand(shape)
    assert 0 in expanded.stride()
    y = op(expanded, scope=scope)
    want = reference.forward(expanded.contiguous(), scope=scope)
    assert_sigma(y, want, factor=2)
    # Copies tie, and the first of them takes the part of the maximum.
    grad = noise(y.shape, device=device, seed=9)
    (got,) = torch.autograd.grad(y, x, grad)
    index = stats(expanded, scope=scope)[2]
    first = reference.peak_and_index(reference.sigma(expanded), scope)[1]
    if dim < 2:
        assert torch.equal(index.cpu(), first)
    expected = reference.gradient(expanded, grad, scope=scope, index=index)
    assert_gradient(got, expected.sum(dim, keepdim=True))


def test_a_wholly_expanded_scalar_is_a_constant(device):
    x = torch.tensor(0.1, device=device).expand(2, 3, 9, 9)
    assert not op(x).any()


@pytest.mark.parametrize("x_layout", LAYOUTS)
@pytest.mark.parametrize("grad_layout", LAYOUTS)
def test_backward_takes_each_tensor_in_its_own_layout(device, x_layout, grad_layout):
    dense = untied((2, 3, 9, 11), 5, "replicate", "image", torch.float32, device)
    grad = noise(dense.shape, device=device, seed=9)
    _, peak, index = stats(dense, 5, "replicate")
    got = backward(
        LAYOUTS[grad_layout](grad),
        LAYOUTS[x_layout](dense),
        peak,
        index,
        5,
        "replicate",
        "image",
        0.0,
    )
    assert_gradient(got, reference.gradient(dense, grad, 5, "replicate"))


def test_slices_of_channels_last(device):
    x = noise((2, 6, 14, 15), device=device).to(memory_format=torch.channels_last)
    for view in (x[:, 1:4], x[:, ::2], x[:, :, 2:-1, 3:], x[1:], x[:, :, ::2]):
        assert_sigma(op(view), reference.forward(view), factor=2)
