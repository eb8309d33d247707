"""What only a GPU can get wrong: streams, graphs, device guards, agreement with the CPU."""

import pytest
import torch

from .cases import SCOPES, noise, untied

op = torch.ops.neurn.forward

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


@pytest.mark.parametrize("scope", SCOPES)
def test_replays_in_a_graph(scope):
    x = noise((4, 3, 40, 41), device="cuda").requires_grad_()
    grad = torch.ones_like(x)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        torch.autograd.grad(op(x, scope=scope), x, grad)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = op(x, scope=scope)
        (dx,) = torch.autograd.grad(y, x, grad)
    for seed in (1, 2):
        fresh = noise(x.shape, device="cuda", seed=seed)
        with torch.no_grad():
            x.copy_(fresh)
        graph.replay()
        torch.cuda.synchronize()
        for a, b in zip((y, dx), both(fresh, grad, scope=scope), strict=True):
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
    with pytest.raises(RuntimeError):
        torch.ops.neurn.backward(torch.ones(1, 1, 8, 8), x, peak, index, 3, "reflect", "image", 0.0)
