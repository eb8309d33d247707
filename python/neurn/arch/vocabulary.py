"""Which layer gets which token: data, not code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

UNKNOWN = ("keep", "drop", "error")

_DIMENSIONS = ("1d", "2d", "3d")
_KERAS_DIMENSIONS = ("1D", "2D", "3D")


@dataclass(frozen=True)
class Vocabulary:
    """Tokens for kinds of layers.

    Parameters
    ----------
    name : str
    tokens : mapping of str to str or None
        Token of each class or function, by its exact name; None: known, and left out.
    unknown : {"keep", "drop", "error"}
        What becomes of other kinds: a token of their own name, nothing, or a ValueError.
    detail : collection of str
        Tokens that say their layer's kernel, stride and groups too: ``"conv3x3/2"``; of a layer
        that tells its ``function``, the token of that.

    Raises
    ------
    ValueError
        If `unknown` is another one.

    Examples
    --------
    >>> from neurn import arch
    >>> arch.Vocabulary("mine", {"Conv2d": "C", "Identity": None}, unknown="error").name
    'mine'
    """

    name: str
    tokens: Mapping[str, str | None]
    unknown: str = "drop"
    detail: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        if self.unknown not in UNKNOWN:
            raise ValueError(
                f"unknown must be one of {', '.join(map(repr, UNKNOWN))}, got {self.unknown!r}"
            )

    @cached_property
    def _own(self) -> frozenset[str | None]:
        return frozenset(self.tokens.values())

    def token(self, kind: str, parameters: Mapping[str, Any]) -> tuple[bool, str | None]:
        """Return whether a kind is known, and its token.

        Parameters
        ----------
        kind : str
        parameters : mapping
            Those of `neurn.arch.Layer`.
        """
        if kind not in self.tokens:
            # What is a token already stays one.
            return (True, kind) if kind in self._own else (False, None)
        token = self.tokens[kind]
        if token in self.detail:
            token = self.tokens.get(parameters.get("function", ""), token)
        if token in self.detail:
            token = _detailed(token, parameters)
        return True, token


def _detailed(token: str, parameters: Mapping[str, Any]) -> str:
    groups, channels = parameters.get("groups", 1), parameters.get("channels", (0, 0))
    if groups > 1:
        token = f"{'depthwise' if groups == channels[0] else 'grouped'} {token}"
    token += "x".join(map(str, parameters.get("kernel", ())))
    stride = parameters.get("stride", ())
    if any(step != 1 for step in stride):
        same = len(set(stride)) == 1
        token += f"/{stride[0] if same else 'x'.join(map(str, stride))}"
    return token


def _each(pattern: str, dimensions: tuple[str, ...]) -> list[str]:
    return [pattern.format(d) for d in dimensions]


_CONV = [*_each("Conv{}", _DIMENSIONS), *_each("conv{}", _DIMENSIONS)]
_CONV += [*_each("Conv{}", _KERAS_DIMENSIONS), *_each("DepthwiseConv{}", _KERAS_DIMENSIONS[:2])]
_CONV += [*_each("SeparableConv{}", _KERAS_DIMENSIONS[:2]), "Conv", "Conv2dSame", "convolution"]
_TRANSPOSED = [*_each("ConvTranspose{}", _DIMENSIONS), *_each("conv_transpose{}", _DIMENSIONS)]
_TRANSPOSED += [*_each("Conv{}Transpose", _KERAS_DIMENSIONS), "ConvTranspose"]
_NORMS = {
    "batch norm": [
        *_each("BatchNorm{}", _DIMENSIONS),
        "BatchNormAct2d",
        "BatchNormalization",
        "FrozenBatchNorm2d",
        "SyncBatchNorm",
        "batch_norm",
    ],
    "layer norm": [
        "LayerNorm",
        "LayerNorm2d",
        "LayerNormalization",
        "layer_norm",
    ],
    "group norm": ["GroupNorm", "GroupNormAct", "GroupNormalization", "group_norm"],
    "instance norm": [
        *_each("InstanceNorm{}", _DIMENSIONS),
        "InstanceNormalization",
        "instance_norm",
    ],
    "rms norm": ["RMSNorm", "RMSNormalization", "SimplifiedLayerNormalization", "rms_norm"],
    "local response norm": ["LRN", "LocalResponseNorm", "local_response_norm"],
    "response norm": ["GlobalResponseNorm", "GlobalResponseNormMlp"],
    "norm": ["norm"],
    "unit norm": ["LpNormalization", "UnitNormalization", "normalize"],
}
_ACTIVATIONS = {
    "relu": ["ReLU", "Relu", "relu"],
    "relu6": ["ReLU6", "relu6", "Hardtanh", "hardtanh", "Clip"],
    "leaky relu": ["LeakyReLU", "LeakyRelu", "leaky_relu"],
    "prelu": ["PRelu", "PReLU", "prelu"],
    "elu": ["CELU", "ELU", "Elu", "SELU", "Selu", "celu", "elu", "selu"],
    "gelu": ["GELU", "Gelu", "NewGELUActivation", "QuickGELUActivation", "gelu"],
    "silu": ["SiLU", "Swish", "silu", "swish"],
    "mish": ["Mish", "mish"],
    "hard swish": ["HardSwish", "Hardswish", "hard_silu", "hard_swish", "hardswish"],
    "hard sigmoid": ["HardSigmoid", "Hardsigmoid", "hard_sigmoid", "hardsigmoid"],
    "sigmoid": ["Sigmoid", "sigmoid"],
    "tanh": ["Tanh", "tanh"],
    "softplus": ["Softplus", "softplus"],
    "glu": ["GLU", "glu"],
    "activation": ["Activation", "activation"],
}
_POOLS = {
    "max pool": [
        *_each("MaxPool{}", _DIMENSIONS),
        *_each("MaxPooling{}", _KERAS_DIMENSIONS),
        *_each("max_pool{}", _DIMENSIONS),
        *_each("max_pool{}_with_indices", _DIMENSIONS),
        "MaxPool",
    ],
    "average pool": [
        *_each("AvgPool{}", _DIMENSIONS),
        *_each("AveragePooling{}", _KERAS_DIMENSIONS),
        *_each("avg_pool{}", _DIMENSIONS),
        "AveragePool",
    ],
    "global pool": [
        *_each("AdaptiveAvgPool{}", _DIMENSIONS),
        *_each("AdaptiveMaxPool{}", _DIMENSIONS),
        *_each("GlobalAveragePooling{}", _KERAS_DIMENSIONS),
        *_each("GlobalMaxPooling{}", _KERAS_DIMENSIONS),
        *_each("adaptive_avg_pool{}", _DIMENSIONS),
        *_each("adaptive_max_pool{}", _DIMENSIONS),
        "GlobalAveragePool",
        "GlobalMaxPool",
        "ReduceMean",
        "mean",
    ],
}
_OTHERS = {
    "linear": [
        "Dense",
        "EinsumDense",
        "Gemm",
        "Linear",
        "NonDynamicallyQuantizableLinear",
        "addmm",
        "linear",
    ],
    "dropout": [
        "AlphaDropout",
        "Dropout",
        *_each("Dropout{}", _DIMENSIONS),
        *_each("SpatialDropout{}", _KERAS_DIMENSIONS),
        "alpha_dropout",
        "dropout",
        *_each("dropout{}", _DIMENSIONS),
        "feature_dropout",
    ],
    # Keras' Inception-ResNet adds with a layer of its own.
    "add": ["Add", "CustomScaleLayer", "FloatFunctional", "add"],
    "mul": ["Mul", "Multiply", "mul"],
    "cat": ["Concat", "Concatenate", "cat", "concat", "concatenate"],
    "attention": [
        "Attention",
        "MultiHeadAttention",
        "MultiheadAttention",
        "multi_head_attention",
        "scaled_dot_product_attention",
    ],
    "embedding": ["Embedding", "EmbeddingBag", "embedding", "embedding_bag"],
    "rnn": [
        "GRU",
        "GRUCell",
        "LSTM",
        "LSTMCell",
        "RNN",
        "RNNCell",
        "SimpleRNN",
        "gru",
        "gru_cell",
        "lstm",
        "lstm_cell",
        "rnn_relu",
        "rnn_relu_cell",
        "rnn_tanh",
        "rnn_tanh_cell",
    ],
}

# Known, and no layer: they move numbers, or end a classifier.
_LEFT_OUT = [
    *["Flatten", "Identity", "InputLayer", "Softmax", "softmax", "log_softmax"],
    *[f"ZeroPadding{d}" for d in _KERAS_DIMENSIONS],
    *["Reshape", "Transpose", "Permute", "Normalization", "Rescaling"],
    *[f"{kind}{d}" for kind in ("Cropping", "UpSampling") for d in _KERAS_DIMENSIONS],
]

_LETTERS = {
    "C": ["Conv2D", "Conv2d", "conv2d"],
    "B": ["BatchNorm2d", "BatchNormalization", "batch_norm"],
    "R": ["ReLU", "relu"],
    "M": ["MaxPool2d", "MaxPooling2D", "max_pool2d"],
    "L": ["Dense", "Linear", "linear"],
    "D": ["Dropout", "dropout"],
    "A": ["AdaptiveAvgPool2d", "adaptive_avg_pool2d"],
    # Seven letters name all but nine of the published layers; the figure leaves these open.
    "V": ["AvgPool2d", "avg_pool2d"],
}


def _inverted(groups: Mapping[str, list[str]]) -> dict[str, str | None]:
    return {kind: token for token, kinds in groups.items() for kind in kinds}


def _as(token: str, groups: Mapping[str, list[str]]) -> dict[str, str | None]:
    return {kind: token for kinds in groups.values() for kind in kinds}


_LAYERS: dict[str, str | None] = {
    **_inverted({"conv": _CONV, "transposed conv": _TRANSPOSED, **_OTHERS}),
    **dict.fromkeys(_LEFT_OUT),
}

PUBLISHED = Vocabulary("published", _inverted(_LETTERS))
CANONICAL = Vocabulary(
    "canonical",
    _LAYERS | _as("norm", _NORMS) | _as("activation", _ACTIVATIONS) | _as("pool", _POOLS),
)
FINE = Vocabulary(
    "fine",
    _LAYERS | _inverted(_NORMS) | _inverted(_ACTIVATIONS) | _inverted(_POOLS),
    detail=frozenset({"activation", "conv", "transposed conv", "max pool", "average pool"}),
)
VOCABULARIES = {vocabulary.name: vocabulary for vocabulary in (PUBLISHED, CANONICAL, FINE)}


def find(vocabulary: str | Vocabulary) -> Vocabulary:
    """Return a vocabulary by its name, or the one given."""
    if isinstance(vocabulary, Vocabulary):
        return vocabulary
    if vocabulary not in VOCABULARIES:
        raise ValueError(
            f"vocabulary must be one of {', '.join(map(repr, VOCABULARIES))} or a Vocabulary, "
            f"got {vocabulary!r}"
        )
    return VOCABULARIES[vocabulary]
