"""The functional form, the module and `prepend`."""

import copy
import inspect
import pickle

import pytest
import torch
from torch import nn

import neurn

from .cases import noise

ARGUMENTS = {"kernel_size": 5, "padding": "zeros", "scope": "channel", "floor": 0.25}


def test_defaults_are_those_of_the_operator():
    want = {"kernel_size": 3, "padding": "reflect", "scope": "image", "floor": 0.0}
    for function in (neurn.neurn, neurn.NeuRN):
        parameters = inspect.signature(function).parameters
        assert {name: parameters[name].default for name in want} == want
    schema = torch.ops.neurn.forward.default._schema
    assert {a.name: a.default_value for a in schema.arguments if a.name != "x"} == want


def test_module_is_the_function(device):
    x = noise((2, 3, 9, 10), device=device)
    assert torch.equal(neurn.NeuRN()(x), neurn.neurn(x))
    assert torch.equal(neurn.NeuRN(**ARGUMENTS)(x), neurn.neurn(x, **ARGUMENTS))
    positional = neurn.NeuRN(*ARGUMENTS.values())
    assert torch.equal(positional(x), neurn.neurn(x, *ARGUMENTS.values()))


def test_module_holds_no_state():
    module = neurn.NeuRN(**ARGUMENTS)
    assert isinstance(module, nn.Module)
    assert module.state_dict() == {}
    assert not list(module.parameters()) and not list(module.buffers())
    module.load_state_dict({})


def test_module_shows_its_arguments():
    text = repr(neurn.NeuRN(**ARGUMENTS))
    for part in ("NeuRN(", "kernel_size=5", "padding='zeros'", "scope='channel'", "floor=0.25"):
        assert part in text
    assert "kernel_size=5" in neurn.NeuRN(**ARGUMENTS).extra_repr()


def test_module_copies_pickles_and_moves(device):
    x = noise((1, 3, 9, 10), device=device)
    module = neurn.NeuRN(**ARGUMENTS)
    want = module(x)
    for other in (
        copy.deepcopy(module),
        pickle.loads(pickle.dumps(module)),
        copy.deepcopy(module).to(device).double().eval(),
    ):
        assert torch.equal(other(x), want)


def small_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))


def test_prepend_is_the_layer_then_the_model(device):
    model = small_model().eval().to(device)
    front = neurn.prepend(model, **ARGUMENTS).eval()
    x = noise((2, 3, 9, 10), device=device)
    assert torch.equal(front(x), model(neurn.neurn(x, **ARGUMENTS)))
    assert torch.equal(neurn.prepend(model)(x), model(neurn.neurn(x)))
    assert isinstance(front[0], neurn.NeuRN)
    assert front[1] is model


def test_prepend_leaves_the_model_its_weights():
    model = small_model()
    front = neurn.prepend(model)
    inner, outer = model.state_dict(), front.state_dict()
    assert len(inner) == len(outer)
    for name, tensor in inner.items():
        (match,) = [key for key in outer if key == name or key.endswith(f".{name}")]
        assert outer[match].data_ptr() == tensor.data_ptr()
    assert list(map(id, front.parameters())) == list(map(id, model.parameters()))
    front.eval()
    assert not model.training
    front.train()
    assert model.training


def test_prepend_passes_gradients_to_both_sides(device):
    model = small_model().to(device)
    x = noise((2, 3, 9, 10), device=device).requires_grad_()
    neurn.prepend(model)(x).square().sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(p.grad is not None for p in model.parameters())


def test_prepend_wants_a_module():
    with pytest.raises(TypeError):
        neurn.prepend("resnet18")
