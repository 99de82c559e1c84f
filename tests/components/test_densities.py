"""In one dimension every density integrates to 1, and its draws have its moments."""

import math

import pytest
import torch
from torch.distributions import constraints

from pyro_vae.core.likelihood import Likelihood
from pyro_vae.distributions.flow import Flow
from tests.components.common import distribution, parameters_of
from tests.variants import Z_CRIT

DRAWS = 100_000


def grid(component):
    """Points that cover the support, and the weight of each in an integral over it."""
    support = component.support if isinstance(component, Likelihood) else constraints.real
    if support.is_discrete:
        points = torch.arange(2.0 if support is constraints.boolean else 2000.0).double()
        return points, torch.ones_like(points)
    low = 0.0 if support in (constraints.unit_interval, constraints.nonnegative) else -60.0
    high = 1.0 if support is constraints.unit_interval else 60.0
    edges = torch.linspace(low, high, 240_001).double()
    return (edges[1:] + edges[:-1]) / 2, edges.diff()


@pytest.fixture
def d(line):
    """The component's distribution over one number, with parameters of no special value."""
    return distribution(line, parameters_of(line, batch=(), dtype=torch.double))


@torch.no_grad()
def mass(d, points, weights):
    return d.log_prob(points[:, None]).exp() * weights


def test_densities_integrate_to_one(line, d):
    assert mass(d, *grid(line)).sum().item() == pytest.approx(1, abs=1e-6)


def z_scores(draws, points, probability):
    """Standard errors between the draws' mean and variance, and the density's."""
    mean = (points * probability).sum()
    spread = (draws - mean).square()
    variance = ((points - mean).square() * probability).sum()
    root = math.sqrt(len(draws))
    return (
        abs(draws.mean() - mean) / (draws.std() / root),
        abs(spread.mean() - variance) / (spread.std() / root),
    )


def test_draws_have_the_moments_of_the_density(line, d):
    points, weights = grid(line)
    draws = d.sample(torch.Size([DRAWS])).squeeze(-1).detach()
    probability = mass(d, points, weights)
    assert max(z_scores(draws, points, probability)) < Z_CRIT
    if not isinstance(d, Flow):  # which knows no mean
        assert abs(draws.mean() - d.mean) < Z_CRIT * draws.std() / math.sqrt(DRAWS)
    if not d.support.is_discrete:  # a planted mistake, sigma for sigma^2, is caught
        narrow = probability**2 / (probability**2).sum()
        assert max(z_scores(draws, points, narrow)) > Z_CRIT
