"""What only a GPU can get wrong: streams, graphs, device guards, agreement with the CPU."""

import pytest
import torch

from .cases import DTYPES, PADDINGS, SCOPES, case_id, noise, smallest_side, untied

op = torch.ops.neurn.forward
stats = torch.ops.neurn.forward_stats

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is present")


def both(x, grad, **arguments):
    """The map and its gradient."""
    x = x.detach().requires_grad_()
    y = op(x, **arguments)
    return y.detach(), torch.autograd.grad(y, x, grad)[0]


@pytest.mark.parametrize("scope", SCOPES)
def test_cpu_and_gpu_agree(scope):
    x = untied((3, 3, 45, 47), 5, "reflect", scope, torch.float32)
    grad = noise(x.shape, seed=1)
    here = both(x, grad, kernel_size=5, scope=scope)
    there = both(x.cuda(), grad.cuda(), kernel_size=5, scope=scope)
    for a, b in zip(here, there, strict=True):
        torch.testing.assert_close(b.cpu(), a, rtol=2e-5, atol=1e-5 * a.abs().max().item())


# Held by a team of threads, by a block, by a cluster of blocks, by none; several samples a block.
SHAPES = [(9, 1, 28, 28), (3, 64, 56, 56), (5, 3, 224, 224), (2, 3, 301, 515), (1, 1, 5, 7)]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=case_id)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=case_id)
def test_every_way_to_hold_a_scope_agrees_with_the_cpu(dtype, shape, layout):
    x = noise(shape, dtype, seed=3, mean=0.3).contiguous(memory_format=layout)
    rtol = torch.finfo(dtype).eps * (1 if dtype.itemsize == 2 else 50)
    for kernel_size, padding in ((3, "reflect"), (5, "zeros"), (7, "valid"), (15, "circular")):
        if min(shape[-2:]) < smallest_side(kernel_size, padding):
            continue
        for scope in SCOPES:
            y, peak, index = stats(x, kernel_size, padding, scope)
            there = stats(x.cuda(), kernel_size, padding, scope)
            torch.testing.assert_close(there[0].cpu(), y, rtol=rtol, atol=rtol)
            torch.testing.assert_close(there[1].cpu(), peak, rtol=1e-5, atol=0)
            assert there[0].stride() == y.stride()
            # The same maximum for both: another may be larger by less than either can tell.
            grad = noise(y.shape, dtype, seed=4)
            rest = (kernel_size, padding, scope, 0.0)
            want = torch.ops.neurn.backward(grad, x, peak, index, *rest)
            got = torch.ops.neurn.backward(grad.cuda(), x.cuda(), peak.cuda(), index.cuda(), *rest)
            largest = want.abs().max().item()
            torch.testing.assert_close(
                got.cpu(), want, rtol=rtol, atol=max(1e-5, rtol) * largest, msg=f"{rest}"
            )


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_sample_does_not_depend_on_its_batch(padding):
    x = noise((300, 3, 40, 41), device="cuda")
    for kernel_size in (3, 9):
        y = op(x, kernel_size, padding)
        assert torch.equal(op(x[7:8], kernel_size, padding), y[7:8])


def test_forward_needs_no_memory_beyond_its_results():
    x = noise((64, 3, 224, 224), device="cuda")
    op(x)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    y = op(x)
    assert torch.cuda.max_memory_allocated() - before < y.nbytes * 1.02


def test_runs_on_the_current_stream():
    x = noise((64, 3, 128, 128), device="cuda")
    grad = torch.ones_like(x)
    want = both(x, grad)
    stream = torch.cuda.Stream()
    late = torch.zeros_like(x)
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(100_000_000)  # what runs on another stream would see the zeros
        late.copy_(x)
        got = both(late, grad)
    torch.cuda.current_stream().wait_stream(stream)
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)


# 63: windows that shared memory has no room for.
@pytest.mark.parametrize("kernel_size", [3, 9, 63])
@pytest.mark.parametrize("scope", SCOPES)
def test_replays_in_a_graph(scope, kernel_size):
    x = noise((4, 3, 40, 41), device="cuda").requires_grad_()
    grad = torch.ones_like(x)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        torch.autograd.grad(op(x, kernel_size, scope=scope), x, grad)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = op(x, kernel_size, scope=scope)
        (dx,) = torch.autograd.grad(y, x, grad)
    for seed in (1, 2):
        fresh = noise(x.shape, device="cuda", seed=seed)
        with torch.no_grad():
            x.copy_(fresh)
        graph.replay()
        torch.cuda.synchronize()
        for a, b in zip(
            (y, dx), both(fresh, grad, kernel_size=kernel_size, scope=scope), strict=True
        ):
            assert torch.equal(a, b)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two CUDA devices")
def test_runs_on_the_device_of_its_input():
    x = noise((2, 3, 20, 21))
    want = op(x.cuda(0))
    with torch.cuda.device(0):
        got = op(x.cuda(1))
    assert got.device.index == 1
    assert torch.equal(got.cpu(), want.cpu())


def test_repeats_bit_for_bit():
    x = noise((8, 3, 224, 224), device="cuda")
    grad = noise(x.shape, device="cuda", seed=1)
    for scope in SCOPES:
        first = both(x, grad, scope=scope)
        for _ in range(5):
            assert all(map(torch.equal, first, both(x, grad, scope=scope)))


def test_backward_refuses_tensors_of_two_devices():
    x = noise((1, 1, 8, 8), device="cuda")
    _, peak, index = torch.ops.neurn.forward_stats(x)
    for grad, top in ((torch.ones(1, 1, 8, 8), peak), (torch.ones_like(x), peak.cpu())):
        with pytest.raises(RuntimeError, match="must have the device of x"):
            torch.ops.neurn.backward(grad, x, top, index, 3, "reflect", "image", 0.0)


def test_a_place_outside_the_output_harms_nothing():
    x = noise((2, 1, 8, 8), device="cuda")
    _, peak, index = stats(x)
    for wrong in (index + 10**12, index - 10**12):
        dx = torch.ops.neurn.backward(torch.ones_like(x), x, peak, wrong)
        assert dx.isfinite().all()
