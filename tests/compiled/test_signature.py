"""What arguments make two steps the same graph."""

import pytest
import torch

from pyro_vae.compiled.signature import signature

X = torch.ones(4, 3)


def key(*args, **kwargs):
    return signature(args, kwargs)[0]


def test_other_numbers_of_one_layout_are_the_same_step():
    assert key(X) == key(X + 1)
    assert key(X, beta=2) == key(X + 1, beta=2)


@pytest.mark.parametrize("other", [
    X[:3], X.t().contiguous().t(), X.double(), X.to("meta"), X[None],
])  # fmt: skip
def test_another_layout_is_another_step(other):
    assert key(X) != key(other)
    assert key(X, beta=2) != key(other, beta=2)


def test_what_is_given_beside_tensors():
    keys = [key(X), key(X, 1), key(X, 2), key(X, b=1), key(X, c=1), key([X])]
    assert len(set(keys)) == len(keys)


def test_the_tensors_among_the_arguments_in_order():
    other = torch.zeros(2)
    for args, kwargs in [((X, other), {}), ((X,), {"other": other}), ((1, [X, {"a": other}]), {})]:
        _, given = signature(args, kwargs)
        assert [tensor is same for tensor, same in zip(given, [X, other], strict=True)] == [
            True
        ] * 2
