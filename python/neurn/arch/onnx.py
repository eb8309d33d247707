"""The layers of an ONNX file: the types of its operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurn._optional import import_optional
from neurn.arch.layers import Layer


def onnx_layers(source: Any) -> tuple[Layer, ...]:
    """Return an ONNX model's operators in the order of its graph, which is topological.

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
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    shapes = {
        value.name: tuple(side.dim_value for side in value.type.tensor_type.shape.dim)
        for value in [*model.graph.value_info, *model.graph.output]
    }
    return tuple(
        Layer(
            node.name or f"{node.op_type}_{place}",
            node.op_type,
            "",
            _parameters(onnx, node, weights),
            shapes.get(node.output[0]),
        )
        for place, node in enumerate(model.graph.node)
    )


def _parameters(onnx: Any, node: Any, weights: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    values = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    found: dict[str, Any] = {}
    if "kernel_shape" in values:
        kernel = tuple(values["kernel_shape"])
        found = {"kernel": kernel, "stride": tuple(values.get("strides", (1,) * len(kernel)))}
    weight = weights.get(node.input[1]) if len(node.input) > 1 else None
    if node.op_type == "Conv" and weight is not None:
        groups = int(values.get("group", 1))
        found |= {"groups": groups, "channels": (weight[1] * groups, weight[0])}
        found.setdefault("kernel", weight[2:])
    return found
