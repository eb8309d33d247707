"""The layers of a torch model's graph, in an order that does not depend on how it was written."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from neurn.arch.inputs import Arguments
from neurn.arch.layers import Layer
from neurn.arch.trace import is_layer, parameters, plain_name, quiet
from neurn.arch.vocabulary import CANONICAL


def graph(model: nn.Module, inputs: Arguments) -> tuple[Layer, ...]:
    """Export a model and return its layers in canonical topological order.

    Parameters
    ----------
    model : torch.nn.Module
    inputs : tuple of (tuple, dict)
        Arguments by position and by name.
    """
    with quiet(model), torch.no_grad():
        program = torch.export.export(model, *inputs)
    return exported(program)


def exported(program: torch.export.ExportedProgram) -> tuple[Layer, ...]:
    """Return the layers of an exported model in canonical topological order."""
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    found = [_layer(node) for node in nodes]
    place = {node: i for i, node in enumerate(nodes)}
    before = [[place[x] for x in node.all_input_nodes if x in place] for node in nodes]
    labels = ["" if layer is None else f"{layer.kind}{layer.parameters}" for layer in found]
    order = canonical_order(before, labels)
    return tuple(layer for i in order if (layer := found[i]) is not None)


def canonical_order(before: Sequence[Sequence[int]], labels: Sequence[str]) -> list[int]:
    """Order a graph's nodes by their depth, and those of one depth by what they are.

    What a node is: its label with those of all nodes that lead to it, then of all that follow.
    Nodes that are alike in all of this keep their order, and are alike as layers.

    Parameters
    ----------
    before : sequence of sequence of int
        Nodes that each node takes from; all of them come before it.
    labels : sequence of str
        "" for a node that is no layer: it adds nothing to the depth.

    Returns
    -------
    list of int
        Nodes, each after those that it takes from. Depth: the most layers on any way to a node.
    """
    count = len(before)
    after: list[list[int]] = [[] for _ in range(count)]
    depth, up, down = [0] * count, [""] * count, [""] * count
    for node in range(count):
        for source in before[node]:
            after[source].append(node)
        deepest = max((depth[source] for source in before[node]), default=0)
        depth[node] = deepest + bool(labels[node])
        up[node] = _digest(labels[node], [up[source] for source in before[node]])
    for node in reversed(range(count)):
        down[node] = _digest(labels[node], [down[target] for target in after[node]])
    waiting = [len(sources) for sources in before]
    ready = [(depth[i], up[i], down[i], i) for i in range(count) if not waiting[i]]
    heapq.heapify(ready)
    order = []
    while ready:
        node = heapq.heappop(ready)[-1]
        order.append(node)
        for target in after[node]:
            waiting[target] -= 1
            if not waiting[target]:
                heapq.heappush(ready, (depth[target], up[target], down[target], target))
    return order


def _digest(label: str, neighbours: list[str]) -> str:
    text = "\n".join([label, *sorted(neighbours)])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _layer(node: Any) -> Layer | None:
    kind = plain_name(str(getattr(node.target, "_opname", "")))
    if CANONICAL.tokens.get(kind) is None:
        return None
    value = node.meta.get("val")
    first = value[0] if isinstance(value, (tuple, list)) else value
    if not isinstance(first, torch.Tensor):
        return None
    shape = tuple(int(side) for side in first.shape)
    args = tuple(x.meta.get("val") if isinstance(x, torch.fx.Node) else x for x in node.args)
    kwargs = dict(node.kwargs)
    if not is_layer(kind, args, kwargs):
        return None
    stack = node.meta.get("nn_module_stack") or {}
    name, owner = list(stack.values())[-1] if stack else ("", "")
    module = owner if isinstance(owner, str) else owner.__name__
    return Layer(
        name, kind, module.rpartition(".")[2], parameters(kind, args, kwargs, shape), shape
    )
