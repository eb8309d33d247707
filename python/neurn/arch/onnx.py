"""The layers of an ONNX file: the types of its operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurn._optional import import_optional
from neurn.arch.layers import Layer
from neurn.arch.trace import written_out_attention


def onnx_layers(source: Any) -> tuple[Layer, ...]:
    """Return an ONNX model's operators in the order of its graph, which is topological.

    Constants, numbers that only scale, and the bias behind a product are no layers; a product with
    a matrix of weights is linear, and product, softmax and product are attention.

    Parameters
    ----------
    source : path or onnx.ModelProto
        Of a file, weights beside it are not read.

    Raises
    ------
    MissingExtraError
        If onnx is not installed; the extra ``onnx`` brings it.
    """
    onnx = import_optional("onnx", "onnx")
    model = source
    if isinstance(source, (str, Path)):
        model = onnx.load(str(source), load_external_data=False)
    constants = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            dims = [tuple(item.t.dims) for item in node.attribute if item.name == "value"]
            constants[node.output[0]] = dims[0] if dims else ()
        elif node.op_type == "Identity" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]  # equal weights are kept once
    shapes = {
        value.name: tuple(side.dim_value for side in value.type.tensor_type.shape.dim)
        for value in [*model.graph.value_info, *model.graph.output]
    }
    products = {node.output[0] for node in model.graph.node if _is_linear(node, constants)}
    layers = [
        Layer(
            node.name or f"{node.op_type}_{place}",
            "linear" if _is_linear(node, constants) else node.op_type,
            node.op_type,
            _parameters(onnx, node, constants),
            shapes.get(node.output[0]),
        )
        for place, node in enumerate(model.graph.node)
        if not _of_constants(node, constants, products)
    ]
    return written_out_attention(layers)


def _is_linear(node: Any, constants: dict[str, tuple[int, ...]]) -> bool:
    """Return whether a product is that of a matrix of weights."""
    return node.op_type == "MatMul" and len(constants.get(node.input[1], ())) == 2


def _of_constants(node: Any, constants: dict[str, tuple[int, ...]], products: set[str]) -> bool:
    """Return whether a node is a constant, scales by a number, or adds a linear layer's bias."""
    if node.op_type == "Constant" or all(name in constants for name in node.output):
        return True
    if node.op_type not in ("Add", "Mul"):
        return False
    known = [constants[name] for name in node.input if name in constants]
    bias = node.op_type == "Add" and any(len(sides) == 1 for sides in known)
    return any(all(side == 1 for side in sides) for sides in known) or (
        bias and any(name in products for name in node.input)
    )


def _parameters(onnx: Any, node: Any, weights: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    values = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    found: dict[str, Any] = {}
    if "kernel_shape" in values:
        kernel = tuple(values["kernel_shape"])
        found = {"kernel": kernel, "stride": tuple(values.get("strides", (1,) * len(kernel)))}
    weight = weights.get(node.input[1]) if len(node.input) > 1 else None
    if _is_linear(node, weights):
        found["channels"] = weight
    if node.op_type == "Gemm" and weight is not None:
        found["channels"] = weight[::-1] if values.get("transB") else weight
    if node.op_type == "Conv" and weight is not None:
        groups = int(values.get("group", 1))
        found |= {"groups": groups, "channels": (weight[1] * groups, weight[0])}
        found.setdefault("kernel", weight[2:])
    return found
