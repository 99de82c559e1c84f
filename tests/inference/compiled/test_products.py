"""Products of a graph by the quicker library: the same products, wherever they go."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from pyro_vae.inference.compiled import clock, products


def quickened(function, *tensors):
    graph = make_fx(function)(*tensors)
    layouts = {node: products.layout_of(node.meta.get("val")) for node in graph.graph.nodes}
    products.quicken(graph, layouts)
    targets = [node.target for node in graph.graph.nodes]
    return graph, targets.count(products.LINEAR)


def network(x, w, b, g):
    return torch.addmm(b, x, w.t()), g.t() @ x, g @ w


OPERANDS = (torch.randn(128, 100), torch.randn(90, 100), torch.randn(90), torch.randn(128, 90))


@pytest.mark.parametrize("quicker", [True, False])
def test_a_product_is_the_same_by_either_library(monkeypatch, quicker):
    monkeypatch.setattr(products, "_is_quicker", lambda found, threads: quicker)
    graph, count = quickened(network, *OPERANDS)
    assert count == 3 * quicker
    for ours, theirs in zip(graph(*OPERANDS), network(*OPERANDS), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)


def test_a_bias_is_added_to_what_the_blas_makes(monkeypatch):
    monkeypatch.setattr(products, "_is_quicker", lambda found, threads: False)
    graph, _ = quickened(network, *OPERANDS)
    targets = [node.target for node in graph.graph.nodes]
    assert torch.ops.aten.addmm.default not in targets
    assert targets.count(torch.ops.aten.mm.default) == 3


def test_it_is_the_clock_that_decides(monkeypatch):
    times = iter([2e-3, 1e-3] * clock.TURNS + [0.7, 0.8] * clock.FEW)
    monkeypatch.setattr(clock, "_seconds", lambda make: next(times))
    found = [products.layout_of(torch.randn(64, 64)) for _ in range(2)]
    assert not products._is_quicker.__wrapped__(tuple(found), 1)
    assert products._is_quicker.__wrapped__(tuple(found), 1)
    assert next(times, None) is None  # long ones are not timed as often


@pytest.mark.parametrize("operands", [
    [part.double() for part in OPERANDS],
    [part[:9, :9] if part.dim() == 2 else part[:9] for part in OPERANDS],
])  # fmt: skip
def test_small_products_and_other_types_are_left_alone(monkeypatch, operands):
    monkeypatch.setattr(products, "_is_quicker", lambda found, threads: True)
    assert quickened(network, *operands)[1] == 0


def test_both_candidates_are_timed_for_real(monkeypatch):
    times, seconds = [], clock._seconds

    def noted(make):
        times.append(seconds(make))
        return times[-1]

    monkeypatch.setattr(clock, "_seconds", noted)
    found = tuple(products.layout_of(part) for part in (OPERANDS[0], OPERANDS[1].t()))
    quicker = products._is_quicker.__wrapped__(found, torch.get_num_threads())
    assert len(times) == 2 * clock.TURNS
    assert min(times) > 0
    assert quicker == (min(times[::2]) < min(times[1::2]))


def fused(x, w, b, g):
    product = torch.addmm(b, x, w.t())
    left, gated = product + g, product.relu() * g
    return left, left.relu(), gated, g @ w - x


def test_what_inductor_fuses_with_a_product_is_compiled(monkeypatch):
    monkeypatch.setattr(products, "_is_quicker", lambda found, threads: True)
    graph, count = quickened(fused, *OPERANDS)
    assert count == 2
    for node in graph.graph.nodes:
        node.meta.clear()  # as a capture leaves them
    with products.weights_may_change():
        compiled = torch._inductor.compile(
            graph, list(OPERANDS), options={"cpp_wrapper": True, "force_disable_caches": True}
        )
    for ours, theirs in zip(compiled(*OPERANDS), fused(*OPERANDS), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)
