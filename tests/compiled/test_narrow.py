"""Products of few rows, columns or terms, made where the matrices lie: right, and as exact."""

import pytest
import torch

from pyro_vae.compiled import native_products, products

needs_vectors = pytest.mark.skipif(
    native_products.narrow_product() is None, reason="no AVX-512, or PyTorch does not use it"
)
SIZES = [
    (1, 1, 1), (3, 5, 2), (20, 33, 16), (20, 784, 50), (53, 64, 49), (10, 200, 130), (784, 20, 33),
    (11, 65, 31),
]  # fmt: skip
LAYOUTS = [(), (0,), (1,), (0, 1)]


def of_all_signs(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape))) * 2 - 1


def operands(rows, terms, columns, transposed=()):
    made = of_all_signs(rows, terms), of_all_signs(terms, columns)
    return [
        part.t().contiguous().t() if place in transposed else part
        for place, part in enumerate(made)
    ]


def product(left, right):
    return native_products.narrow_product()(left, right)


@needs_vectors
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("transposed", LAYOUTS)
@pytest.mark.parametrize("sizes", SIZES)
def test_the_product_is_right(sizes, transposed, threads):
    left, right = operands(*sizes, transposed)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        made = product(left, right)
    finally:
        torch.set_num_threads(before)
    assert made.is_contiguous()
    expected = left.double() @ right.double()
    torch.testing.assert_close(made.double(), expected, rtol=1e-6, atol=2e-5)


@needs_vectors
def test_nothing_to_add_up_and_nothing_to_make():
    assert product(torch.ones(3, 0), torch.ones(0, 5)).equal(torch.zeros(3, 5))
    assert product(torch.ones(3, 0), torch.ones(5, 0).t()).equal(torch.zeros(3, 5))
    assert product(torch.ones(0, 4), torch.ones(4, 5)).shape == (0, 5)
    assert product(torch.ones(3, 4), torch.ones(4, 0)).shape == (3, 0)


@needs_vectors
def test_within_larger_matrices_and_with_gaps():
    wide, tall = of_all_signs(60, 90), of_all_signs(90, 60)
    parts = [
        (wide[3:23, 5:85], tall[5:85, 7:]),
        (wide[::3, ::2], tall[::2, ::2]),
        (tall.t()[3:23, 5:85], wide.t()[5:85, 7:]),
        (of_all_signs(1, 30).expand(7, 30), of_all_signs(30, 1).expand(30, 9)),
    ]
    for left, right in parts:
        torch.testing.assert_close(product(left, right), left @ right)


@needs_vectors
@pytest.mark.parametrize("terms", [20, 200, 784, 8192])
@pytest.mark.parametrize("transposed", LAYOUTS)
def test_the_sums_are_as_exact_as_the_blas(terms, transposed):
    left, right = operands(20, terms, 200, transposed)
    exact = left.double() @ right.double()
    errors = [
        (made - exact).square().mean().sqrt().item()
        for made in (product(left, right), left @ right)
    ]
    assert errors[0] <= 1.2 * errors[1]  # at most 1 with an AMD processor; BLASes sum differently


@needs_vectors
@pytest.mark.parametrize("value", [torch.nan, torch.inf, 3e38, 1e-40])
@pytest.mark.parametrize("transposed", LAYOUTS)
def test_numbers_at_the_ends_are_multiplied_like_any_other(transposed, value):
    left, right = operands(20, 100, 40, transposed)
    left[7, 11] = value
    right[50, 3] = value
    torch.testing.assert_close(product(left, right), left @ right, equal_nan=True)


def test_where_pytorch_uses_no_avx512_there_is_no_such_product(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert native_products.narrow_product.__wrapped__() is None


@needs_vectors
@pytest.mark.parametrize(("rows", "offered"), [(20, True), (64, False)])
def test_it_is_offered_for_narrow_products(rows, offered):
    left, right = operands(rows, 100, 100)
    ways = products.ways_of(left, right, threads=1)
    assert ("narrow" in ways) == offered
    for way in ways.values():
        torch.testing.assert_close(way(), left @ right, rtol=1e-5, atol=1e-4)
