"""Products with a matrix of noughts and ones: found in the graph, and no less exact."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from pyro_vae.compiled import native_products, products
from pyro_vae.compiled.binary import LOOKED_AT, binary_nodes

needs_look_ups = pytest.mark.skipif(
    native_products.binary_product() is None, reason="no AVX-512, or PyTorch does not use it"
)


def of_all_signs(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape))) * 2 - 1


def black_and_white(*shape):
    return (of_all_signs(*shape) > 0).float()


def exactly(left, right):
    return left.double() @ right.double()


def operands(side, rows, terms, columns, transposed=()):
    made = [of_all_signs(rows, terms), of_all_signs(terms, columns)]
    made[side] = (made[side] > 0).float()
    return [
        part.t().contiguous().t() if place in transposed else part
        for place, part in enumerate(made)
    ]


def product(left, right, side):
    return native_products.binary_product()(left, right, side)


SIZES = [(3, 1, 3), (4, 5, 7), (20, 33, 16), (53, 64, 49), (130, 784, 97), (17, 1000, 100)]


@needs_look_ups
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("transposed", [(), (0,), (1,), (0, 1)])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("side", [0, 1])
def test_the_product_is_right(side, sizes, transposed, threads):
    left, right = operands(side, *sizes, transposed)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        made = product(left, right, side)
    finally:
        torch.set_num_threads(before)
    assert made.is_contiguous()
    torch.testing.assert_close(made.double(), exactly(left, right), rtol=1e-6, atol=2e-5)


@needs_look_ups
@pytest.mark.parametrize("side", [0, 1])
def test_within_larger_matrices_and_with_gaps(side):
    wide, tall = black_and_white(60, 90), black_and_white(90, 60)
    parts = [(wide[3:43, 5:85], tall[5:85, 7:]), (wide[::3, ::2], tall[::2, ::2])]
    for left, right in parts:
        grey = [left * 0.3, right] if side else [left, right * 0.3]
        torch.testing.assert_close(product(*grey, side), grey[0] @ grey[1])


@needs_look_ups
@pytest.mark.parametrize("terms", [20, 784, 8192])
@pytest.mark.parametrize("side", [0, 1])
def test_the_sums_are_as_exact_as_the_blas(side, terms):
    left, right = operands(side, 90, terms, 90)
    errors = [
        (made - exactly(left, right)).square().mean().sqrt().item()
        for made in (product(left, right, side), left @ right)
    ]
    assert errors[0] <= 1.2 * errors[1]  # 0.8 with an AMD processor; BLASes sum in their own ways


@needs_look_ups
@pytest.mark.parametrize("value", [0.5, -1.0, 2.0, torch.nan, torch.inf, 1e-40])
@pytest.mark.parametrize("place", [(0, 0), (31, 99), (39, 57)])
@pytest.mark.parametrize("side", [0, 1])
def test_a_matrix_that_is_not_binary_after_all_is_left_to_the_blas(side, place, value):
    matrices = operands(side, 40, 100, 40)
    matrices[side][place if side == 0 else place[::-1]] = value
    expected = matrices[0] @ matrices[1]
    torch.testing.assert_close(product(*matrices, side), expected, equal_nan=True)


@needs_look_ups
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_an_infinity_times_nought_is_not_a_number(side, value):
    matrices = operands(side, 40, 100, 40)
    matrices[side].zero_()
    matrices[1 - side][7, 11] = value
    assert product(*matrices, side).isnan().any()


@needs_look_ups
@pytest.mark.parametrize("side", [0, 1])
def test_too_few_rows_are_left_to_the_blas(side):
    left, right = operands(side, *((9, 5, 2) if side == 0 else (2, 5, 9)))
    torch.testing.assert_close(product(left, right, side), left @ right)


def test_where_pytorch_uses_no_avx512_there_is_no_such_product(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert native_products.binary_product.__wrapped__() is None


def found(function, *tensors, data):
    """Whether what a function gives is seen to be binary."""
    graph = make_fx(function)(*tensors).graph
    (output,) = [node for node in graph.nodes if node.op == "output"]
    binary = binary_nodes(graph, {place: tensors[place] for place in data})
    return output.args[0] in binary


PIXELS, ROWS = black_and_white(50, 12), torch.arange(4)
KEPT = {
    "a gather": lambda x, rows: x[rows],
    "a transpose": lambda x, rows: x[rows].t(),
    "another shape": lambda x, rows: x[rows].reshape(4, 3, 4).flatten(1),
    "a part": lambda x, rows: x[rows, 2:8],
    "another type": lambda x, rows: x[rows].double().float(),
    "a comparison": lambda x, rows: (x[rows] * 0.3 > 0.1).to(x.dtype),
    "a draw": lambda x, rows: torch.bernoulli(x[rows] * 0.3),
}
CHANGED = {
    "a multiple": lambda x, rows: x[rows] * 2,
    "a sum": lambda x, rows: x[rows] + x[rows],
    "numbers of another": lambda x, rows: rows[:, None].float()[:, :1].expand(4, 3).clone(),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_is_made_of_black_and_white_pixels_is_found(name):
    assert found(KEPT[name], PIXELS, ROWS, data=[0])


@pytest.mark.parametrize("name", CHANGED)
def test_what_is_not_binary_is_not_found(name):
    assert not found(CHANGED[name], PIXELS, ROWS, data=[0])


def test_grey_pixels_and_parameters_are_not_found():
    assert not found(KEPT["a gather"], PIXELS * 0.5, ROWS, data=[0])
    assert not found(KEPT["a gather"], PIXELS, ROWS, data=[])


def test_large_data_are_looked_at_in_part():
    large = torch.zeros(LOOKED_AT // 8, 16)
    large[-1] = 0.5
    assert found(KEPT["a gather"], large, ROWS, data=[0])


def products_of(x, w, g):
    return x @ w.t(), g.t() @ x, g @ w


@needs_look_ups
def test_the_products_of_a_graph_are_looked_up_where_a_matrix_is_binary(monkeypatch):
    asked = []

    def way(left, right, threads, binary):
        asked.append(binary)
        return "blas" if binary is None else products.BINARY[binary]

    monkeypatch.setattr(products, "_quickest", way)
    given = black_and_white(128, 100), of_all_signs(90, 100), of_all_signs(128, 90)
    graph = make_fx(products_of)(*given)
    nodes = list(graph.graph.nodes)
    layouts = {node: products.layout_of(node.meta.get("val")) for node in nodes}
    products.quicken(graph, layouts, binary_nodes(graph.graph, {0: given[0]}))
    assert asked == [0, 1, None]
    targets = [node.target for node in graph.graph.nodes]
    assert targets.count(native_products.binary_product().default) == 2
    for ours, theirs in zip(graph(*given), products_of(*given), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)


@needs_look_ups
@pytest.mark.parametrize("side", [0, 1])
def test_look_ups_are_timed_on_noughts_and_ones(monkeypatch, side):
    made = {}

    def noted(ways):
        made.update({way: compute() for way, compute in ways.items()})
        return "blas"

    monkeypatch.setattr(products, "quickest", noted)
    layouts = [products.layout_of(part) for part in operands(side, 40, 100, 40)]
    assert products._quickest.__wrapped__(*layouts, 1, side) == "blas"
    looked_up = made.pop(products.BINARY[side])
    assert not any(way in made for way in products.BINARY)
    for product in made.values():
        torch.testing.assert_close(product, looked_up, rtol=1e-5, atol=1e-5)
