"""The operator inside torch: opcheck, compile, export, functional transforms, autocast."""

import io
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.export import Dim

import neurn

from . import reference
from .cases import (
    DTYPES,
    KERNELS,
    PADDINGS,
    SCOPES,
    assert_gradient,
    assert_sigma,
    case_id,
    noise,
    pairwise,
    smallest_side,
    untied,
)

op = torch.ops.neurn.forward
stats = torch.ops.neurn.forward_stats
backward = torch.ops.neurn.backward


@pytest.fixture
def fresh_dynamo():
    """No compiled code of another test."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def opcheck_tolerance(dtype):
    # Eager and traced double backward round differently; half precision does so visibly.
    return {"rtol": 2e-2, "atol": 2e-2} if dtype.itemsize == 2 else {}


def opcheck_all(x, arguments):
    """Every check of opcheck on the operator and on both of its parts."""
    tolerance = opcheck_tolerance(x.dtype)
    y, peak, index = stats(x.detach(), *arguments)
    grad = torch.empty_like(y).copy_(noise(y.shape, x.dtype, x.device, seed=3)).requires_grad_()
    for operator, inputs in (
        (op, (x, *arguments)),
        (stats, (x, *arguments)),
        (backward, (grad, x, peak, index, *arguments)),
    ):
        checks = torch.library.opcheck(operator.default, inputs, **tolerance)
        assert set(checks.values()) == {"SUCCESS"} and len(checks) == 4, checks


@pytest.mark.parametrize(
    ("dtype", "padding", "scope", "kernel_size"),
    pairwise(DTYPES, PADDINGS, SCOPES, KERNELS),
    ids=case_id,
)
def test_opcheck(device, dtype, padding, scope, kernel_size):
    # Replicate and zeros take a kernel larger than the image.
    side = max(smallest_side(kernel_size, padding) + 2, 6)
    x = noise((2, 2, side, side + 1), dtype, device)
    opcheck_all(x.requires_grad_(), (kernel_size, padding, scope, 0.1))


@pytest.mark.parametrize("kind", ["image", "channels_last", "transposed", "expanded", "empty"])
def test_opcheck_of_layouts(device, kind):
    dense = noise((2, 3, 9, 8), device=device)
    x = {
        "image": dense[0],
        "channels_last": dense.to(memory_format=torch.channels_last),
        "transposed": dense.mT,
        "expanded": dense[:1, :, :, :].expand(4, -1, -1, -1),
        "empty": dense[:0],
    }[kind]
    opcheck_all(x.detach().requires_grad_(), (3, "valid", "image", 0.0))


def test_opcheck_without_gradients(device):
    opcheck_all(noise((2, 2, 7, 8), device=device), (3, "reflect", "channel", 0.0))


@pytest.mark.parametrize("padding", PADDINGS)
def test_meta_tensors_have_the_shape_type_and_strides_of_the_result(padding):
    for dtype in DTYPES:
        for shape in ((2, 3, 9, 11), (3, 9, 11)):
            x = noise(shape, dtype)
            for image in (x, x.to(memory_format=torch.channels_last) if x.dim() == 4 else x.mT):
                for scope in SCOPES:
                    real = stats(image, 5, padding, scope)
                    fake = stats(image.to("meta"), 5, padding, scope)
                    for a, b in zip(real, fake, strict=True):
                        assert (a.shape, a.dtype, a.stride()) == (b.shape, b.dtype, b.stride())


@pytest.mark.parametrize(("padding", "scope"), pairwise(PADDINGS, SCOPES)[::2], ids=case_id)
def test_compile_gives_the_eager_result(device, fresh_dynamo, padding, scope):
    def model(x):
        return neurn.neurn(x.sin(), 5, padding, scope, 0.1).square()

    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for layout in (torch.contiguous_format, torch.channels_last):
        x = noise((2, 3, 12, 13), device=device).to(memory_format=layout).requires_grad_()
        want, got = model(x), compiled(x)
        torch.testing.assert_close(got, want)
        assert got.stride() == want.stride()
        grad = noise(want.shape, device=device, seed=1)
        torch.testing.assert_close(
            torch.autograd.grad(got, x, grad)[0], torch.autograd.grad(want, x, grad)[0]
        )


@pytest.mark.skipif(not shutil.which("g++"), reason="inductor needs a C++ compiler")
def test_compile_by_inductor(device, fresh_dynamo):
    model = torch.nn.Sequential(neurn.NeuRN(5), torch.nn.ReLU(), torch.nn.Softplus()).to(device)
    compiled = torch.compile(model, fullgraph=True)
    x = noise((2, 3, 12, 13), device=device).requires_grad_()
    want, got = model(x), compiled(x)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(
        torch.autograd.grad(got.sum(), x)[0], torch.autograd.grad(want.sum(), x)[0]
    )


SIZES = [(2, 3, 12, 13), (5, 3, 17, 9), (3, 3, 31, 24)]


@pytest.mark.parametrize("padding", ["reflect", "circular", "valid"])
@pytest.mark.parametrize("how", ["mark_dynamic", "dynamic=True"])
def test_one_graph_serves_every_size(device, fresh_dynamo, how, padding):
    counter = CompileCounterWithBackend("aot_eager")
    dynamic = True if how == "dynamic=True" else None
    compiled = torch.compile(
        lambda x: neurn.neurn(x, 5, padding), backend=counter, fullgraph=True, dynamic=dynamic
    )
    graphs = []
    for size in SIZES:
        x = noise(size, device=device).requires_grad_()
        if dynamic is None:
            for dim in (0, 2, 3):
                torch._dynamo.mark_dynamic(x, dim)
        got = compiled(x)
        torch.testing.assert_close(got, neurn.neurn(x, 5, padding))
        grad = noise(got.shape, device=device, seed=1)
        want = torch.autograd.grad(neurn.neurn(x, 5, padding), x, grad)[0]
        torch.testing.assert_close(torch.autograd.grad(got, x, grad)[0], want)
        graphs.append(counter.frame_count)
    # Dynamo itself may start over within the first compilation; after it there is none.
    assert graphs == [graphs[0]] * len(SIZES)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("padding", ["reflect", "valid"])
def test_export(device, padding, strict):
    model = neurn.prepend(torch.nn.Conv2d(3, 2, 1), kernel_size=5, padding=padding).to(device)
    shapes = (
        {
            0: Dim("batch"),
            2: Dim("height", min=8, max=512),
            3: Dim("width", min=8, max=512),
        },
    )
    x = noise((2, 3, 12, 13), device=device)
    program = torch.export.export(model, (x,), dynamic_shapes=shapes, strict=strict)
    assert any(
        isinstance(node.target, torch._ops.OpOverload) and node.target.namespace == "neurn"
        for node in program.graph.nodes
    )
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for size in SIZES:
        x = noise(size, device=device)
        torch.testing.assert_close(loaded(x), model(x))


def test_export_of_one_shape_only(device):
    x = noise((2, 3, 12, 13), device=device)
    program = torch.export.export(neurn.NeuRN(), (x,))
    assert torch.equal(program.module()(x), neurn.neurn(x))
    # A program has decompositions run over it before it is lowered.
    assert torch.equal(program.run_decompositions().module()(x), neurn.neurn(x))


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("in_dim", [0, 1, -1])
@pytest.mark.parametrize("shape", [(3, 7, 8), (2, 3, 7, 8)], ids=["images", "batches"])
def test_vmap(device, shape, in_dim, scope):
    x = noise((4, *shape), device=device)
    want = torch.stack([op(image, 3, "replicate", scope, 0.1) for image in x])

    def one(image):
        return op(image, 3, "replicate", scope, 0.1)

    got = torch.func.vmap(one, in_dims=in_dim)(x.movedim(0, in_dim))
    torch.testing.assert_close(got, want)
    got = torch.func.vmap(one, in_dims=in_dim, out_dims=1)(x.movedim(0, in_dim))
    torch.testing.assert_close(got, want.movedim(0, 1))


@pytest.mark.parametrize("in_dim", [0, 2])
@pytest.mark.parametrize("scope", SCOPES)
def test_vmap_of_the_gradient(device, scope, in_dim):
    x = noise((4, 2, 2, 6, 7), torch.float64, device)
    weight = noise((2, 2, 6, 7), torch.float64, device, seed=1)

    def loss(image):
        return (op(image, scope=scope) * weight).sum()

    got = torch.func.vmap(torch.func.grad(loss), in_dims=in_dim)(x.movedim(0, in_dim))
    want = torch.stack([reference.gradient(image, weight, scope=scope) for image in x])
    assert_gradient(got, want)


@pytest.mark.parametrize("scope", SCOPES)
def test_grad_vjp_and_jacobian_of_torch_func(device, scope):
    x = untied((2, 2, 5, 4), 3, "reflect", scope, device=device)
    grad = noise(x.shape, torch.float64, device, seed=1)
    want = reference.gradient(x, grad, scope=scope)
    assert_gradient(torch.func.grad(lambda x: (op(x, scope=scope) * grad).sum())(x), want)
    y, pull = torch.func.vjp(lambda x: op(x, scope=scope), x)
    assert torch.equal(y, op(x, scope=scope))
    assert_gradient(pull(grad)[0], want)
    # jacrev maps over the incoming gradient alone, once more over that for the second order.
    jacobian = torch.func.jacrev(lambda x: op(x, scope=scope))(x)
    assert_gradient(torch.tensordot(grad, jacobian, 4), want)


def test_second_order_of_torch_func(device):
    x = untied((1, 4, 5), 3, "reflect", "image", device=device)
    weight = noise(x.shape, torch.float64, device, seed=1)

    def loss(operator):
        return lambda x: (operator(x) * weight.to(x.device)).sum()

    want = torch.autograd.functional.hessian(loss(reference.differentiable), x.cpu())
    got = torch.func.jacrev(torch.func.jacrev(loss(op)))(x)
    assert_gradient(got, want, rtol=1e-9)
    got = torch.func.grad(lambda x: torch.func.grad(loss(op))(x).square().sum())(x)
    first = reference.gradient(x, weight)
    assert_gradient(got, 2 * torch.tensordot(first, want, 3), rtol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=case_id)
def test_autocast_neither_lowers_the_type_nor_the_accuracy(device, dtype):
    x = noise((2, 3, 16, 17), dtype, device, mean=100.0).requires_grad_()
    grad = noise(x.shape, dtype, device, seed=1)
    plain = op(x)
    with torch.autocast(device.type, torch.bfloat16):
        y = op(x)
        convolved = torch.nn.functional.conv2d(
            x, torch.ones(1, 3, 1, 1, device=device, dtype=dtype)
        )
        assert convolved.dtype == torch.bfloat16, "autocast is not at work"
        assert op(convolved).dtype == torch.bfloat16
    assert y.dtype == dtype
    assert torch.equal(y, plain)
    got, want = (torch.autograd.grad(out, x, grad)[0] for out in (y, plain))
    assert torch.equal(got, want)


def test_no_grad_and_inference_mode(device):
    x = noise((2, 3, 9, 10), device=device).requires_grad_()
    want = op(x)
    assert want.requires_grad
    with torch.no_grad():
        y = op(x)
        assert not y.requires_grad and torch.equal(y, want)
    with torch.inference_mode():
        y = op(x)
        assert y.is_inference() and torch.equal(y, want)
        assert torch.equal(op(y), op(want.detach()))


def test_statistics_carry_no_gradient(device):
    x = noise((2, 3, 9, 10), device=device).requires_grad_()
    y, peak, index = stats(x)
    assert y.requires_grad and not index.requires_grad
    assert not peak.requires_grad


def test_under_checkpointing(device):
    x = noise((2, 3, 9, 10), device=device).requires_grad_()
    y = torch.utils.checkpoint.checkpoint(op, x, use_reentrant=False)
    (got,) = torch.autograd.grad(y.square().sum(), x)
    assert torch.equal(got, torch.autograd.grad(op(x).square().sum(), x)[0])


def test_calls_from_several_threads(device):
    images = [noise((2, 3, 64, 65), device=device, seed=seed) for seed in range(8)]
    want = [op(x) for x in images]
    with ThreadPoolExecutor(4) as pool:
        for got, expected in zip(pool.map(op, images * 4), want * 4, strict=True):
            assert torch.equal(got, expected)


def test_in_a_model_that_learns(device):
    # The whole path once: layer, convolution, loss, optimizer.
    torch.manual_seed(0)
    x = noise((64, 1, 8, 8), device=device)
    labels = torch.arange(64, device=device) % 2
    x[labels == 1, :, ::2] *= 0.1
    head = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 2)
    )
    first = torch.nn.Conv2d(1, 1, 1)
    model = torch.nn.Sequential(first, neurn.prepend(head)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    losses = []
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    # The map does not see what a 1x1 convolution of one channel does to brightness and contrast.
    assert first.weight.grad.abs().max() < 1e-4 and first.bias.grad.abs().max() < 1e-4


def test_sigma_of_a_nested_transform_is_right_in_value(device):
    x = noise((3, 2, 2, 9, 10), device=device)
    got = torch.func.vmap(torch.func.vmap(lambda image: op(image, 5, "circular")))(x)
    want = torch.stack([reference.forward(batch, 5, "circular") for batch in x])
    assert_sigma(got, want, factor=2)
