"""Which nodes of a graph hold noughts and ones alone, such as black and white pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, Node

__all__ = ["binary_nodes"]

aten = torch.ops.aten
DRAWN = (aten.bernoulli.default, aten.bernoulli.p)
TRUTHS = tuple(
    overload
    for name in ("lt", "le", "gt", "ge", "eq", "ne")
    for overload in (getattr(aten, name).Tensor, getattr(aten, name).Scalar)
)
MOVED = (
    aten._to_copy.default, aten._unsafe_view.default, aten.alias.default, aten.as_strided.default,
    aten.clone.default, aten.detach.default, aten.expand.default, aten.index.Tensor,
    aten.index_select.default, aten.permute.default, aten.select.int, aten.slice.Tensor,
    aten.squeeze.dim, aten.t.default, aten.transpose.int, aten.unsqueeze.default,
    aten.view.default,
)  # fmt: skip
"""Operators that give numbers of their first argument, and no others."""
LOOKED_AT = 2**20
"""Numbers of an input that are looked at; whoever relies on the rest must look for itself."""


def binary_nodes(graph: Graph, data: Mapping[int, Tensor]) -> set[Node]:
    """The nodes whose numbers are noughts and ones, so far as can be seen.

    Args:
        graph: A graph of ATen operators, in their order.
        data: The inputs that no step changes, by position: for example the training data.
    """
    found: set[Node] = set()
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    for position, tensor in data.items():
        if _is_binary(tensor):
            found.add(inputs[position])
    for node in graph.nodes:
        if node.op == "call_function" and (node.target in DRAWN or _is_kept(node, found)):
            found.add(node)
    return found


def _is_kept(node: Node, found: set[Node]) -> bool:
    """Whether an operator gives numbers of something binary, or truths as numbers."""
    first: Any = node.args[0] if node.args else None
    if node.target not in MOVED or not isinstance(first, Node):
        return False
    return first in found or first.target in TRUTHS


def _is_binary(tensor: Tensor) -> bool:
    """Whether the first numbers of a tensor are noughts and ones."""
    if not tensor.dim() or not tensor.numel():
        return False
    rows = max(1, LOOKED_AT * len(tensor) // tensor.numel())
    part = tensor[:rows]
    return bool(((part == 0) | (part == 1)).all())
