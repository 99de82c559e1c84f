"""Log-probabilities against scipy, which knows nothing of this package."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats

from pyro_vae.core.bounds import MAX_SCALE, MIN_SCALE
from pyro_vae.likelihoods import Bernoulli, Gaussian
from pyro_vae.posteriors import DiagonalNormal as DiagonalPosterior
from pyro_vae.priors import DiagonalNormal as DiagonalPrior
from pyro_vae.priors import StandardNormal
from tests.variants import stirred

EVENT = (2, 3)


def double(*shape):
    return torch.randn(*shape, dtype=torch.double)


def scale_of(raw, low=MIN_SCALE, high=MAX_SCALE):
    centre, half = math.log(low * high) / 2, math.log(high / low) / 2
    return np.exp(centre + half * np.tanh((raw.detach().numpy() - centre) / half))


def agree(log_prob, expected, dims):
    expected = expected.sum(tuple(range(-dims, 0)))
    same = np.allclose(log_prob.detach().numpy(), expected, rtol=1e-12)
    mean = expected / 6  # a planted mistake: the mean over an event in place of its sum
    return same and not np.allclose(log_prob.detach().numpy(), mean, rtol=1e-12)


def test_standard_normal_prior():
    z = double(7, 6)
    assert agree(StandardNormal(6).double()().log_prob(z), stats.norm.logpdf(z), 1)


def test_diagonal_normal_prior():
    prior, z = stirred(DiagonalPrior(6).double()), double(7, 6)
    expected = stats.norm.logpdf(z, prior.loc.detach(), scale_of(prior.raw_scale))
    assert agree(prior().log_prob(z), expected, 1)


def test_a_learned_prior_begins_at_the_standard_normal():
    z = double(7, 6)
    assert torch.allclose(DiagonalPrior(6)().log_prob(z), StandardNormal(6)().log_prob(z))


@pytest.mark.parametrize("bounds", [(MIN_SCALE, MAX_SCALE), (0.1, 2.0)])
def test_diagonal_normal_posterior(bounds):
    parameters, z = double(7, 2, 6), double(7, 6)
    scale = scale_of(parameters[:, 1], *bounds)
    q = DiagonalPosterior(6, *bounds)(parameters)
    assert agree(q.log_prob(z), stats.norm.logpdf(z, parameters[:, 0], scale), 1)
    assert np.allclose(q.stddev, scale, rtol=1e-12)


@pytest.mark.parametrize("size", [1, 1000])
def test_bernoulli(size):
    logits = size * double(7, *EVENT)
    x = torch.bernoulli(torch.full_like(logits, 0.5))
    expected = np.where(
        x == 1, special.log_expit(logits.numpy()), special.log_expit(-logits.numpy())
    )
    log_prob = Bernoulli(EVENT)(logits).log_prob(x)
    assert agree(log_prob, expected, 2)
    if size == 1:
        by_probability = stats.bernoulli.logpmf(x, special.expit(logits.numpy()))
        assert agree(log_prob, by_probability, 2)


def test_gaussian_of_a_given_scale():
    loc, x = double(7, *EVENT), double(7, *EVENT)
    d = Gaussian(EVENT, 0.3)(loc)
    assert agree(d.log_prob(x), stats.norm.logpdf(x, loc, 0.3), 2)
    squares = ((x - loc) ** 2).sum((1, 2)) / (2 * 0.3**2)
    normaliser = -6 / 2 * math.log(2 * math.pi * 0.3**2)
    assert torch.allclose(d.log_prob(x), normaliser - squares)


@pytest.mark.parametrize("scale", ["learned", "per_dimension"])
def test_gaussian_of_a_learned_scale(scale):
    likelihood = stirred(Gaussian(EVENT, scale).double())
    loc, x = double(7, *EVENT), double(7, *EVENT)
    expected = stats.norm.logpdf(x, loc, scale_of(10 * likelihood.raw_scale))
    assert agree(likelihood(loc).log_prob(x), expected, 2)
    assert likelihood.raw_scale.shape == (() if scale == "learned" else EVENT)


def test_gaussian_whose_scale_the_decoder_puts_out():
    parameters, x = double(7, 2, *EVENT), double(7, *EVENT)
    expected = stats.norm.logpdf(x, parameters[:, 0], scale_of(parameters[:, 1]))
    assert agree(Gaussian(EVENT, "heteroscedastic")(parameters).log_prob(x), expected, 2)
