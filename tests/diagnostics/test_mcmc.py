"""Chains against the exact posterior, and the guide against the chains."""

from __future__ import annotations

import json
import math

import pyro
import pytest
import torch
from scipy import stats

from pyro_vae import VAE, compare_with_mcmc
from pyro_vae.core.errors import DataError, IncompatibleComponents
from pyro_vae.diagnostics.mcmc import MCMCComparison, sliced_wasserstein
from pyro_vae.evidence.exact import linear_gaussian
from tests.variants import small_vae

QUICK = {"samples": 150, "warmup": 60, "chains": 2, "show_progress": False}


@pytest.fixture
def data(known):
    return known.generate(1, sample=True)


@pytest.fixture
def posterior(known, data):
    return linear_gaussian(known).posterior(data)


def codes(known, data, posterior, shift=0.0, wider=1.0, chains=4):
    """What a comparison would be, were both sides drawn exactly."""
    draws = posterior.sample((chains, 500)).movedim(2, 0).detach()
    guide = posterior.sample((chains * 500,)).movedim(1, 0).detach()
    scale = posterior.variance.sqrt().detach().unsqueeze(1)
    mean = posterior.mean.detach().unsqueeze(1)
    guide = mean + wider * (guide - mean) + shift * scale
    return MCMCComparison(draws, guide, [1.0], [0.1], 100, 0)


def test_chains_find_the_exact_posterior(known, data, posterior):
    found = compare_with_mcmc(known, data, **QUICK)
    with torch.no_grad():
        error = posterior.variance.sqrt() / found.effective.sqrt()
        assert ((found.mean - posterior.mean).abs() < 4.42 * error).all()
        assert ((found.scale / posterior.variance.sqrt()).log().abs() < 0.4).all()
    assert (found.r_hat < 1.05).all()
    assert (found.effective > 40).all()
    assert found.chains.shape == (1, 2, 150, 2)
    assert found.guide.shape == (1, 300, 2)
    assert min(*found.seconds, *found.guide_seconds) > 0


def test_a_model_whose_likelihood_is_forgotten_is_caught(known, data, posterior, monkeypatch):
    monkeypatch.setattr(pyro.poutine.Trace, "log_prob_sum", lambda self: (
        self.compute_log_prob(lambda name, site: name == "z") or self.nodes["z"]["log_prob"].sum()
    ))  # fmt: skip
    found = compare_with_mcmc(known, data, **QUICK)
    with torch.no_grad():
        error = posterior.variance.sqrt() / found.effective.sqrt()
        assert ((found.mean - posterior.mean).abs() > 4.42 * error).any()


def test_a_shift_and_a_scale_are_measured(known, data, posterior):
    off = codes(known, data, posterior, shift=0.7, wider=1.5)
    assert torch.allclose(off.mean_shift, torch.tensor(0.7).double(), atol=0.15)
    assert torch.allclose(off.scale_ratio, torch.tensor(1.5).double(), atol=0.1)
    assert off.distance > 3 * off.distance_of_chains
    alike = codes(known, data, posterior)
    assert (alike.mean_shift.abs() < 4.42 * alike.mean_shift_stderr).all()
    assert alike.distance < 3 * alike.distance_of_chains


def test_chains_that_disagree_are_told(known, data, posterior):
    found = codes(known, data, posterior)
    found.chains[:, 0] += 5.0
    assert not found.converged.any()
    assert [row[-1].text for row in found.table().rows] == ["DISAGREE"]


def test_the_sliced_distance_is_wassersteins_in_one_dimension():
    one, other = torch.randn(1, 200, 1), 1.5 * torch.randn(1, 200, 1) + 0.3
    gaps = one.flatten().sort().values - other.flatten().sort().values
    assert sliced_wasserstein(one, other).item() == pytest.approx(
        gaps.square().mean().sqrt().item(), rel=1e-5
    )
    first = stats.wasserstein_distance(one.flatten(), other.flatten())
    assert sliced_wasserstein(one, other).item() >= first  # W_2 is no less than W_1


def test_the_sliced_distance_of_normals():
    """A shift d in M dimensions is d / sqrt(M) along a random direction, root mean square."""
    points = torch.randn(1, 400, 3, dtype=torch.float64)
    moved = points + torch.tensor([2.0, -1.0, 2.0])
    assert sliced_wasserstein(points, moved).item() == pytest.approx(3 / math.sqrt(3), rel=0.15)


def test_priors_that_pyro_cannot_transform():
    vae = small_vae(latent_dim=1, prior="gaussian_mixture", posterior="iaf")
    found = compare_with_mcmc(vae, torch.zeros(1, 3), samples=10, warmup=10, chains=2,
                              show_progress=False)  # fmt: skip
    assert found.chains.isfinite().all()
    assert not pyro.get_param_store()


def test_the_draws_come_from_the_seed_alone(known, data):
    options = {"samples": 6, "warmup": 10, "chains": 2, "show_progress": False}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two, other = (compare_with_mcmc(known, data, seed=s, **options) for s in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(one.chains, two.chains)
    assert torch.equal(one.guide, two.guide)
    assert not torch.equal(one.chains, other.chains)
    assert not torch.equal(one.chains[:, 0], one.chains[:, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"samples": 1}, "samples: expected at least 4, got 1"),
     ({"warmup": 1}, "warmup: expected at least 10, got 1"),
     ({"chains": 1}, "chains: expected at least 2, got 1")],
)  # fmt: skip
def test_too_little_is_refused(options, message, known, data):
    with pytest.raises(DataError, match=message):
        compare_with_mcmc(known, data, **options)


def test_what_cannot_be_sampled_is_refused(known):
    sphere = small_vae(prior="uniform_sphere", posterior="power_spherical")
    with pytest.raises(IncompatibleComponents, match="NUTS moves codes through a real space"):
        compare_with_mcmc(sphere, torch.zeros(1, 3))
    with pytest.raises(DataError, match="at least one datum, got none"):
        compare_with_mcmc(known, torch.zeros(0, 2, 3, dtype=torch.float64))
    with pytest.raises(DataError, match="shape"):
        compare_with_mcmc(VAE((3,), 1), torch.zeros(1, 4))


def test_shown_as_table_picture_and_json(known, data, posterior):
    found = codes(known, data, posterior)
    assert found.table().rows[0][-1].text == "agree"
    assert "q(z|x) against NUTS" in found._repr_html_()
    assert len(found.figure().axes) == 1
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["count"] == 4
