"""Gives each matrix product of a graph to the quicker of the two libraries that PyTorch has."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

__all__ = ["Layout", "layout_of", "quicken", "weights_may_change"]

aten = torch.ops.aten
LINEAR = torch.ops.mkldnn._linear_pointwise.default
LEAST = 2**18
"""Multiplications from which on a product is timed; below, both libraries take microseconds."""
TURNS = 10

Layout = tuple[tuple[int, ...], tuple[int, ...], torch.dtype, torch.device]
"""Sizes, strides, type and device of a tensor."""


def layout_of(tensor: Any) -> Layout | None:
    """The layout of a tensor; None for anything else."""
    if not isinstance(tensor, Tensor):
        return None
    return tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype, tensor.device


def quicken(graph: GraphModule, layouts: dict[Node, Layout | None]) -> None:
    """Let oneDNN make the products that it makes sooner than the BLAS, by the clock.

    Which one does depends on the processor and the sizes: on recent AMD processors oneDNN is
    about twice as fast for products of a hundred rows and more, and slower for small ones. Only
    float32 on a CPU is looked at. Both round differently in the last place.

    Args:
        graph: Changed in place.
        layouts: Of what each node gave when it was traced.
    """
    if not torch.backends.mkldnn.is_available():
        return
    for node in list(graph.graph.nodes):
        if node.target not in (aten.mm.default, aten.addmm.default) or node.kwargs:
            continue
        *bias, left, right = node.args
        parts = [layouts.get(part) for part in (left, right, *bias)]
        found = tuple(part for part in parts if part is not None)
        if len(found) < len(parts) or not _is_large(found):
            continue
        if not _is_quicker(found, torch.get_num_threads()):
            continue
        with graph.graph.inserting_before(node):
            weight = graph.graph.call_function(aten.t.default, (right,))
            operands: Any = (left, weight, bias[0] if bias else None, "none", [], "")
            product = graph.graph.call_function(LINEAR, operands)
        node.replace_all_uses_with(product)
        graph.graph.erase_node(node)
    graph.recompile()


def _is_large(found: tuple[Layout, ...]) -> bool:
    """Whether it is a product of float32 matrices on a CPU, large enough to matter."""
    (rows, inner), columns = found[0][0], found[1][0][1]
    plain = all(part[2] == torch.float32 and part[3].type == "cpu" for part in found)
    vector = len(found) == 2 or found[2][0] == (columns,)
    return plain and vector and rows * inner * columns >= LEAST


@cache
def _is_quicker(found: tuple[Layout, ...], threads: int) -> bool:
    """Whether oneDNN is quicker than the BLAS on so many threads."""
    left, right, *bias = [torch.empty_strided(*part[:2]).fill_(0.5) for part in found]

    def blas() -> Tensor:
        return torch.addmm(bias[0], left, right) if bias else torch.mm(left, right)

    def onednn() -> Tensor:
        made: Tensor = LINEAR(left, right.t(), bias[0] if bias else None, "none", [], "")
        return made

    times = [(_seconds(blas), _seconds(onednn)) for _ in range(TURNS)]
    best_blas, best_onednn = (min(turns) for turns in zip(*times, strict=True))
    return best_onednn < best_blas


def _seconds(make: Callable[[], Tensor]) -> float:
    began = time.perf_counter()
    make()
    return time.perf_counter() - began


@contextmanager
def weights_may_change() -> Iterator[None]:
    """Let Inductor call oneDNN's product as it is.

    By itself it takes only weights that never change, which it packs beforehand.
    """
    from torch._inductor import lowering  # takes seconds to import
    from torch._inductor.mkldnn_lowerings import register_onednn_fusion_ops

    register_onednn_fusion_ops()
    linear = lowering.fallback_handler(LINEAR, add_to_fallback_set=False)

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
