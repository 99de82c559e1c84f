"""Products of a graph in the quickest way: the same products, however they are made."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from pyro_vae.compiled import backends, clock, native_products, products

MM = torch.ops.aten.mm.default
HAS_TILES = native_products.tile_product() is not None
HAS_VECTORS = native_products.narrow_product() is not None
WAYS = ("blas", "onednn", "rows", "columns") + HAS_VECTORS * ("narrow",) + HAS_TILES * ("tiles",)
WHOLE = tuple(way for way in WAYS if way not in products.SPLIT)
WIDE = tuple(way for way in WHOLE if way != "narrow")
needs_tiles = pytest.mark.skipif(not HAS_TILES, reason="no AMX tiles")


def quickened(function, *tensors):
    graph = make_fx(function)(*tensors)
    layouts = {node: products.layout_of(node.meta.get("val")) for node in graph.graph.nodes}
    products.quicken(graph, layouts)
    return graph, [node.target for node in graph.graph.nodes if node.op == "call_function"]


def operator_of(way):
    if way in {"tiles", "narrow"}:
        return getattr(native_products, f"{way.removesuffix('s')}_product")().default
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
    monkeypatch.setattr(products, "_quickest", lambda left, right, threads, binary: way)
    graph, targets = quickened(network, *OPERANDS)
    assert targets.count(operator_of(way)) == 3
    for ours, theirs in zip(graph(*OPERANDS), network(*OPERANDS), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_a_bias_is_added_to_the_product(monkeypatch, way):
    monkeypatch.setattr(products, "_quickest", lambda left, right, threads, binary: way)
    _, targets = quickened(network, *OPERANDS)
    assert torch.ops.aten.addmm.default not in targets
    assert targets.count(torch.ops.aten.add.Tensor) == 1


MATRICES = {
    "smaller than a part": (torch.randn(3, 5), torch.randn(5, 7)),
    "of parts of unequal size": (torch.randn(53, 40), torch.randn(40, 37)),
    "transposed": (torch.randn(40, 53).t(), torch.randn(37, 40).t()),
    "within larger ones": (torch.randn(60, 50)[3:53, 5:45], torch.randn(50, 60)[5:45, 7:]),
    "of one number": (torch.randn(1, 1), torch.randn(1, 1)),
    "of long sums": (torch.randn(30, 3001), torch.randn(3001, 20)),
    "of gaps": (torch.randn(60, 80)[:, ::2], torch.randn(80, 60)[::2, ::3]),
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
        if HAS_TILES:
            made.append(native_products.tile_product()(left, right))
    finally:
        torch.set_num_threads(before)
    for product in made:
        torch.testing.assert_close(product, expected, rtol=1e-5, atol=1e-5 * left.shape[1] ** 0.5)


def of_all_signs(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(len(shape))) * 2 - 1


def exactly(left, right):
    return left.double() @ right.double()


def root_mean_square(x):
    return x.square().mean().sqrt().item()


SIZES = {"few terms": (130, 20, 90), "some": (150, 784, 100), "many": (40, 8192, 50)}


@needs_tiles
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("transposed", [(), ("left",), ("right",), ("left", "right")])
def test_tiles_are_no_less_exact_than_the_blas(size, transposed):
    rows, terms, columns = SIZES[size]
    left, right = of_all_signs(rows, terms), of_all_signs(terms, columns)
    left = left.t().contiguous().t() if "left" in transposed else left
    right = right.t().contiguous().t() if "right" in transposed else right
    product = native_products.tile_product()(left, right)
    errors = [root_mean_square(made - exactly(left, right)) for made in (product, left @ right)]
    assert errors[0] <= errors[1]


@needs_tiles
@pytest.mark.parametrize("short", ["left", "right", "left right"])
def test_a_matrix_of_bfloat16_numbers_needs_no_other_parts(short):
    left, right = of_all_signs(70, 300), of_all_signs(300, 90)
    left = left.bfloat16().float() if "left" in short else left
    right = (right > 0).float() if "right" in short else right
    left[3] = of_all_signs(300)  # which makes some tiles of the left one long
    product = native_products.tile_product()(left, right)
    torch.testing.assert_close(product.double(), exactly(left, right), rtol=1e-5, atol=1e-5)


@needs_tiles
@pytest.mark.parametrize("place", [(0, 0), (57, 31), (69, 299)])
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan, 3.4e38])
@pytest.mark.parametrize("side", [0, 1])
def test_what_is_no_sum_of_bfloat16_numbers_is_left_to_the_blas(side, place, value):
    matrices = [of_all_signs(70, 300), of_all_signs(300, 70)]
    matrices[side][place if side == 0 else place[::-1]] = value
    product = native_products.tile_product()(*matrices)
    torch.testing.assert_close(product, matrices[0] @ matrices[1], equal_nan=True)


@needs_tiles
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("side", [0, 1])
def test_tiles_take_numbers_of_every_size(side, transposed):
    sizes = 10.0 ** torch.linspace(-44, 37, 64)[:, None]  # from subnormal numbers on
    sized, other = sizes * of_all_signs(64, 300), of_all_signs(300, 40)
    sized = sized.t().contiguous().t() if transposed else sized
    matrices = (sized, other) if side == 0 else (other.t(), sized.t())
    errors = (native_products.tile_product()(*matrices) - exactly(*matrices)).abs()
    assert ((errors if side == 0 else errors.t()) <= 1e-5 * sizes + 5e-37).all()


def test_where_a_processor_has_no_tiles_there_is_no_such_product(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert native_products.tile_product.__wrapped__() is None


def test_a_way_is_timed_with_cold_caches(monkeypatch):
    swept = torch.zeros(clock.CACHES)
    seen = []
    assert clock._seconds(lambda: seen.append(swept.sum().item()), swept) > 0
    clock._seconds(lambda: seen.append(swept.sum().item()), swept)
    assert seen == [clock.CACHES, 2 * clock.CACHES]  # all of it is touched before each time
    assert swept.nbytes >= 2**22


def test_timing_draws_no_numbers_of_the_models():
    found = [products.layout_of(part) for part in (OPERANDS[0].t(), OPERANDS[3])]
    before = torch.get_rng_state()
    products._quickest.__wrapped__(*found, 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_is_the_clock_that_decides(monkeypatch):
    times = iter([2e-3, 1e-3] * clock.TURNS + [0.7, 0.8] * clock.FEW)
    monkeypatch.setattr(clock, "_seconds", lambda compute, others: next(times))
    ways = {"one": torch.zeros, "other": torch.ones}
    assert clock.quickest(ways) == "other"
    assert clock.quickest(ways) == "one"
    assert next(times, None) is None  # long ones are not timed as often


@pytest.mark.parametrize(("inner", "threads", "ways"), [
    (20, 2, WAYS), (20, 1, WHOLE), (products.NARROW, 2, WIDE),
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
        assert product.std() > 0.1  # of numbers that bfloat16 does not hold
        assert not torch.equal(product, product.bfloat16().float())
        torch.testing.assert_close(product, made["blas"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("operands", [
    [part.double() for part in OPERANDS],
    [part[:9, :9] if part.dim() == 2 else part[:9] for part in OPERANDS],
])  # fmt: skip
def test_small_products_and_other_types_stay_with_the_blas(monkeypatch, operands):
    monkeypatch.setattr(products, "_quickest", lambda left, right, threads, binary: "onednn")
    assert quickened(network, *operands)[1].count(MM) == 3


def test_the_blas_is_left_where_nothing_compiles(monkeypatch):
    def failing(name, schema, **kwargs):
        raise OSError("no compiler\nand more")

    monkeypatch.setattr(torch.library, "define", failing)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("native_products", "tile_product", "binary_product", "narrow_product"):
        with pytest.warns(UserWarning, match=r"left to the BLAS.*OSError: no compiler\)"):
            native = getattr(native_products, name).__wrapped__()
        monkeypatch.setattr(products, name, lambda native=native: native)
    for rows in (128, 20):
        found = [products.layout_of(torch.ones(shape)) for shape in ((rows, 100), (100, 90))]
        assert products._quickest.__wrapped__(*found, 2, 0) == "blas"


def followed(x, w, b, g):
    product = torch.addmm(b, x, w.t())
    left, gated = product + g, product.relu() * g
    return left, left.relu(), gated, g @ w - x, g.t() @ x.tanh()


@pytest.mark.parametrize("way", WAYS[1:])
def test_what_follows_a_product_is_compiled(monkeypatch, two_threads, way):
    monkeypatch.setattr(products, "_quickest", lambda left, right, threads, binary: way)
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


@pytest.mark.skipif(
    torch.__version__ < (2, 14), reason="torch 2.11 hands it back all the same, which costs time"
)
def test_the_compiler_does_not_hand_the_bias_back_to_the_blas(monkeypatch):
    monkeypatch.setattr(products, "_quickest", lambda left, right, threads, binary: "blas")
    graph, _ = quickened(network, *OPERANDS)
    for node in graph.graph.nodes:
        node.meta.clear()
    compiled = backends._compiled(
        SimpleNamespace(graph=graph, inputs=OPERANDS), {"force_disable_caches": True}
    )
    with torch.profiler.profile() as seen:
        made = compiled(*OPERANDS)
    torch.testing.assert_close(made, network(*OPERANDS), rtol=1e-5, atol=1e-4)
    names = [event.key for event in seen.key_averages()]
    assert "aten::mm" in names
    assert "aten::addmm" not in names
