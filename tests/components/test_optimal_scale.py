"""The Gaussian likelihood whose scale is the maximum-likelihood one."""

import pytest
import torch
from scipy import optimize, stats

from pyro_vae.likelihoods import Gaussian

EVENT = (2, 3)


@pytest.fixture
def optimal():
    return Gaussian(EVENT, "optimal").double()


def batch(size=8, noise=0.7):
    loc = torch.randn(size, *EVENT, dtype=torch.double)
    return loc, loc + noise * torch.randn_like(loc)


def test_in_training_it_is_the_batchs_best(optimal):
    loc, x = batch()
    found = optimize.minimize_scalar(
        lambda scale: -stats.norm.logpdf(x, loc, scale).sum(), bounds=(0.1, 3), method="bounded"
    )
    log_prob = optimal(loc, x).log_prob(x).sum().item()
    assert log_prob == pytest.approx(-found.fun, rel=1e-9)


def test_in_evaluation_it_is_the_kept_one(optimal):
    loc, x = batch()
    optimal(loc, x)
    sigma = (x - loc).square().mean().sqrt().item()
    optimal.eval()
    other, y = batch(noise=5.0)
    expected = stats.norm.logpdf(y, other, sigma).sum((1, 2))
    assert torch.allclose(optimal(other, y).log_prob(y), torch.as_tensor(expected))
    assert optimal(other).stddev.unique().item() == pytest.approx(sigma)


def test_it_averages_the_first_ten_batches_and_then_forgets(optimal):
    batches = [batch() for _ in range(12)]
    squares = [(x - loc).square().mean().item() for loc, x in batches]
    for loc, x in batches:
        optimal(loc, x)
    kept = sum(squares[:10]) / 10
    for square in squares[10:]:
        kept += 0.1 * (square - kept)
    assert optimal.mean_square.item() == pytest.approx(kept)


def test_nothing_is_kept_without_data_or_in_evaluation(optimal):
    loc, x = batch()
    optimal(loc)
    optimal.eval()(loc, x)
    assert optimal.updates == 0
    assert optimal.mean_square == 1


@pytest.mark.parametrize(("noise", "sigma"), [(0.0, 1e-3), (1e9, 1e3)])
def test_it_stays_within_its_bounds(optimal, noise, sigma):
    loc, _ = batch()
    assert optimal(loc, loc + noise).stddev.unique().item() == pytest.approx(sigma)


def test_its_gradient_is_that_at_the_best_scale(optimal):
    """At the best sigma the derivative by sigma is 0, so it may be left out of the graph."""
    loc, x = batch()
    loc.requires_grad_()
    (ours,) = torch.autograd.grad(optimal(loc, x).log_prob(x).sum(), loc)
    sigma = (x - loc).square().mean().sqrt()
    through_sigma = torch.distributions.Normal(loc, sigma).log_prob(x).sum()
    (theirs,) = torch.autograd.grad(through_sigma, loc)
    assert torch.allclose(ours, theirs)
