"""The likelihoods of counts, levels, categories and heavy tails, against scipy or a full sum."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import special, stats

from pyro_vae import fit
from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.distributions import OrderedLogistic
from pyro_vae.likelihoods import (
    Beta,
    Categorical,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Laplace,
    Multinomial,
    NegativeBinomial,
    Ordinal,
    Poisson,
    StudentT,
)
from tests.components.test_oracles import EVENT, agree, double, scale_of
from tests.variants import Z_CRIT, small_vae, stirred


def rate_of(raw):
    return scale_of(raw, 1e-6, 1e6)


def counts(*shape):
    return torch.randint(0, 9, shape).double()


@pytest.mark.parametrize("scale", [0.3, "learned", "per_dimension", "heteroscedastic"])
def test_laplace(scale):
    likelihood = stirred(Laplace(EVENT, scale).double())
    parameters, x = double(7, *likelihood.parameter_shape), double(7, *EVENT)
    loc, b = loc_and_scale(likelihood, parameters)
    assert agree(likelihood(parameters).log_prob(x), stats.laplace.logpdf(x, loc, b), 2)


@pytest.mark.parametrize("scale", [0.3, "learned", "per_dimension", "heteroscedastic"])
@pytest.mark.parametrize("df", [1.5, 30.0, "learned"])
def test_student_t(scale, df):
    likelihood = stirred(StudentT(EVENT, scale, df).double())
    parameters, x = double(7, *likelihood.parameter_shape), 5 * double(7, *EVENT)
    loc, sigma = loc_and_scale(likelihood, parameters)
    nu = 1 + scale_of(10 * likelihood.raw_df.mean(0)) if df == "learned" else df
    assert agree(likelihood(parameters).log_prob(x), stats.t.logpdf(x, nu, loc, sigma), 2)


def loc_and_scale(likelihood, parameters):
    if likelihood.scale == "heteroscedastic":
        return parameters[:, 0], scale_of(parameters[:, 1])
    given = not isinstance(likelihood.scale, str)
    return parameters, likelihood.scale if given else scale_of(10 * likelihood.raw_scale.mean(0))


def test_a_student_t_begins_near_five_degrees_of_freedom_and_always_has_a_mean():
    likelihood = StudentT(EVENT)
    assert likelihood(torch.zeros(EVENT)).base_dist.df.unique().item() == pytest.approx(5, abs=0.2)
    with torch.no_grad():
        likelihood.raw_df.fill_(-1e6)
    loc = torch.randn(7, *EVENT)
    assert torch.equal(likelihood(loc).mean, loc)


def test_poisson():
    raw, x = 2 * double(7, *EVENT), counts(7, *EVENT)
    d = Poisson(EVENT)(raw)
    assert agree(d.log_prob(x), stats.poisson.logpmf(x, rate_of(raw)), 2)
    assert np.allclose(Poisson(EVENT)(raw / 10).mean, (raw / 10).exp(), rtol=1e-2)


@pytest.mark.parametrize("dispersion", [0.5, "learned", "per_dimension"])
def test_negative_binomial(dispersion):
    likelihood = stirred(NegativeBinomial(EVENT, dispersion).double())
    raw, x = double(7, *EVENT), counts(7, *EVENT)
    given = not isinstance(dispersion, str)
    alpha = dispersion if given else scale_of(10 * likelihood.raw_dispersion.mean(0))
    r, m = 1 / alpha, rate_of(raw)
    d = likelihood(raw)
    assert agree(d.log_prob(x), stats.nbinom.logpmf(x, r, r / (r + m)), 2)
    assert np.allclose(d.mean.detach(), m)
    assert np.allclose(d.variance.detach(), m + alpha * m**2)


def test_a_negative_binomial_without_dispersion_is_a_poisson():
    raw, x = double(7, *EVENT), counts(7, *EVENT)
    almost = NegativeBinomial(EVENT, 1e-9)(raw).log_prob(x)
    assert torch.allclose(almost, Poisson(EVENT)(raw).log_prob(x), atol=1e-5)


@pytest.mark.parametrize("size", [1e-3, 1.0, 30.0])
def test_continuous_bernoulli(size):
    logits, x = size * double(7, *EVENT), torch.rand(7, *EVENT).double()
    a = logits.abs().numpy()
    towards = np.where(logits > 0, 1 - x, x)  # a truncated exponential from the favoured end
    expected = stats.truncexpon.logpdf(towards, a, scale=1 / a)
    d = ContinuousBernoulli(EVENT)(logits)
    tolerance = {1e-3: 1e-9}.get(size, 1e-12)  # where scipy's own normalizer cancels
    assert np.allclose(d.log_prob(x), expected.sum((1, 2)), rtol=0, atol=tolerance * 1e3)
    mean = stats.truncexpon.mean(a, scale=1 / a)
    if size > 1e-3:
        assert np.allclose(d.mean, np.where(logits > 0, 1 - mean, mean), atol=1e-9)


@pytest.mark.parametrize("precision", [0.5, 30.0, "learned", "per_dimension", "heteroscedastic"])
def test_beta(precision):
    likelihood = stirred(Beta(EVENT, precision).double())
    parameters, x = double(7, *likelihood.parameter_shape), torch.rand(7, *EVENT).double()
    raw = parameters
    if precision == "heteroscedastic":
        raw, phi = parameters[:, 0], scale_of(parameters[:, 1] + math.log(10))
    elif isinstance(precision, str):
        phi = scale_of(10 * likelihood.raw_precision.mean(0))
    else:
        phi = precision
    m = special.expit((raw / (1 + (raw / 15) ** 2).sqrt()).numpy())
    d = likelihood(parameters)
    assert agree(d.log_prob(x), stats.beta.logpdf(x, m * phi, (1 - m) * phi), 2)
    assert np.allclose(d.variance.detach(), m * (1 - m) / (1 + phi))


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_a_proportion_of_0_or_1_is_refused_with_the_remedy(end):
    x = torch.full((20, 3), 0.5)
    x[4, 1] = end
    with pytest.raises(IncompatibleComponents, match=r"above 0 and below 1.*\n.*\n.*continuous_b"):
        fit(small_vae(likelihood="beta"), x, epochs=1, show_progress=False)


def test_a_beta_begins_at_the_mean_of_the_data():
    x = torch.rand(500, 3) * torch.tensor([0.1, 0.9, 0.5])
    likelihood = Beta((3,), offset="data_mean")
    likelihood.initialize(x)
    torch.testing.assert_close(likelihood(torch.zeros(3)).mean, x.mean(0), rtol=0.1, atol=0)


def test_ordinal():
    likelihood = stirred(Ordinal(EVENT, categories=5).double())
    raw, x = 3 * double(7, *EVENT), torch.randint(0, 5, (7, *EVENT)).double()
    loc = (raw / (1 + (raw / 30) ** 2).sqrt()).numpy()
    cuts = likelihood.cutpoints.detach().numpy()
    assert (np.diff(cuts, axis=-1) > 0).all()
    below = special.expit(cuts - loc[..., None])  # P(x <= k)
    ends = np.zeros((7, *EVENT, 1))
    mass = np.diff(np.concatenate([ends, below, ends + 1], -1), axis=-1)
    expected = np.take_along_axis(np.log(mass), x.long().numpy()[..., None], -1)[..., 0]
    assert np.allclose(likelihood(raw).log_prob(x).detach(), expected.sum((1, 2)), rtol=1e-9)
    assert np.allclose(likelihood(raw).base_dist.probs.detach(), mass, atol=1e-12)


def test_an_ordinal_begins_near_the_shares_of_the_data_and_keeps_them():
    shares = torch.tensor([0.6, 0.1, 0.25, 0.05])
    x = torch.multinomial(shares, 4000, replacement=True).float().unsqueeze(1)
    x[::7] = math.nan
    likelihood = Ordinal((1,), categories=4)
    likelihood.initialize(x)
    found = likelihood(torch.zeros(1)).base_dist.probs[0].detach()
    torch.testing.assert_close(found, shares, rtol=0, atol=0.05)
    likelihood.initialize(3 - x)
    assert torch.equal(likelihood(torch.zeros(1)).base_dist.probs[0], found)


def test_an_ordinal_in_the_tails_has_its_gradient():
    """Where the difference of the two sigmoids is 0 in double precision."""
    loc = torch.tensor(-50.0, dtype=torch.double, requires_grad=True)
    log = OrderedLogistic(loc, torch.tensor([-1.0, 1.0]).double()).log_prob(torch.tensor(1.0))
    log.backward()
    assert log.item() == pytest.approx(-49 + math.log1p(-math.exp(-2)))
    assert loc.grad.item() == pytest.approx(1)


def test_categorical():
    parameters = double(7, 4, *EVENT)
    x = torch.randint(0, 4, (7, *EVENT)).double()
    log_probs = special.log_softmax(parameters.numpy(), 1)
    expected = np.take_along_axis(log_probs, x.long().numpy()[:, None], 1)[:, 0]
    d = Categorical(EVENT, categories=4)(parameters)
    assert agree(d.log_prob(x), expected, 2)
    numbers = np.arange(4).reshape(4, 1, 1)
    assert np.allclose(d.mean, (np.exp(log_probs) * numbers).sum(1))


@pytest.mark.parametrize("levels", [2, 5, 256])
@pytest.mark.parametrize("scale", [0.02, 0.3, "heteroscedastic"])
def test_discretized_logistic(levels, scale):
    likelihood = DiscretizedLogistic(EVENT, scale, levels).double()
    parameters = double(7, *likelihood.parameter_shape)
    loc, s = loc_and_scale(likelihood, parameters)
    step = torch.randint(0, levels, (7, *EVENT)).double()
    low, high = (step - 0.5) / (levels - 1), (step + 0.5) / (levels - 1)
    low, high = low.where(step > 0, -math.inf), high.where(step < levels - 1, math.inf)
    mass = stats.logistic.cdf(high, loc, s) - stats.logistic.cdf(low, loc, s)
    upper = stats.logistic.sf(low, loc, s) - stats.logistic.sf(high, loc, s)
    expected = np.log(np.where(step / (levels - 1) > loc, upper, mass))  # the smaller tail
    log_prob = likelihood(parameters).log_prob(step / (levels - 1))
    assert np.allclose(log_prob, expected.sum((1, 2)), rtol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("loc", [-300.0, -0.4, 0.5, 1e3])
def test_a_discretized_logistics_masses_sum_to_one_however_far_it_is(loc, dtype):
    d = DiscretizedLogistic((1,), 0.01)(torch.full((1,), loc, dtype=dtype))
    log_prob = d.log_prob(d.base_dist.support.values().to(dtype)[:, None])
    assert log_prob.isfinite().all()
    assert log_prob.logsumexp(0).item() == pytest.approx(0, abs=1e-5)


COMPOSITIONS = torch.tensor(
    [x for x in itertools.product(range(5), repeat=4) if sum(x) == 4]
).double()


class TestMultinomial:
    """Over an event of two dimensions, with a total of each datum's own."""

    def test_log_probability(self):
        logits, x = double(7, *EVENT), counts(7, *EVENT)
        pi = special.softmax(logits.reshape(7, 6).numpy(), -1)
        total = x.sum((1, 2)).numpy()
        expected = stats.multinomial.logpmf(x.reshape(7, 6).numpy(), total, pi)
        d = Multinomial(EVENT)(logits, x)
        assert np.allclose(d.log_prob(x), expected, rtol=1e-12)
        assert np.allclose(d.mean.reshape(7, 6), total[:, None] * pi)
        assert d.log_prob(x + 1).eq(-math.inf).all()

    def test_masses_sum_to_one_and_draws_have_the_moments(self):
        d = Multinomial((2, 2), total_count=4)(double(2, 2))
        x = COMPOSITIONS.reshape(-1, 2, 2)
        p = d.log_prob(x).exp()
        assert p.sum().item() == pytest.approx(1)
        assert torch.allclose((p[:, None, None] * x).sum(0), d.mean)
        draws = d.sample(torch.Size([50_000]))
        assert (draws.sum((1, 2)) == 4).all()
        for power in (1, 2):
            expected = (p[:, None, None] * x**power).sum(0)
            errors = (draws**power).mean(0) - expected
            assert (errors.abs() / (draws**power).std(0) * len(draws) ** 0.5).max() < Z_CRIT

    def test_a_documents_length_is_its_own_and_a_generated_one_is_declared(self):
        vae = small_vae(likelihood={"kind": "multinomial", "total_count": 20})
        assert (vae.generate(5, sample=True).sum(1) == 20).all()
        x = torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, 0.0], [30.0, 0.0, 1.0]])
        assert torch.allclose(vae.reconstruct(x).sum(1), x.sum(1))
        z = torch.randn(7, 3, 2)
        assert vae.decode(z, x).sample().sum(-1).equal(x.sum(1).expand(7, 3))
        assert vae.decode(z, x).log_prob(x)[:, 1].abs().max() < 1e-6

    def test_a_datum_without_dimensions_is_refused(self):
        with pytest.raises(IncompatibleComponents, match="at least one dimension, the vocab"):
            small_vae(event_shape=(), likelihood="multinomial")
