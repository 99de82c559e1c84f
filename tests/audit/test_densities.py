"""The audit's densities: those of each distribution, by another formula."""

import math

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import stats

from pyro_vae import distributions as own
from pyro_vae.auditing.densities import log_density_by_hand

A, B = 0.7, 1.3


def tensor(value):
    return torch.tensor(value, dtype=torch.double)


COUNTS = torch.arange(12).double()
REALS = torch.linspace(-30, 30, 13).double()
CASES = {
    "laplace": (dist.Laplace(tensor(A), tensor(B)), REALS, stats.laplace(A, B).logpdf),
    "student_t": (
        dist.StudentT(tensor(3.0), tensor(A), tensor(B)), REALS, stats.t(3, A, B).logpdf
    ),
    "poisson": (dist.Poisson(tensor(B)), COUNTS, stats.poisson(B).logpmf),
    "negative_binomial": (
        dist.NegativeBinomial(tensor(B), logits=tensor(A)),
        COUNTS,
        stats.nbinom(B, 1 / (1 + math.exp(A))).logpmf,
    ),
    "continuous_bernoulli": (
        own.ContinuousBernoulli(tensor(-B)),
        torch.linspace(0, 1, 9).double(),
        stats.truncexpon(B, scale=1 / B).logpdf,
    ),
    "continuous_bernoulli, uniform": (
        own.ContinuousBernoulli(tensor(0.0)), torch.linspace(0, 1, 9).double(), np.zeros_like
    ),
    "categorical": (
        own.Categorical(logits=tensor([A, B, 0.0])),
        torch.arange(3).double(),
        lambda x: np.log(np.exp([A, B, 0]) / np.exp([A, B, 0]).sum())[x.astype(int)],
    ),
    "beta": (
        dist.Beta(tensor(A), tensor(B)),
        torch.linspace(0.001, 0.999, 9).double(),
        stats.beta(A, B).logpdf,
    ),
    "ordered_logistic": (
        own.OrderedLogistic(tensor(A), tensor([-B, 0.1, 2.0])),
        torch.arange(4).double(),
        lambda x: np.log(
            np.diff(stats.logistic.cdf([-np.inf, -B, 0.1, 2.0, np.inf], A))[x.astype(int)]
        ),
    ),
    "multinomial": (
        own.Multinomial(tensor(5.0), tensor([A, B, 0.0])),
        tensor([[5.0, 0.0, 0.0], [1.0, 2.0, 2.0], [0.0, 4.0, 1.0], [1.0, 1.0, 1.0]]),
        stats.multinomial(5, np.exp([A, B, 0]) / np.exp([A, B, 0]).sum()).logpmf,
    ),
    "discretized_logistic": (
        own.DiscretizedLogistic(tensor(A), tensor(0.2), 5),
        torch.arange(5).double() / 4,
        lambda x: np.log(
            stats.logistic.cdf(np.where(x == 1, np.inf, x + 0.125), A, 0.2)
            - stats.logistic.cdf(np.where(x == 0, -np.inf, x - 0.125), A, 0.2)
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_they_are_scipys_and_the_distributions(name):
    d, x, expected = CASES[name]
    found = log_density_by_hand(d, x)
    assert np.allclose(found, expected(x.numpy()), rtol=1e-10, atol=1e-12)
    assert torch.allclose(found, d.log_prob(x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("logit", [0.0, 1e-9, 1e-5, 3e-3, 0.0999, 0.1001, 5.0, 700.0])
def test_a_continuous_bernoullis_two_formulas_agree_at_every_logit(logit):
    x = torch.linspace(0, 1, 9).double()
    for sign in (1, -1):
        d = own.ContinuousBernoulli(tensor(sign * logit))
        assert torch.allclose(log_density_by_hand(d, x), d.log_prob(x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("loc", [-100.0, 0.3, 100.0])
@pytest.mark.parametrize("scale", [1e-3, 0.1, 1e3])
def test_a_discretized_logistics_two_formulas_agree_in_the_tails(loc, scale):
    d = own.DiscretizedLogistic(tensor(loc), tensor(scale))
    x = d.support.values()  # in single precision, as data are
    found = log_density_by_hand(d, x.double())
    assert torch.allclose(found, d.log_prob(x.double()), rtol=1e-9, atol=1e-9)


def test_a_family_without_one_has_none():
    assert log_density_by_hand(dist.Cauchy(0.0, 1.0), torch.zeros(3)) is None


def test_a_subclass_is_seen_to_differ():
    class Wrong(dist.Poisson):
        def log_prob(self, value):
            return super().log_prob(value) + 0.1

    d = Wrong(tensor(B))
    assert not torch.allclose(log_density_by_hand(d, COUNTS), d.log_prob(COUNTS))
