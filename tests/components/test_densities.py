"""In one dimension every density integrates to 1, and its draws have its moments."""

import math

import pytest
import torch
from torch.distributions import constraints

from pyro_vae.core.likelihood import Likelihood
from pyro_vae.distributions import Levels
from pyro_vae.distributions.flow import Flow
from pyro_vae.likelihoods.beta import Between
from tests.components.common import distribution, parameters_of
from tests.variants import Z_CRIT

DRAWS = 100_000


def grid(component):
    """Points that cover the support, and the weight of each in a sum or an integral over it."""
    support = component.support if isinstance(component, Likelihood) else constraints.real
    if support.is_discrete:
        points = values(support).double()
        return points, torch.ones_like(points)
    if support is constraints.unit_interval or isinstance(support, Between):
        edges = torch.linspace(0, 1, 240_001, dtype=torch.double)
        return (edges[1:] + edges[:-1]) / 2, edges.diff()
    t = torch.linspace(-30, 30, 240_001, dtype=torch.double)
    return t.sinh(), t.cosh() * t.diff()[0]  # far enough for the heaviest tails


def values(support):
    if isinstance(support, Levels):
        return support.values()
    if isinstance(support, constraints.integer_interval):
        return torch.arange(support.upper_bound + 1.0)
    return torch.arange(2.0 if support is constraints.boolean else 2000.0)


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
    """Standard errors between the draws' mean and variance, and the density's, after asinh.

    Heavy tails have no variance; what asinh makes of them does.
    """
    draws, points = draws.asinh(), points.asinh()
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
