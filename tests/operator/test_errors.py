"""One sentence for each wrong argument, the same in eager mode, on meta tensors and compiled."""

import math

import pytest
import torch

import neurn

from .cases import PADDINGS, smallest_side

PADDING_SENTENCE = (
    "padding must be one of 'reflect', 'replicate', 'circular', 'zeros', 'valid', got {!r}"
)
SCOPE_SENTENCE = "scope must be one of 'image', 'channel', 'batch', 'none', got {!r}"

# (arguments, sentence)
WRONG_ARGUMENTS = [
    ({"kernel_size": 4}, "kernel_size must be an odd integer >= 1, got 4"),
    ({"kernel_size": 0}, "kernel_size must be an odd integer >= 1, got 0"),
    ({"kernel_size": -3}, "kernel_size must be an odd integer >= 1, got -3"),
    ({"padding": "same"}, PADDING_SENTENCE.format("same")),
    ({"padding": "Reflect"}, PADDING_SENTENCE.format("Reflect")),
    ({"padding": ""}, PADDING_SENTENCE.format("")),
    ({"scope": "pixel"}, SCOPE_SENTENCE.format("pixel")),
    ({"floor": -1.0}, "floor must be a finite number >= 0, got -1"),
    ({"floor": -2.5e-9}, "floor must be a finite number >= 0, got -2.5e-09"),
    ({"floor": math.nan}, "floor must be a finite number >= 0, got nan"),
    ({"floor": math.inf}, "floor must be a finite number >= 0, got inf"),
]

DTYPE_SENTENCE = "x must have a floating dtype (float16, bfloat16, float32 or float64), got {}"
SHAPE_SENTENCE = "x must have shape (C, H, W) or (N, C, H, W), got {} dimensions"
SMALL_SENTENCE = (
    "x of height {} and width {} is too small for kernel_size {} with padding '{}': "
    "both must be at least {}"
)

# (shape, dtype, arguments, sentence)
WRONG_IMAGES = [
    ((1, 8, 8), torch.int64, {}, DTYPE_SENTENCE.format("int64")),
    ((1, 8, 8), torch.uint8, {}, DTYPE_SENTENCE.format("uint8")),
    ((1, 8, 8), torch.bool, {}, DTYPE_SENTENCE.format("bool")),
    ((1, 8, 8), torch.complex64, {}, DTYPE_SENTENCE.format("complex64")),
    ((8, 8), torch.float32, {}, SHAPE_SENTENCE.format(2)),
    ((1, 1, 1, 8, 8), torch.float32, {}, SHAPE_SENTENCE.format(5)),
    (
        (1, 3, 3),
        torch.float32,
        {"kernel_size": 9},
        SMALL_SENTENCE.format(3, 3, 9, "reflect", 5),
    ),
    (
        (2, 1, 8, 4),
        torch.float64,
        {"kernel_size": 9, "padding": "reflect"},
        SMALL_SENTENCE.format(8, 4, 9, "reflect", 5),
    ),
    (
        (2, 1, 3, 8),
        torch.float16,
        {"kernel_size": 9, "padding": "circular"},
        SMALL_SENTENCE.format(3, 8, 9, "circular", 4),
    ),
    (
        (1, 8, 9),
        torch.float32,
        {"kernel_size": 9, "padding": "valid"},
        SMALL_SENTENCE.format(8, 9, 9, "valid", 9),
    ),
    (
        (1, 0, 9),
        torch.float32,
        {"padding": "zeros"},
        SMALL_SENTENCE.format(0, 9, 3, "zeros", 1),
    ),
    (
        (1, 9, 0),
        torch.float32,
        {"kernel_size": 1, "padding": "circular"},
        SMALL_SENTENCE.format(9, 0, 1, "circular", 1),
    ),
    (
        (1, 9, 9),
        torch.float32,
        {"kernel_size": 2**33 + 1},
        SMALL_SENTENCE.format(9, 9, 2**33 + 1, "reflect", 2**32 + 1),
    ),
]

CASES = [((1, 8, 8), torch.float32, *case) for case in WRONG_ARGUMENTS] + WRONG_IMAGES
IDS = [f"{sentence[:11]} {sentence[-14:]}" for *_, sentence in CASES]

every_mistake = pytest.mark.parametrize(("shape", "dtype", "arguments", "sentence"), CASES, ids=IDS)


@pytest.mark.parametrize(
    "function", [torch.ops.neurn.forward, torch.ops.neurn.forward_stats, neurn.neurn]
)
@every_mistake
def test_eager(device, function, shape, dtype, arguments, sentence):
    x = torch.zeros(shape, dtype=dtype, device=device)
    with pytest.raises(RuntimeError) as error:
        function(x, **arguments)
    assert str(error.value) == sentence


@every_mistake
def test_meta(shape, dtype, arguments, sentence):
    with pytest.raises(RuntimeError) as error:
        neurn.neurn(torch.zeros(shape, dtype=dtype, device="meta"), **arguments)
    assert str(error.value) == sentence


DIFFERENTIABLE = [case for case in CASES if case[1].is_floating_point or case[1].is_complex]


@pytest.mark.parametrize(("shape", "dtype", "arguments", "sentence"), DIFFERENTIABLE)
def test_with_gradients(device, shape, dtype, arguments, sentence):
    x = torch.zeros(shape, dtype=dtype, device=device, requires_grad=True)
    with pytest.raises(RuntimeError) as error:
        neurn.neurn(x, **arguments)
    assert str(error.value) == sentence


@pytest.mark.filterwarnings("ignore")
@every_mistake
def test_compiled(device, shape, dtype, arguments, sentence):
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: neurn.neurn(x, **arguments), backend="eager", fullgraph=True)
    with pytest.raises(RuntimeError) as error:
        compiled(torch.zeros(shape, dtype=dtype, device=device))
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"), WRONG_ARGUMENTS, ids=IDS[: len(WRONG_ARGUMENTS)]
)
def test_constructors(arguments, sentence):
    for build in (
        neurn.NeuRN,
        neurn.transforms.NeuRN,
        lambda **options: neurn.prepend(torch.nn.Identity(), **options),
    ):
        with pytest.raises(ValueError) as error:
            build(**arguments)
        assert str(error.value) == sentence


@pytest.mark.parametrize("kernel_size", ["3", 2.5, None, (3, 3)])
def test_the_constructor_refuses_what_is_no_integer(kernel_size):
    with pytest.raises((TypeError, ValueError)):
        neurn.NeuRN(kernel_size=kernel_size)


@pytest.mark.parametrize("padding", PADDINGS)
def test_one_pixel_decides(device, padding):
    for kernel_size in (1, 3, 9):
        side = smallest_side(kernel_size, padding)
        for height, width in ((side - 1, side), (side, side - 1)):
            with pytest.raises(RuntimeError, match="too small"):
                neurn.neurn(torch.zeros(1, height, width, device=device), kernel_size, padding)
        neurn.neurn(torch.zeros(1, side, side, device=device), kernel_size, padding)


def test_an_error_leaves_the_operator_usable(device):
    x = torch.rand(1, 8, 8, device=device)
    with pytest.raises(RuntimeError):
        neurn.neurn(x, 4)
    assert neurn.neurn(x, 3).max() == 1
