"""Products of a graph in the quickest way: the same products, however they are made."""

from types import SimpleNamespace

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from pyro_vae.inference.compiled import backends, clock, native_products, products

MM = torch.ops.aten.mm.default
WAYS = ("blas", "onednn", "rows", "columns")


def quickened(function, *tensors):
    graph = make_fx(function)(*tensors)
    layouts = {node: products.layout_of(node.meta.get("val")) for node in graph.graph.nodes}
    products.quicken(graph, layouts)
    return graph, [node.target for node in graph.graph.nodes if node.op == "call_function"]


def operator_of(way):
    native = native_products.native_products()
    other = native.onednn_product if way == "onednn" else native.split_product
    return MM if way == "blas" else other.default


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def network(x, w, b, g):
    return torch.addmm(b, x, w.t()), g.t() @ x, g @ w


OPERANDS = (torch.randn(128, 100), torch.randn(90, 100), torch.randn(90), torch.randn(128, 90))


@pytest.mark.parametrize("way", WAYS)
def test_a_product_is_the_same_in_every_way(monkeypatch, two_threads, way):
    monkeypatch.setattr(products, "_quickest", lambda left, right, threads: way)
    graph, targets = quickened(network, *OPERANDS)
    assert targets.count(operator_of(way)) == 3
    for ours, theirs in zip(graph(*OPERANDS), network(*OPERANDS), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_a_bias_is_added_to_the_product(monkeypatch, way):
    monkeypatch.setattr(products, "_quickest", lambda left, right, threads: way)
    _, targets = quickened(network, *OPERANDS)
    assert torch.ops.aten.addmm.default not in targets
    assert targets.count(torch.ops.aten.add.Tensor) == 1


MATRICES = {
    "smaller than a part": (torch.randn(3, 5), torch.randn(5, 7)),
    "of parts of unequal size": (torch.randn(53, 40), torch.randn(40, 37)),
    "transposed": (torch.randn(40, 53).t(), torch.randn(37, 40).t()),
    "within larger ones": (torch.randn(60, 50)[3:53, 5:45], torch.randn(50, 60)[5:45, 7:]),
    "of one number": (torch.randn(1, 1), torch.randn(1, 1)),
}


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_native_products_are_right(name, threads):
    left, right = MATRICES[name]
    expected, before = left @ right, torch.get_num_threads()
    native = native_products.native_products()
    torch.set_num_threads(threads)
    try:
        made = [native.split_product(left, right, dim) for dim in (0, 1)]
        made.append(native.onednn_product(left, right))
    finally:
        torch.set_num_threads(before)
    for product in made:
        torch.testing.assert_close(product, expected, rtol=1e-5, atol=1e-5)


def test_it_is_the_clock_that_decides(monkeypatch):
    times = iter([2e-3, 1e-3] * clock.TURNS + [0.7, 0.8] * clock.FEW)
    monkeypatch.setattr(clock, "_seconds", lambda compute, others: next(times))
    ways = {"one": torch.zeros, "other": torch.ones}
    assert clock.quickest(ways) == "other"
    assert clock.quickest(ways) == "one"
    assert next(times, None) is None  # long ones are not timed as often


@pytest.mark.parametrize(("inner", "threads", "ways"), [
    (20, 2, WAYS), (20, 1, WAYS[:2]), (products.NARROW, 2, WAYS[:2]),
])  # fmt: skip
def test_every_way_is_timed_for_real(monkeypatch, inner, threads, ways):
    made = {}

    def noted(candidates):
        made.update({way: compute() for way, compute in candidates.items()})
        return clock.quickest(candidates)

    monkeypatch.setattr(products, "quickest", noted)
    found = [
        products.layout_of(part) for part in (torch.ones(inner, 100).t(), torch.ones(inner, 90))
    ]
    assert products._quickest.__wrapped__(*found, threads) in ways
    assert sorted(made) == sorted(ways)
    for product in made.values():
        torch.testing.assert_close(product, torch.full((100, 90), inner / 4))


@pytest.mark.parametrize("operands", [
    [part.double() for part in OPERANDS],
    [part[:9, :9] if part.dim() == 2 else part[:9] for part in OPERANDS],
])  # fmt: skip
def test_small_products_and_other_types_stay_with_the_blas(monkeypatch, operands):
    monkeypatch.setattr(products, "_quickest", lambda left, right, threads: "onednn")
    assert quickened(network, *operands)[1].count(MM) == 3


def test_the_blas_is_left_where_nothing_compiles(monkeypatch):
    def failing(name, schema, **kwargs):
        raise OSError("no compiler\nand more")

    monkeypatch.setattr(torch.library, "define", failing)
    with pytest.warns(UserWarning, match=r"left to the BLAS.*OSError: no compiler\)"):
        native = native_products.native_products.__wrapped__()
    monkeypatch.setattr(products, "native_products", lambda: native)
    found = [products.layout_of(part) for part in (OPERANDS[0].t(), OPERANDS[3])]
    assert products._quickest.__wrapped__(*found, 2) == "blas"


def followed(x, w, b, g):
    product = torch.addmm(b, x, w.t())
    left, gated = product + g, product.relu() * g
    return left, left.relu(), gated, g @ w - x, g.t() @ x.tanh()


@pytest.mark.parametrize("way", WAYS[1:])
def test_what_follows_a_product_is_compiled(monkeypatch, two_threads, way):
    monkeypatch.setattr(products, "_quickest", lambda left, right, threads: way)
    graph, targets = quickened(followed, *OPERANDS)
    assert targets.count(operator_of(way)) == 3
    for node in graph.graph.nodes:
        node.meta.clear()  # as a capture leaves them
    compiled = backends._compiled(
        SimpleNamespace(graph=graph, inputs=OPERANDS),
        {"cpp_wrapper": True, "force_disable_caches": True},
    )
    for ours, theirs in zip(compiled(*OPERANDS), followed(*OPERANDS), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)
