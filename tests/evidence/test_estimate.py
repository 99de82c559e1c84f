"""The mean of weights in logarithms, against the plain formulas in float64."""

from __future__ import annotations

import math

import pytest
import torch

from pyro_vae.core.errors import NonFiniteLoss
from pyro_vae.evidence.estimate import LogMean


@pytest.fixture
def log_weights():
    return 3.0 * torch.randn(500, 4, dtype=torch.float64) - 80.0


def added(log_weights, *sizes):
    mean = LogMean()
    for chunk in log_weights.split(list(sizes) or len(log_weights)):
        mean.add(chunk)
    return mean


@pytest.mark.parametrize("sizes", [(500,), (1, 499), (250, 250), (17, 400, 83)])
def test_chunks_change_nothing(log_weights, sizes):
    mean = added(log_weights, *sizes)
    weights = (log_weights + 80.0).exp()
    assert torch.allclose(mean.value, weights.mean(0).log() - 80.0, rtol=1e-12)
    effective = weights.sum(0).square() / weights.square().sum(0)
    assert torch.allclose(mean.effective, effective, rtol=1e-12)
    relative = weights.std(0) / math.sqrt(500) / weights.mean(0)
    assert torch.allclose(mean.stderr, relative, rtol=1e-9)
    assert mean.count == 500


def test_no_weight_is_too_large_or_too_small(log_weights):
    for shift in (-1e5, 1e5):
        shifted = added(log_weights + shift, 100, 400)
        assert torch.allclose(shifted.value - shift, added(log_weights).value, rtol=1e-9)
    far = torch.cat([log_weights - 2000.0, log_weights])
    assert torch.allclose(added(far, 500, 500).value, added(log_weights).value - math.log(2))
    assert torch.allclose(added(far.flip(0), 500, 500).value, added(far).value)


def test_weights_of_zero_count_as_such(log_weights):
    none = torch.full_like(log_weights, -math.inf)
    both = added(torch.cat([none, log_weights]), 500, 500)
    assert torch.allclose(both.value, added(log_weights).value - math.log(2))
    assert torch.allclose(both.effective, added(log_weights).effective)
    assert (added(none, 100, 400).value == -math.inf).all()
    assert (added(none).effective == 0).all()


def test_single_precision_is_summed_in_double(log_weights):
    alike = torch.full((200_000, 1), 0.1, dtype=torch.float32)
    assert added(alike).value.item() == pytest.approx(float(alike[0]), abs=1e-12)
    assert added(alike).effective.item() == pytest.approx(200_000)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_what_is_not_finite_is_named(log_weights, wrong):
    log_weights[7, 2] = wrong
    with pytest.raises(NonFiniteLoss, match="1 of 2000 draws, the first at datum 2"):
        added(log_weights)
