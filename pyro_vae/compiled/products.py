"""Lets each matrix product of a graph be made in the quickest of some ways."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from pyro_vae.compiled.clock import quickest
from pyro_vae.compiled.native_products import (
    binary_product,
    narrow_product,
    native_products,
    tile_product,
)

__all__ = ["Layout", "layout_of", "quicken", "ways_of"]

aten = torch.ops.aten
LEAST = 2**18
"""Multiplications from which on a product is timed; below, all ways take microseconds."""
NARROW = 64
"""Rows, columns or terms of a sum below which a product may be split. Wider ones the libraries
share out well by themselves, so that the clock would choose by chance."""
SPLIT = {"rows": 0, "columns": 1}
BINARY = ("binary left", "binary right")

Layout = tuple[tuple[int, ...], tuple[int, ...], torch.dtype, torch.device]
"""Sizes, strides, type and device of a tensor."""


def layout_of(tensor: Any) -> Layout | None:
    """The layout of a tensor; None for anything else."""
    if not isinstance(tensor, Tensor):
        return None
    return tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype, tensor.device


def quicken(
    graph: GraphModule, layouts: dict[Node, Layout | None], binary: Collection[Node] = ()
) -> None:
    """Let each product be made in whichever way makes it soonest, by the clock.

    There are PyTorch's two libraries, each with its own threads; for narrow products the BLAS on
    parts of it, one for each thread, and sums straight from where the matrices lie; the matrix
    tiles of Intel's processors, with float32's exactness; and look-ups where a matrix holds
    noughts and ones alone. Which way is the quickest depends on the processor and the sizes: on
    recent AMD processors oneDNN is up to twice as fast as the BLAS for products of a hundred rows
    and more, and slower for small ones. Only float32 on a CPU is looked at. All round differently
    in the last place.

    A bias is added afterwards: the BLAS would copy it into every row beforehand, whereas the
    addition joins whatever is computed next.

    Args:
        graph: Changed in place.
        layouts: Of what each node gave when it was traced.
        binary: The nodes that hold noughts and ones alone; products are right in any case.
    """
    for node in list(graph.graph.nodes):
        if node.target not in (aten.mm.default, aten.addmm.default) or node.kwargs:
            continue
        *bias, left, right = node.args
        found = layouts.get(left), layouts.get(right)
        with graph.graph.inserting_before(node):
            side = 0 if left in binary else 1 if right in binary else None
            product = _made(graph, _way(*found, side), left, right)
            if bias:
                product = _added(graph, product, bias[0])
        node.replace_all_uses_with(product)
        graph.graph.erase_node(node)
    graph.recompile()


def _added(graph: GraphModule, product: Node, bias: Node) -> Node:
    """The node that adds a bias; with an axis too many for Inductor to hand it to the BLAS."""
    call = graph.graph.call_function
    product = call(aten.unsqueeze.default, (product, 0))
    return call(aten.squeeze.dim, (call(aten.add.Tensor, (product, bias)), 0))


def _made(graph: GraphModule, way: str, left: Node, right: Node) -> Node:
    """The node that makes a product in some way."""
    if way in SPLIT:
        split = native_products().split_product.default
        return graph.graph.call_function(split, (left, right, SPLIT[way]))
    if way == "onednn":
        rows: dict[str, Any] = {"memory_format": torch.contiguous_format}
        left = graph.graph.call_function(aten.clone.default, (left,), rows)
        return graph.graph.call_function(native_products().onednn_product.default, (left, right))
    if way in BINARY:
        looked_up = binary_product().default
        return graph.graph.call_function(looked_up, (left, right, BINARY.index(way)))
    if way == "narrow":
        return graph.graph.call_function(narrow_product().default, (left, right))
    if way == "tiles":
        return graph.graph.call_function(tile_product().default, (left, right))
    return graph.graph.call_function(aten.mm.default, (left, right))


def _way(left: Layout | None, right: Layout | None, binary: int | None = None) -> str:
    """The quickest way of making a product; the BLAS where the clock is not asked."""
    if left is None or right is None or left[0][0] * left[0][1] * right[0][1] < LEAST:
        return "blas"
    plain = all(part[2] == torch.float32 and part[3].type == "cpu" for part in (left, right))
    return _quickest(left, right, torch.get_num_threads(), binary) if plain else "blas"


@cache
def _quickest(left: Layout, right: Layout, threads: int, binary: int | None = None) -> str:
    """The quickest way of making a product of such matrices on so many threads."""
    draws = torch.Generator().manual_seed(0)  # not the numbers that the model draws next
    a, b = (
        torch.empty_strided(*part[:2]).uniform_(-1, 1, generator=draws) for part in (left, right)
    )
    if binary is not None:
        (a, b)[binary].gt_(0)
    return quickest(ways_of(a, b, threads, binary))


def ways_of(
    a: Tensor, b: Tensor, threads: int, binary: int | None = None
) -> dict[str, Callable[[], Any]]:
    """The ways of making a product of float32 matrices on a CPU, by name.

    OneDNN's left operand is laid out row after row first; how long that takes is counted as a copy
    of as many numbers.

    Args:
        a: The left matrix.
        b: The right one.
        threads: How many there are.
        binary: Which of the two (0 or 1) holds noughts and ones alone; None if neither does.
    """
    ways: dict[str, Callable[[], Any]] = {"blas": lambda: torch.mm(a, b)}
    if binary is not None and (looked_up := binary_product()) is not None:
        ways[BINARY[binary]] = partial(looked_up, a, b, binary)
    if (tiles := tile_product()) is not None:
        ways["tiles"] = partial(tiles, a, b)
    is_narrow = min(*a.shape, *b.shape) < NARROW
    if is_narrow and (narrow := narrow_product()) is not None:
        ways["narrow"] = partial(narrow, a, b)
    native = native_products()
    if native is None:
        return ways
    if is_narrow and threads > 1:
        ways |= {way: partial(native.split_product, a, b, dim) for way, dim in SPLIT.items()}
    if torch.backends.mkldnn.is_available():
        rows = a.contiguous()
        ways["onednn"] = lambda: native.onednn_product(
            rows if a.is_contiguous() else rows.clone(), b
        )
    return ways
