"""Distributions on the sphere: their area, their moments, their gradients."""

import math

import pytest
import torch
from scipy import integrate, special, stats
from torch.nn.functional import normalize

from pyro_vae.distributions.power_spherical import PowerSpherical
from pyro_vae.distributions.uniform_sphere import UniformSphere, log_area
from tests.variants import Z_CRIT

DRAWS = 200_000
SIZES = [2, 3, 4, 20]


def bump(size, concentration=3.0, batch=()):
    loc = normalize(torch.randn(*batch, size, dtype=torch.double), dim=-1)
    return PowerSpherical(loc, torch.full(batch, concentration, dtype=torch.double))


def z_score(draws, expected):
    return ((draws.mean(0) - expected) / (draws.std(0) / math.sqrt(len(draws)))).abs().max()


@pytest.mark.parametrize(("size", "area"), [(2, 2 * math.pi), (3, 4 * math.pi)])
def test_the_area_is_that_of_circle_and_sphere(size, area):
    assert math.exp(log_area(size)) == pytest.approx(area)


@pytest.mark.parametrize("concentration", [0.01, 1.0, 50.0])
@pytest.mark.parametrize("size", SIZES)
def test_the_density_integrates_to_one(size, concentration):
    """Over the angle from the mean direction, around which lie spheres of a dimension less."""
    q = bump(size, concentration)
    aside = torch.randn(size, dtype=torch.double)
    aside = normalize(aside - (aside @ q.loc) * q.loc, dim=-1)

    def ring(angle):
        z = math.cos(angle) * q.loc + math.sin(angle) * aside
        inner = 2 if size == 2 else math.exp(log_area(size - 1)) * math.sin(angle) ** (size - 2)
        return q.log_prob(z).exp().item() * inner

    assert integrate.quad(ring, 0, math.pi, limit=200)[0] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("concentration", [0.5, 3.0, 200.0])
@pytest.mark.parametrize("size", SIZES)
def test_draws_are_beta_along_the_mean_and_even_around_it(size, concentration):
    q = bump(size, concentration)
    z = q.sample(torch.Size([20_000]))
    assert q.support.check(z).all()
    along = ((z @ q.loc + 1) / 2).numpy()
    b = (size - 1) / 2
    assert stats.kstest(along, stats.beta(b + concentration, b).cdf).pvalue > 1e-5
    assert stats.kstest(along, stats.beta(b + 1.2 * concentration + 0.1, b).cdf).pvalue < 1e-5
    around = z - (z @ q.loc).unsqueeze(-1) * q.loc
    assert z_score(around, torch.zeros(size).double()) < Z_CRIT


@pytest.mark.parametrize("size", SIZES)
def test_mean_and_entropy_are_those_of_the_draws(size):
    q = bump(size)
    z = q.sample(torch.Size([DRAWS]))
    assert z_score(z, q.mean) < Z_CRIT
    assert z_score(z, q.loc) > Z_CRIT  # a planted mistake: the mode
    assert z_score(-q.log_prob(z), q.entropy()) < Z_CRIT
    assert z_score(-q.log_prob(z), q.entropy() + 0.01) > Z_CRIT


@pytest.mark.parametrize("size", SIZES)
def test_gradients_of_draws_are_those_of_the_moments(size):
    given = torch.full((DRAWS,), 3.0, dtype=torch.double, requires_grad=True)
    raw = normalize(torch.randn(size, dtype=torch.double), dim=-1)
    axis = torch.randn(size, dtype=torch.double)
    turned = raw.expand(DRAWS, size).clone().requires_grad_()
    q = PowerSpherical(normalize(turned, dim=-1), given)
    z = q.rsample() @ axis
    by_concentration, by_direction = torch.autograd.grad(z.sum(), (given, turned))
    b = (size - 1) / 2
    slope = 2 * b / (2 * b + 3.0) ** 2  # of kappa / (2 b + kappa), the mean's length
    assert z_score(by_concentration, slope * (raw @ axis)) < Z_CRIT
    assert z_score(by_concentration, 0.5 * slope * (raw @ axis)) > Z_CRIT
    expected = 3.0 / (2 * b + 3.0) * (axis - (axis @ raw) * raw)
    assert z_score(by_direction, expected) < Z_CRIT


def test_single_precision_and_strong_concentrations():
    loc = normalize(torch.randn(100, 5), dim=-1)
    for concentration in (1e-3, 1.0, 1e3):
        given = torch.full((100,), concentration, requires_grad=True)
        q = PowerSpherical(loc, given)
        z = q.rsample(torch.Size([50]))
        assert q.support.check(z).all()
        value = q.log_prob(z)
        assert value.isfinite().all()
        assert torch.autograd.grad(value.sum(), given)[0].isfinite().all()
        precise = PowerSpherical(loc.double(), given.double(), validate_args=False)
        exact = precise.log_prob(z.double())
        assert torch.allclose(value.double(), exact, atol=5e-3)


def test_the_opposite_pole_has_a_finite_density():
    q = bump(3, 5.0)
    assert q.log_prob(-q.loc).isfinite()
    assert q.log_prob(-q.loc) < -300


def test_uniform_draws_are_uniform():
    p = UniformSphere(torch.zeros(3).double())
    z = p.sample(torch.Size([20_000]))
    assert p.support.check(z).all()
    assert stats.kstest(z[:, 0].numpy(), stats.uniform(-1, 2).cdf).pvalue > 1e-5  # Archimedes
    assert z_score(z, p.mean) < Z_CRIT
    assert torch.allclose(p.log_prob(z), torch.tensor(-math.log(4 * math.pi)).double())


def test_draws_of_an_expanded_one_are_those_of_a_sample_shape():
    for d in (bump(3, batch=(4,)), UniformSphere(torch.zeros(4, 3))):
        torch.manual_seed(0)
        one = d.rsample(torch.Size([7]))
        torch.manual_seed(0)
        assert torch.equal(d.expand(torch.Size([7, 4])).rsample(), one)
        assert d.expand(torch.Size([7, 4])).log_prob(one).shape == (7, 4)


def test_the_normalizer_is_that_of_the_paper():
    q = bump(5, 2.5)
    a, b = 2.0 + 2.5, 2.0
    paper = (a + b) * math.log(2) + b * math.log(math.pi) + special.gammaln(a)
    assert q.log_normalizer.item() == pytest.approx(paper - special.gammaln(a + b))
