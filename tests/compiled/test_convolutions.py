"""Transposed convolutions as plain ones: the same pictures, whichever way is taken."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

from pyro_vae.compiled import convolutions, products

CONVOLUTION = torch.ops.aten.convolution.default

SHAPES = {
    "a decoder's": ((4, 4), (2, 2), (1, 1), (0, 0)),
    "odd": ((3, 3), (2, 2), (1, 1), (1, 1)),
    "without overlap": ((2, 2), (2, 2), (0, 0), (0, 0)),
    "smaller than its steps": ((1, 1), (2, 2), (0, 0), (1, 1)),
    "wide": ((7, 5), (2, 2), (3, 2), (1, 1)),
    "three times": ((6, 5), (3, 3), (2, 1), (1, 0)),
    "one by two": ((3, 4), (1, 2), (1, 1), (0, 0)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_transposed_convolution_is_a_plain_one(name):
    kernel, stride, padding, more = SHAPES[name]
    x = torch.randn(3, 5, 6, 7, dtype=torch.float64)
    weight = torch.randn(5, 2, *kernel, dtype=torch.float64)
    expected = functional.conv_transpose2d(x, weight, None, stride, padding, more)
    torch.testing.assert_close(convolutions.as_plain(x, weight, stride, padding), expected)


def graph_of(function, *tensors):
    graph = make_fx(function)(*tensors)
    layouts = {node: products.layout_of(node.meta.get("val")) for node in graph.graph.nodes}
    convolutions.quicken_convolutions(graph, layouts)
    return graph, [node for node in graph.graph.nodes if node.target is CONVOLUTION]


def last_level(x, weight, bias):
    return functional.conv_transpose2d(x.relu(), weight, bias, 2, 1).sigmoid()


OPERANDS = torch.randn(9, 8, 7, 7), torch.randn(8, 3, 4, 4), torch.randn(3)


@pytest.mark.parametrize("quicker", [True, False])
def test_a_graph_gives_the_same_either_way(monkeypatch, quicker):
    way = "plain" if quicker else "transposed"
    monkeypatch.setattr(convolutions, "quickest", lambda ways: way)
    convolutions._is_quicker_as_plain.cache_clear()
    graph, (found,) = graph_of(last_level, *OPERANDS)
    assert found.args[6] is not quicker
    torch.testing.assert_close(graph(*OPERANDS), last_level(*OPERANDS), rtol=1e-5, atol=1e-5)
    convolutions._is_quicker_as_plain.cache_clear()


OTHERS = {
    "plain": lambda x, w: functional.conv2d(x, w[:, :, :3, :3].transpose(0, 1)),
    "smaller": lambda x, w: functional.conv_transpose2d(x, w, None, 2, 2),
    "grouped": lambda x, w: functional.conv_transpose2d(x, w, None, 2, 1, groups=2),
    "dilated": lambda x, w: functional.conv_transpose2d(x, w[..., :2, :2], None, 2, 0, 0, 1, 2),
    "double": lambda x, w: functional.conv_transpose2d(x.double(), w.double(), None, 2, 1),
    "a line": lambda x, w: functional.conv_transpose1d(x[..., 0], w[..., 0], None, 2, 1),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_convolutions_are_left_alone(monkeypatch, name):
    monkeypatch.setattr(convolutions, "_is_quicker_as_plain", lambda *found: True)
    before = make_fx(OTHERS[name])(*OPERANDS[:2])
    graph, _ = graph_of(OTHERS[name], *OPERANDS[:2])
    assert graph.code == before.code


def test_both_ways_are_timed_for_real(monkeypatch):
    timed = []

    def compared(ways):
        timed.extend(compute() for compute in ways.values())
        return "plain"

    monkeypatch.setattr(convolutions, "quickest", compared)
    decide = convolutions._is_quicker_as_plain.__wrapped__
    assert decide((2, 4, 5, 5), (4, 1, 4, 4), (2, 2), (1, 1), 1)
    torch.testing.assert_close(*timed)
