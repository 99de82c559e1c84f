"""Computes transposed convolutions of a graph as plain ones, where those are quicker."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

from pyro_vae.compiled.clock import quickest
from pyro_vae.compiled.products import Layout

__all__ = ["as_plain", "quicken_convolutions"]

aten = torch.ops.aten
Pair = tuple[int, ...]


def quicken_convolutions(graph: GraphModule, layouts: dict[Node, Layout | None]) -> None:
    """Let each transposed convolution be computed as a plain one where that is quicker.

    oneDNN is slow at transposed convolutions to few channels, with which decoders of pictures end.
    Only float32 on a CPU is looked at. Both round differently in the last place.

    Args:
        graph: Changed in place.
        layouts: Of what each node gave when it was traced.
    """
    for node in list(graph.graph.nodes):
        if node.target is not aten.convolution.default:
            continue
        x, weight, bias, stride, padding = node.args[:5]
        found = layouts.get(x), layouts.get(weight)
        places = tuple(stride), tuple(padding)
        if not _enlarges(node, *found, layouts.get(node)):
            continue
        sizes = [part[0] for part in found if part is not None]
        if not _is_quicker_as_plain(*sizes, *places, torch.get_num_threads()):
            continue
        with graph.graph.inserting_before(node):
            y = _inlined(graph, (x, weight), sizes, places)
            if bias is not None:
                column = graph.graph.call_function(aten.view.default, (bias, [-1, 1, 1]))
                y = graph.graph.call_function(aten.add.Tensor, (y, column))
        node.replace_all_uses_with(y)
        graph.graph.erase_node(node)
    graph.recompile()


def as_plain(x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """A transposed convolution that makes a picture ``stride`` times as large, by a plain one.

    The pixels that the output has for each one of the input become channels of a plain convolution
    of the input, and are then put side by side. Its kernel has the same weights, and zeros.

    Shapes:
        ``(N, C, H, W)`` and ``(C, K, h, w)`` to ``(N, K, H * stride[0], W * stride[1])``.

    Args:
        x: The input.
        weight: The kernel, as ``torch.nn.ConvTranspose2d`` lays it out.
        stride: In each direction.
        padding: In each direction.

    References:
        | Real-time single image and video super-resolution using an efficient sub-pixel
        | convolutional neural network (Shi et al., 2016)
        | https://arxiv.org/abs/1609.05158
    """
    around: list[int] = []
    for size, step, pad in zip(weight.shape[2:], stride, padding, strict=True):
        # Output s q + r has the input q + d times the weight r + p - s d, for -most <= d <= most.
        most = max((step - 1 + pad) // step, (size - 1 - pad) // step)
        before = step * most - pad
        around = [before, step * (2 * most + 1) - before - size, *around]  # the last side first
    kernel = functional.pad(weight, around)
    (inputs, outputs, *sizes), (s, t) = kernel.shape, stride
    m, n = sizes[0] // s, sizes[1] // t
    kernel = kernel.reshape(inputs, outputs, m, s, n, t).flip(2, 4).permute(1, 3, 5, 0, 2, 4)
    kernel = kernel.reshape(outputs * s * t, inputs, m, n)
    y = functional.conv2d(x, kernel, padding=(m // 2, n // 2))
    count, _, height, width = y.shape
    y = y.reshape(count, outputs, s, t, height, width).permute(0, 1, 4, 2, 5, 3)
    return y.reshape(count, outputs, height * s, width * t)


def _enlarges(node: Any, x: Layout | None, weight: Layout | None, y: Layout | None) -> bool:
    """Whether a convolution is a transposed one that :func:`as_plain` computes."""
    stride, _, dilation, transposed, _, groups = node.args[3:9]
    if x is None or weight is None or y is None or not transposed or groups != 1:
        return False
    if len(stride) != 2 or any(step != 1 for step in dilation):
        return False
    plain = all(part[2] == torch.float32 and part[3].type == "cpu" for part in (x, weight))
    return plain and all(
        size * step == larger
        for size, step, larger in zip(x[0][2:], stride, y[0][2:], strict=True)
    )  # fmt: skip


@cache
def _is_quicker_as_plain(x: Pair, weight: Pair, stride: Pair, padding: Pair, threads: int) -> bool:
    """Whether :func:`as_plain` is the quicker way for such sizes on so many threads."""
    picture = torch.full(x, 0.5).contiguous(memory_format=torch.channels_last)
    kernel = torch.full(weight, 0.5)
    ways = {
        "plain": lambda: as_plain(picture, kernel, stride, padding),
        "transposed": lambda: functional.conv_transpose2d(picture, kernel, None, stride, padding),
    }
    return quickest(ways) == "plain"


def _inlined(
    graph: GraphModule, operands: tuple[Node, Node], sizes: list[Pair], places: tuple[Pair, Pair]
) -> Any:
    """The nodes of :func:`as_plain`, put where the graph inserts."""
    traced = make_fx(lambda x, weight: as_plain(x, weight, *places))(*map(torch.zeros, sizes))
    made: dict[Node, Any] = {}
    given = iter(operands)
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            made[node] = next(given)
        elif node.op == "output":
            return made[node.args[0]]
        else:
            made[node] = graph.graph.node_copy(node, made.__getitem__)
            made[node].meta.clear()
    raise AssertionError("a traced graph has an output")
