"""What makes two steps the same graph."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pyro_vae.compiled.signature import Signature

X = torch.ones(4, 3)


@pytest.fixture
def loss():
    return SimpleNamespace(particles=1, beta=1.0, kept=torch.zeros(()))


@pytest.fixture
def signature(loss):
    return Signature([nn.Dropout()], loss)


def key(signature, *args, **kwargs):
    return signature(args, kwargs)[0]


def test_other_numbers_of_one_layout_are_the_same_step(signature):
    assert key(signature, X) == key(signature, X + 1)
    assert key(signature, X, beta=2) == key(signature, X + 1, beta=2)


@pytest.mark.parametrize("other", [
    X[:3], X.t().contiguous().t(), X.double(), X.to("meta"), X[None],
])  # fmt: skip
def test_another_layout_is_another_step(signature, other):
    assert key(signature, X) != key(signature, other)
    assert key(signature, X, beta=2) != key(signature, other, beta=2)


def test_what_is_given_beside_tensors(signature):
    keys = [key(signature, X), key(signature, X, 1), key(signature, X, 2), key(signature, X, b=1),
            key(signature, X, c=1), key(signature, [X])]  # fmt: skip
    assert len(set(keys)) == len(keys)


def test_the_tensors_among_the_arguments_in_order(signature):
    other = torch.zeros(2)
    for args, kwargs in [((X, other), {}), ((X,), {"other": other}), ((1, [X, {"a": other}]), {})]:
        _, given = signature(args, kwargs)
        assert [tensor is same for tensor, same in zip(given, [X, other], strict=True)] == [
            True
        ] * 2


def test_the_mode_of_training(signature):
    before = key(signature, X)
    signature.roots[0].eval()
    assert key(signature, X) != before


def test_the_plain_numbers_of_the_loss(signature, loss):
    keys = [key(signature, X)]
    loss.beta = 0.5
    keys.append(key(signature, X))
    loss.free_bits = 0.1  # a new one
    keys.append(key(signature, X))
    del loss.particles
    keys.append(key(signature, X))
    assert len(set(keys)) == 4
    loss.particles = 1
    assert key(signature, X) != keys[-1]


def test_tensors_of_the_loss_may_change(signature, loss):
    before = key(signature, X)
    loss.kept = torch.ones(())
    assert key(signature, X) == before
    loss.beta = torch.ones(())  # a number no more
    without = key(signature, X)
    assert without != before
    loss.beta = torch.ones(())
    assert key(signature, X) == without
    loss.kept = 1.0  # a number now
    assert key(signature, X) != without


def test_a_number_in_place_of_another_attribute(signature, loss):
    before = key(signature, X)
    del loss.kept
    loss.alpha = 2.0
    assert key(signature, X) != before
