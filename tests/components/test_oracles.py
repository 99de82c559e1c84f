"""Log-probabilities against scipy, which knows nothing of this package."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats

from pyro_vae import posteriors, priors
from pyro_vae.core.posterior import Posterior
from pyro_vae.distributions.bounds import MAX_SCALE, MIN_SCALE
from pyro_vae.likelihoods import Bernoulli, Gaussian
from pyro_vae.posteriors import DiagonalNormal as DiagonalPosterior
from pyro_vae.priors import DiagonalNormal as DiagonalPrior
from pyro_vae.priors import StandardNormal
from tests.variants import Z_CRIT, stirred

EVENT = (2, 3)


def double(*shape):
    return torch.randn(*shape, dtype=torch.double)


def scale_of(raw, low=MIN_SCALE, high=MAX_SCALE):
    centre, half = math.log(low * high) / 2, math.log(high / low) / 2
    return np.exp(centre + half * squashed((raw.detach().numpy() - centre) / half))


def squashed(u):
    return u / np.sqrt(1 + u**2)


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


def matches(log_prob, expected):
    """Equal to rounding, and not by being insensitive."""
    ours = log_prob.detach().numpy()
    return np.allclose(ours, expected, rtol=1e-10) and not np.allclose(ours, 0.99 * expected)


def below_of(raw, size):
    """The matrix I + N whose strictly lower entries are 10 s(raw / 10), row by row."""
    unit = np.eye(size)
    unit[np.tril_indices(size, -1)] = 10 * squashed(raw.detach().numpy() / 10)
    return unit


def test_multivariate_normal_prior():
    prior, z = stirred(priors.MultivariateNormal(4).double(), 1.0), double(7, 4)
    factor = scale_of(prior.raw_scale)[:, None] * below_of(prior.below, 4)
    expected = stats.multivariate_normal(prior.loc.detach(), factor @ factor.T).logpdf(z)
    assert matches(prior().log_prob(z), expected)


def test_multivariate_normal_posterior():
    parameters, z = double(7, 14), double(7, 4)
    log_prob = posteriors.MultivariateNormal(4)(parameters).log_prob(z)
    for row in range(7):
        loc, raw, below = parameters[row].split([4, 4, 6])
        factor = scale_of(raw)[:, None] * below_of(below, 4)
        expected = stats.multivariate_normal(loc, factor @ factor.T).logpdf(z[row])
        assert matches(log_prob[row], expected)


def test_low_rank_normal_posterior():
    parameters, z = double(7, 4, 4), double(7, 4)
    log_prob = posteriors.LowRankNormal(4, 2)(parameters).log_prob(z)
    for row in range(7):
        loc, raw, *directions = parameters[row]
        scale = np.diag(scale_of(raw))
        v = 10 * squashed(torch.stack(directions).numpy().T / 10)
        covariance = scale @ (np.eye(4) + v @ v.T) @ scale
        assert matches(log_prob[row], stats.multivariate_normal(loc, covariance).logpdf(z[row]))


def test_mixture_prior():
    prior, z = stirred(priors.GaussianMixture(4, 3).double()), double(7, 4)
    weights = special.softmax(prior.logits.detach().numpy())
    each = stats.norm.pdf(z[:, None], prior.loc.detach(), scale_of(prior.raw_scale)).prod(-1)
    assert matches(prior().log_prob(z), np.log((weights * each).sum(-1)))


def test_mixture_posterior():
    parameters, z = double(7, 3 * 9), double(7, 4)
    each = parameters.reshape(7, 3, 9).numpy()
    weights, loc = special.softmax(each[..., 0], -1), each[..., 1:5]
    scale = scale_of(torch.as_tensor(each[..., 5:]))
    density = stats.norm.pdf(z[:, None], loc, scale).prod(-1)
    q = posteriors.GaussianMixture(4, 3)(parameters)
    assert matches(q.log_prob(z), np.log((weights * density).sum(-1)))


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_laplace_prior(scale):
    z = double(7, 6)
    assert agree(
        priors.Laplace(6, scale).double()().log_prob(z), stats.laplace.logpdf(z, 0, scale), 1
    )


@pytest.mark.parametrize("df", [1.5, 5.0])
def test_student_t_prior(df):
    z = double(7, 6)
    assert agree(priors.StudentT(6, df).double()().log_prob(z), stats.t.logpdf(z, df), 1)


def test_laplace_and_student_t_posteriors():
    parameters, z = double(7, 2, 6), double(7, 6)
    loc, scale = parameters[:, 0], scale_of(parameters[:, 1])
    expected = stats.laplace.logpdf(z, loc, scale)
    assert agree(posteriors.Laplace(6)(parameters).log_prob(z), expected, 1)
    expected = stats.t.logpdf(z, 3.0, loc, scale)
    assert agree(posteriors.StudentT(6, 3.0)(parameters).log_prob(z), expected, 1)


@pytest.mark.parametrize("concentration", [0.02, 1.0, 7.0])
def test_the_dirichlet_prior_is_the_papers_for_equal_concentrations(concentration):
    topics = 6
    alpha = np.full(topics, concentration)
    mean = np.log(alpha) - np.log(alpha).mean()
    variance = (1 - 2 / topics) / alpha + (1 / alpha).sum() / topics**2
    prior, z = priors.Dirichlet(topics, concentration)(), torch.randn(7, topics)
    expected = stats.norm.logpdf(z, mean, np.sqrt(variance)).sum(-1)
    assert np.allclose(prior.log_prob(z), expected, rtol=1e-5)


def test_the_softmax_of_the_dirichlet_prior_is_nearly_dirichlet():
    """For a large concentration, where a Laplace approximation is good, but for the diagonal."""
    shares = priors.Dirichlet(4, 50.0)().sample(torch.Size([200_000])).softmax(-1)
    exact = stats.dirichlet(np.full(4, 50.0))
    assert np.allclose(shares.mean(0), exact.mean(), rtol=0.01)
    assert np.allclose(shares.var(0), (1 - 1 / 4) * exact.var(), rtol=0.03)


def test_a_full_covariance_prior_begins_at_the_standard_normal():
    z = double(7, 6)
    log_prob = priors.MultivariateNormal(6).double()().log_prob(z)
    assert torch.allclose(log_prob, StandardNormal(6).double()().log_prob(z))


def test_a_reflected_normal_is_a_normal_with_its_mean_at_the_centre():
    posterior = posteriors.Householder(3, 2)
    q = posterior(double(12))
    z = q.sample(torch.Size([200_000]))
    centre = posterior.point_estimate(q)
    score = (z.mean(0) - centre) / (z.std(0) / math.sqrt(len(z)))
    assert score.abs().max() < Z_CRIT
    covariance = np.cov(z.T)
    expected = stats.multivariate_normal(centre, covariance).logpdf(z[:50])
    assert np.allclose(q.log_prob(z[:50]), expected, atol=0.05)
    assert np.trace(covariance) == pytest.approx(q.base_dist.variance.sum().item(), rel=0.02)


@pytest.mark.parametrize("kind", ["iaf", "neural_spline", "planar"])
def test_the_centre_of_a_flow_is_where_it_takes_its_bases_mean(kind):
    posterior = Posterior.kinds()[kind](latent_dim=3).double()
    parameters = double(5, *posterior.parameter_shape)
    q, raised = posterior(parameters), parameters.clone()
    z = q.base_dist.mean
    for transform in q.transforms:
        z = transform(z)
    assert torch.equal(posterior.point_estimate(q), z)
    with pytest.raises(NotImplementedError):
        _ = q.mean
    raised[:, :3] += 1
    assert (posterior.point_estimate(posterior(raised)) != z).any()


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
    normalizer = -6 / 2 * math.log(2 * math.pi * 0.3**2)
    assert torch.allclose(d.log_prob(x), normalizer - squares)


@pytest.mark.parametrize("scale", ["learned", "per_dimension"])
def test_gaussian_of_a_learned_scale(scale):
    likelihood = stirred(Gaussian(EVENT, scale).double())
    loc, x = double(7, *EVENT), double(7, *EVENT)
    expected = stats.norm.logpdf(x, loc, scale_of(10 * likelihood.raw_scale.mean(0)))
    assert agree(likelihood(loc).log_prob(x), expected, 2)
    assert likelihood.raw_scale.shape == ((100,) if scale == "learned" else (1, *EVENT))


def test_gaussian_whose_scale_the_decoder_puts_out():
    parameters, x = double(7, 2, *EVENT), double(7, *EVENT)
    expected = stats.norm.logpdf(x, parameters[:, 0], scale_of(parameters[:, 1]))
    assert agree(Gaussian(EVENT, "heteroscedastic")(parameters).log_prob(x), expected, 2)
