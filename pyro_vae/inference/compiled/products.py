"""Gives each matrix product of a graph to the quicker of the two libraries that PyTorch has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from pyro_vae.inference.compiled.clock import is_quicker

__all__ = ["Layout", "layout_of", "quicken", "weights_may_change"]

aten = torch.ops.aten
LINEAR = torch.ops.mkldnn._linear_pointwise.default
LEAST = 2**18
"""Multiplications from which on a product is timed; below, both libraries take microseconds."""

Layout = tuple[tuple[int, ...], tuple[int, ...], torch.dtype, torch.device]
"""Sizes, strides, type and device of a tensor."""


def layout_of(tensor: Any) -> Layout | None:
    """The layout of a tensor; None for anything else."""
    if not isinstance(tensor, Tensor):
        return None
    return tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype, tensor.device


def quicken(graph: GraphModule, layouts: dict[Node, Layout | None]) -> None:
    """Let each product be made by whichever library makes it sooner, by the clock.

    Which one does depends on the processor and the sizes: on recent AMD processors oneDNN is
    up to twice as fast for products of a hundred rows and more, and slower for small ones. Only
    float32 on a CPU is looked at. Both round differently in the last place.

    Where it stays with the BLAS, a bias is added afterwards: the BLAS would copy it into every
    row beforehand, whereas the addition joins whatever is computed next.

    Args:
        graph: Changed in place.
        layouts: Of what each node gave when it was traced.
    """
    for node in list(graph.graph.nodes):
        if node.target not in (aten.mm.default, aten.addmm.default) or node.kwargs:
            continue
        *bias, left, right = node.args
        found = layouts.get(left), layouts.get(right)
        with graph.graph.inserting_before(node):
            if _is_for_onednn(found, [layouts.get(part) for part in bias]):
                weight = graph.graph.call_function(aten.t.default, (right,))
                operands: Any = (left, weight, bias[0] if bias else None, "none", [], "")
                product = graph.graph.call_function(LINEAR, operands)
            elif bias:
                product = graph.graph.call_function(aten.mm.default, (left, right))
                product = graph.graph.call_function(aten.add.Tensor, (product, bias[0]))
            else:
                continue
        node.replace_all_uses_with(product)
        graph.graph.erase_node(node)
    graph.recompile()


def _is_for_onednn(found: tuple[Layout | None, ...], bias: list[Layout | None]) -> bool:
    """Whether oneDNN can make a product of float32 matrices on a CPU, and is quicker."""
    left, right = found
    if left is None or right is None or not torch.backends.mkldnn.is_available():
        return False
    (rows, inner), columns = left[0], right[0][1]
    if rows * inner * columns < LEAST or any(part and part[0] != (columns,) for part in bias):
        return False
    plain = all(part[2] == torch.float32 and part[3].type == "cpu" for part in (left, right))
    return plain and _is_quicker((left, right), torch.get_num_threads())


@cache
def _is_quicker(found: tuple[Layout, Layout], threads: int) -> bool:
    """Whether oneDNN is quicker than the BLAS on so many threads.

    Its left operand is laid out row after row first; how long that takes is counted as a copy of
    as many numbers.
    """
    left, right = (torch.empty_strided(*part[:2]).fill_(0.5) for part in found)
    rows = left.contiguous()

    def blas() -> Tensor:
        return torch.mm(left, right)

    def onednn() -> Tensor:
        first = rows if left.is_contiguous() else rows.clone()
        made: Tensor = LINEAR(first, right.t(), None, "none", [], "")
        return made

    return is_quicker(onednn, blas)


@contextmanager
def weights_may_change() -> Iterator[None]:
    """Let Inductor call oneDNN's product as it is.

    By itself it takes only weights that never change, which it packs beforehand.
    """
    from torch._inductor import ir, lowering  # takes seconds to import
    from torch._inductor.mkldnn_lowerings import register_onednn_fusion_ops

    register_onednn_fusion_ops()
    product = lowering.fallback_handler(LINEAR, add_to_fallback_set=False)

    def linear(left: Any, *others: Any) -> Any:
        """The product of rows that lie one after another, which oneDNN would else copy itself."""
        return product(ir.ExternKernel.require_contiguous(left), *others)

    def combined(left: Any, other: Any, weight: Any, bias: Any, attribute: str) -> Any:
        """A product and what Inductor would have oneDNN do to it next."""
        combine = lowering.lowerings[getattr(aten, attribute).Tensor]
        return combine(linear(left, weight, bias, "none", [], ""), other)

    ours: dict[Any, Any] = {LINEAR: linear, torch.ops.mkldnn._linear_pointwise.binary: combined}
    before = {op: lowering.lowerings.get(op) for op in ours}
    lowering.lowerings.update(ours)
    try:
        yield
    finally:
        for op, lowered in before.items():
            if lowered is None:
                del lowering.lowerings[op]
            else:
                lowering.lowerings[op] = lowered
