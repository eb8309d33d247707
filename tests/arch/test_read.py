import math
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from torch import nn

from neurn import arch
from neurn.arch import definitions
from neurn.arch.graph import canonical_order


class Small(nn.Module):
    def __init__(self, swap=False):
        super().__init__()
        self.swap = swap
        self.conv = nn.Conv2d(3, 8, 3, stride=2, groups=1)
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8))
        self.flat = nn.Conv2d(8, 8, 1)
        self.relu = nn.ReLU()

    def forward(self, x):
        x = self.relu(self.conv(x))
        if self.swap:
            flat, deep = self.flat(x), self.deep(x)
        else:
            deep, flat = self.deep(x), self.flat(x)
        return self.relu(deep + flat) * 2


class Attention(nn.Module):
    def forward(self, x):
        x = x.flatten(1, 2)
        weights = (x @ x.transpose(1, 2) * 0.5).softmax(-1)
        return nn.functional.dropout(weights, 0.1, self.training) @ x


class Stubborn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        x = self.conv(x)
        return x if float(x.sum()) > 1e30 else x.relu()


class Broken(Stubborn):
    def forward(self, x):
        raise RuntimeError("no such thing\nsecond line")


class TestTrace:
    def test_functions_modules_and_parameters(self):
        model = Small().train()
        found = arch.sequence(model)
        assert found.tokens == (
            *("conv", "activation", "conv", "norm"),
            *("conv", "add", "activation"),
        )
        first = found.layers[2]
        assert (first.name, first.kind, first.module) == ("deep.0", "conv2d", "Conv2d")
        assert first.parameters["groups"] == 8 and first.parameters["channels"] == (8, 8)
        assert first.shape == (1, 8, 111, 111)
        assert found.source == "trace on meta" and model.training and model.deep.training
        assert not model.conv._forward_hooks and model.conv.weight.device.type == "cpu"

    def test_fine_tells_parameters(self):
        found = arch.sequence(Small(), "fine").tokens
        assert found[:3] == ("conv3x3/2", "relu", "depthwise conv3x3")

    def test_attention_that_is_written_out_is_attention(self):
        assert arch.sequence(Attention()).tokens == ("attention",)
        mha = nn.TransformerEncoderLayer(8, 2, batch_first=True)
        found = arch.sequence(mha, input=(1, 5, 8)).tokens
        assert found[:5] == ("linear", "attention", "linear", "dropout", "add")

    def test_recurrent_and_embedding(self):
        model = nn.Sequential(nn.Embedding(10, 4), nn.LSTM(4, 6))
        assert arch.sequence(model, input=torch.zeros(5, dtype=torch.int64)).tokens == (
            "embedding",
            "rnn",
        )

    def test_runs_on_the_device_where_meta_fails(self):
        found = arch.sequence(Stubborn())
        assert found.source == "trace on cpu" and found.tokens == ("conv", "activation")

    def test_a_failure_is_one_sentence_and_modules_are_the_fallback(self):
        with pytest.raises(arch.TraceError, match=r"no such thing\).*method='modules'\.$"):
            arch.sequence(Broken(), method="trace")
        with pytest.warns(UserWarning, match="modules are read instead"):
            assert arch.sequence(Broken()).tokens == ("conv",)

    @pytest.mark.parametrize(
        ("model", "shape"),
        [
            (nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), (1, 4, 222, 222)),
            (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 26**2, 5)), (1, 5)),
            (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 30**2, 5)), (1, 5)),
            (nn.Sequential(nn.Conv1d(2, 4, 3)), (1, 4, 1022)),
            (nn.Sequential(nn.Conv3d(1, 2, 3)), (1, 2, 14, 110, 110)),
            (nn.Sequential(nn.Flatten(), nn.Linear(784, 5)), (1, 5)),
            (nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2)), (1, 16, 2)),
            (nn.TransformerEncoderLayer(8, 2), (1, 16, 8)),
            (nn.Sequential(nn.Conv2d(3, 4, 3)).half(), (1, 4, 222, 222)),
        ],
    )
    def test_the_input_is_what_the_first_layer_takes(self, model, shape):
        found = arch.sequence(model, method="trace")
        assert found.source == "trace on meta" and found.layers[-1].shape == shape

    def test_input_by_name(self):
        class Two(nn.Module):
            def forward(self, x, *, y):
                return x + y

        names = {"x": torch.ones(2, 3), "y": torch.ones(2, 3)}
        for method in ("trace", "graph"):
            assert arch.sequence(Two(), method=method, input=names).tokens == ("add",)

    def test_inputs_that_a_model_suggests(self):
        class Two(nn.Module):
            dummy_inputs: ClassVar = {"x": torch.ones(2, 3), "y": torch.ones(2, 3)}

            def forward(self, x, y):
                return x + y

        assert arch.sequence(Two()).layers[0].shape == (2, 3)

    def test_the_failure_names_the_input(self):
        with pytest.raises(arch.TraceError, match="with an input of 1 x 7 "):
            arch.sequence(nn.Linear(5, 2), method="trace", input=(1, 7))

    def test_norms_and_activations_that_are_written_out(self):
        class TinyRMSNorm(nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = nn.Parameter(torch.ones(4))

            def forward(self, x):
                return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)

        class QuickGELUActivation(nn.Module):
            def forward(self, x):
                return x * torch.sigmoid(1.702 * x)

        class NormFree(nn.Module):
            def forward(self, x):
                return x + x.mean(-1, keepdim=True)

        model = nn.Sequential(TinyRMSNorm(), QuickGELUActivation(), NormFree(), nn.LayerNorm(4))
        found = arch.sequence(model, input=(1, 5, 4))
        assert found.tokens == ("norm", "activation", "pool", "add", "norm")
        assert arch.sequence(found, "fine").tokens[:2] == ("rms norm", "gelu")
        assert found.layers[0].module == "TinyRMSNorm" and found.layers[0].shape == (1, 5, 4)

    def test_a_lazy_model_stays_lazy(self):
        model = nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU())
        assert arch.sequence(model).tokens == ("conv", "activation")
        assert model[0].has_uninitialized_params()

    def test_torchvision_and_timm_agree(self, torchvision, timm):
        with torch.device("meta"):
            a, b = torchvision.models.resnet50(), timm.create_model("resnet50")
        assert arch.sequence(a).tokens == arch.sequence(b).tokens
        assert arch.sequence(a).tokens == arch.zoo.sequence("timm/resnet50").tokens


class TestGraph:
    def test_order_does_not_depend_on_how_the_model_is_written(self):
        found = [arch.sequence(Small(swap), method="graph") for swap in (False, True)]
        assert found[0].tokens == found[1].tokens
        traced = [arch.sequence(Small(swap)).tokens for swap in (False, True)]
        assert traced[0] != traced[1]
        assert sorted(found[0].tokens) == sorted(traced[0])
        assert found[0].layers[0].name == "conv"

    def test_a_failure_is_one_sentence(self):
        with pytest.raises(arch.TraceError, match="cannot be exported"):
            arch.sequence(Stubborn(), method="graph")

    def test_exported_programs_and_their_files(self, tmp_path):
        program = torch.export.export(Small().eval(), (torch.zeros(1, 3, 9, 9),))
        expected = arch.sequence(Small(), method="graph", input=(1, 3, 9, 9))
        assert arch.sequence(program).tokens == expected.tokens
        torch.export.save(program, tmp_path / "m.pt2")
        assert arch.sequence(tmp_path / "m.pt2").tokens == expected.tokens

    def test_canonical_order_is_topological(self):
        before = [[], [0], [0], [1], [2, 3]]
        order = canonical_order(before, ["a", "b", "b", "c", "d"])
        assert all(order.index(s) < order.index(n) for n in range(5) for s in before[n])


class TestOthers:
    def test_lists_and_unknown(self):
        kinds = ["Conv2d", "Wonder", "ReLU", "Flatten"]
        assert arch.sequence(kinds).tokens == ("conv", "activation")
        assert arch.sequence(kinds).dropped == {"Wonder": 1}
        assert arch.sequence(kinds, unknown="keep").tokens == ("conv", "Wonder", "activation")
        with pytest.raises(ValueError, match="lacks 'Wonder'"):
            arch.sequence(kinds, unknown="error")

    def test_modules(self):
        assert str(arch.sequence(Small(), "published")) == "CCBCR"
        found = arch.sequence(nn.MultiheadAttention(8, 2), method="modules")
        assert found.tokens == ("attention", "linear")

    def test_a_sequence_is_read_by_another_vocabulary(self):
        found = arch.sequence(arch.sequence(Small()), "published")
        assert str(found) == "CRCBCR" and found[0] == "C" and len(found) == 6
        assert found == arch.sequence(Small(), "published", method="trace")
        assert found.counts() == {"C": 3, "R": 2, "B": 1} and "trace" in repr(found)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"model": 3}, "model must be"),
            ({"model": [3]}, "got int at 0"),
            ({"model": [], "method": "x"}, "method must be one of"),
            ({"model": [], "vocabulary": "x"}, "vocabulary must be one of"),
            ({"model": [], "unknown": "x"}, "unknown must be one of"),
            ({"model": "VGG17"}, "close to it: VGG1"),
            ({"model": [nn.ReLU()]}, "at 0: put modules in a torch.nn.Sequential"),
            ({"model": Small(), "input": "1,3"}, "input must be a shape.*got str"),
            ({"model": Small(), "input": 3}, "input must be a shape.*got int"),
            ({"model": Small(), "input": (1, 0)}, "sizes from 1 on"),
            ({"model": torch.jit.ScriptModule()}, "a ScriptModule does not"),
            ({"model": Path("weights.pth")}, "weights do not tell layers"),
        ],
    )
    def test_errors(self, arguments, words):
        with pytest.raises((TypeError, ValueError), match=words):
            arch.sequence(**arguments)

    def test_tokens_stay_themselves_and_nothing_known_is_a_warning(self):
        assert str(arch.sequence(list("CCM"), "published")) == "CCM"
        assert arch.sequence(["conv", "Conv2d"]).tokens == ("conv", "conv")
        with pytest.warns(UserWarning, match="knows no layer of this model.*'Wonder'"):
            assert arch.sequence(["Wonder"]).tokens == ()

    def test_onnx(self, tmp_path):
        onnx = pytest.importorskip("onnx", reason="onnx is not installed")
        nodes = [
            ("Conv", ["x", "w"], "y", {"kernel_shape": [3, 3], "strides": [2, 2]}),
            ("Relu", ["y"], "z", {}),
        ]
        write_onnx(onnx, tmp_path / "m.onnx", nodes, {"w": [4, 3, 3, 3]})
        found = arch.sequence(str(tmp_path / "m.onnx"), "fine")
        assert found.tokens == ("conv3x3/2", "relu")
        assert found.layers[1].shape == (1, 4, 4, 4)
        assert arch.sequence(onnx.load(tmp_path / "m.onnx"), "fine") == found
        with pytest.raises(FileNotFoundError, match="no file"):
            arch.sequence("lost.onnx")
        (tmp_path / "m.onnx").write_bytes(b"x")
        with pytest.raises(ValueError, match=r"whole \.onnx file"):
            arch.sequence(tmp_path / "m.onnx")

    def test_onnx_products(self, tmp_path):
        onnx = pytest.importorskip("onnx", reason="onnx is not installed")
        nodes = [
            ("MatMul", ["x", "w"], "q", {}),
            ("Add", ["b", "q"], "p", {}),  # its bias
            ("Mul", ["p", "one"], "s", {}),  # a scale
            ("MatMul", ["s", "p"], "m", {}),
            ("Softmax", ["m"], "t", {}),
            ("MatMul", ["t", "p"], "a", {}),
            ("Add", ["a", "x"], "r", {}),
            ("Identity", ["w"], "v", {}),
            ("MatMul", ["r", "v"], "o", {}),
            ("Gemm", ["o", "g"], "z", {"transB": 1}),
        ]
        weights = {"w": [8, 8], "b": [8], "one": [], "g": [3, 8]}
        write_onnx(onnx, tmp_path / "m.onnx", nodes, weights)
        found = arch.sequence(tmp_path / "m.onnx")
        assert found.tokens == ("linear", "attention", "add", "linear", "linear")
        assert found.layers[0].module == "MatMul"
        assert [found.layers[i].parameters["channels"] for i in (0, 4)] == [(8, 8), (8, 3)]
        assert not found.dropped

    def test_lists_in_files(self, tmp_path):
        path = tmp_path / "m.json"
        path.write_text('["Conv2d", "ReLU"]')
        assert str(arch.sequence(path, "published")) == "CR"
        path.write_text("{}")
        with pytest.raises(ValueError, match="neither a list of kinds nor"):
            arch.sequence(path)


def write_onnx(onnx, path, nodes, weights):
    """A file of nodes: operator, inputs, output, attributes; the last one's output is z."""
    make = onnx.helper
    shape = make.make_tensor_value_info
    ends = [shape("x", 1, [1, 3, 9, 9])], [shape("z", 1, [1, 4, 4, 4])]
    made = [make.make_node(kind, given, [out], **told) for kind, given, out, told in nodes]
    held = [
        make.make_tensor(name, 1, sides, [0.0] * math.prod(sides))
        for name, sides in weights.items()
    ]
    onnx.save(make.make_model(make.make_graph(made, "g", *ends, held)), path)


OWN = [definitions.UNet, definitions.CORnetS, definitions.GhostNet, definitions.ResNeSt50]


@pytest.mark.parametrize("make", OWN)
def test_own_definitions_run_and_are_the_catalogue_s(make):
    name = {"UNet": "U-Net", "CORnetS": "CORnet-S"}.get(make.__name__, make.__name__)
    with torch.device("meta"):
        model = make()
    for vocabulary in ("published", "canonical"):
        assert arch.sequence(model, vocabulary).tokens == arch.zoo.sequence(name, vocabulary).tokens
    small = make().eval()
    assert torch.isfinite(small(torch.rand(1, 3, 64, 64))).all()


def test_dpt_is_the_catalogue_s(timm):
    with torch.device("meta"):
        model = definitions.DPTLarge()
    found = arch.sequence(model, input=(1, 3, 384, 384))
    assert found.tokens == arch.zoo.sequence("MiDaS").tokens
    assert len(arch.sequence(model, "published")) == 238


def keras_layer(kind, shape=(None, 8, 8, 4), activation=None, **attributes):
    """What a layer of Keras tells of itself."""
    tensor = SimpleNamespace(shape=shape)
    if activation is not None:
        attributes["activation"] = SimpleNamespace(__name__=activation)
    return type(kind, (), {"name": kind, "input": tensor, "output": tensor, **attributes})()


def test_layers_of_keras_without_keras():
    layers = [
        keras_layer("Conv2D", activation="relu", kernel_size=(3, 3), strides=(2, 2), filters=4),
        keras_layer("DepthwiseConv2D", activation="linear", kernel_size=(3, 3), strides=(1, 1)),
        keras_layer("Activation", activation="relu"),
        keras_layer("Dense", shape=(None, 4), activation="softmax", units=10),
    ]
    model = SimpleNamespace(layers=layers, get_config=dict)
    found = arch.sequence(model, "fine")
    assert found.tokens == (
        *("conv3x3/2", "relu", "depthwise conv3x3"),
        *("relu", "linear"),
    )
    assert found.layers[-1].parameters["channels"] == (4, 10)
    assert found.layers[0].shape == (1, 8, 8, 4)
    assert str(arch.sequence(model, "published")) == "CL"


def test_keras(keras):
    shape = (16, 16, 3)
    x = inputs = keras.Input(shape)
    x = keras.layers.Conv2D(8, 3, 2, activation="relu", name="first")(x)
    x = keras.layers.BatchNormalization()(x)
    y = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.Add(name="join")([x, y])
    x = keras.layers.GlobalAveragePooling2D()(x)
    outputs = keras.layers.Dense(10, activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    assert isinstance(model, nn.Module)
    found = arch.sequence(model, "fine")
    assert found.source == "layers of Keras"
    assert found.tokens == (
        *("conv3x3/2", "relu", "batch norm", "depthwise conv3x3"),
        *("add", "global pool", "linear"),
    )
    first = found.layers[0]
    assert first.name == "first" and first.shape == (1, 7, 7, 8)
    assert first.parameters["channels"] == (3, 8) and first.parameters["stride"] == (2, 2)
    assert found.layers[3].parameters["groups"] == 8
    layers = [
        keras.Input(shape),
        keras.layers.Conv2D(4, 3),
        keras.layers.ReLU(),
        keras.layers.MaxPooling2D(),
        keras.layers.Dropout(0.5),
    ]
    part = keras.Sequential(layers, name="part")
    assert str(arch.sequence(part, "published")) == "CRMD"


def test_keras_models_in_models_and_files(keras, tmp_path):
    part = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)], name="part")
    each = keras.layers.TimeDistributed(keras.layers.Dense(2), name="each")
    model = keras.Sequential([part, keras.layers.Flatten(), keras.layers.Reshape((9, 16)), each])
    found = arch.sequence(model)
    assert found.tokens == ("conv", "linear")
    assert [layer.name for layer in found.layers][1] == "each"
    assert found.layers[0].name.startswith("part.") and found.layers[1].shape == (1, 9, 2)
    model.save(tmp_path / "m.keras")
    assert arch.sequence(str(tmp_path / "m.keras")).tokens == found.tokens


def test_a_torch_model_with_a_keras_like_face_is_read_as_torch():
    class Face(nn.Sequential):
        layers = ()

        def get_config(self):
            return {}

    assert arch.sequence(Face(nn.Conv2d(3, 4, 3))).tokens == ("conv",)
