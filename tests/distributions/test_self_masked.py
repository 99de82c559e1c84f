"""What is seen, and which entries are: exact integrals, against quadrature and sums."""

import math

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import integrate, stats

from pyro_vae.distributions.by_column import ByColumn, Layout
from pyro_vae.distributions.categorical import Categorical
from pyro_vae.distributions.extended_skew_normal import ExtendedSkewNormal
from pyro_vae.distributions.ordered_logistic import OrderedLogistic
from pyro_vae.distributions.self_masked import SelfMasked
from tests.variants import Z_CRIT

CASES = [
    (0.3, 0.8, 1.5, -0.4),
    (-2.0, 0.5, -3.0, 1.0),
    (1.0, 2.0, 0.0, -1.0),
    (0.0, 1.0, 6.0, -30),
]


def double(*values):
    return torch.tensor(values, dtype=torch.double)


def of_normal(case):
    loc, scale, slope, intercept = case
    density = stats.norm(loc, scale).pdf
    return lambda x: density(x) * stats.norm.cdf(intercept + slope * x)


def integral(f, loc, scale):
    return integrate.quad(f, loc - 40 * scale, loc + 40 * scale, epsabs=0, epsrel=1e-10,
                          points=[loc, loc + 4 * scale], limit=500)[0]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_normal_entrys_chance_to_be_missing_is_the_integral(case):
    loc, scale, slope, intercept = case
    d = SelfMasked(dist.Normal(double(loc), double(scale)), 1, double(slope), double(intercept))
    want = math.log(integral(of_normal(case), loc, scale))
    assert d.log_prob(double(math.nan)).item() == pytest.approx(want, rel=1e-8)
    x = loc + 0.7 * scale
    seen = stats.norm(loc, scale).logpdf(x) + stats.norm.logsf(intercept + slope * x)
    assert d.log_prob(double(x)).item() == pytest.approx(seen, rel=1e-10)
    assert d.log_odds(double(x)).item() == pytest.approx(
        stats.norm.logcdf(intercept + slope * x) - stats.norm.logsf(intercept + slope * x)
    )


@pytest.mark.parametrize("case", CASES)
def test_what_a_missing_normal_is(case):
    loc, scale, *_ = case
    d, f = ExtendedSkewNormal(*double(*case)), of_normal(case)
    total = integral(f, loc, scale)
    mean = integral(lambda x: x * f(x), loc, scale) / total
    variance = integral(lambda x: (x - mean) ** 2 * f(x), loc, scale) / total
    assert d.mean.item() == pytest.approx(mean, rel=1e-6)
    assert d.variance.item() == pytest.approx(variance, rel=1e-5)
    assert d.log_prob(double(mean)).item() == pytest.approx(math.log(f(mean) / total), rel=1e-8)
    draws = d.sample(torch.Size([100_000]))
    fourth = ((draws - mean) ** 2 - variance).square().mean().sqrt().item()
    assert abs(draws.mean().item() - mean) < Z_CRIT * math.sqrt(variance / len(draws))
    assert abs(draws.var().item() - variance) < Z_CRIT * fourth / math.sqrt(len(draws))
    assert d.expand(torch.Size([3])).mean.shape == (3,)


def test_categories_and_flags_are_summed_over():
    slope, intercept = double(0.7), double(-0.5)
    chance = lambda k: stats.norm.cdf(-0.5 + 0.7 * k)  # noqa: E731
    ordered = OrderedLogistic(double(0.2), double(-1.0, 0.0, 2.0))
    flag = dist.Bernoulli(logits=double(0.4))
    shares = ordered.probs[0], torch.cat([1 - flag.probs, flag.probs])
    for d, share in zip((ordered, flag), shares, strict=True):
        p = share.numpy()
        joint = p * chance(np.arange(len(p)))
        masked = SelfMasked(d, 1, slope, intercept)
        got = masked.log_prob(double(math.nan)).item()
        assert got == pytest.approx(math.log(joint.sum()))
        absent = joint / joint.sum()
        assert masked.absent.mean.item() == pytest.approx((absent * np.arange(len(p))).sum())


def test_a_name_has_no_slope():
    names = Categorical(logits=torch.randn(1, 3).double())
    d = SelfMasked(names, 1, double(5.0), double(-0.5))
    want = stats.norm.logcdf(-0.5)
    assert d.log_prob(double(math.nan)).item() == pytest.approx(want)
    assert d.log_odds(double(2.0)).item() == d.log_odds(double(0.0)).item()


def columns():
    parts = [dist.Normal(double(0.3), double(0.8)), dist.Bernoulli(logits=double(0.4, -1.0)),
             OrderedLogistic(double(0.2), double(-1.0, 1.0))]  # fmt: skip
    return ByColumn(parts, Layout(torch.tensor([2, 0, 3, 1]), [1, 2, 1], (4,)))


def test_columns_are_each_their_own():
    slope, intercept = double(0.5, -1.0, 2.0, 0.0), double(0.1, 0.2, 0.3, 0.4)
    d = SelfMasked(columns(), 1, slope, intercept)
    singles = [dist.Bernoulli(logits=double(0.4)), OrderedLogistic(double(0.2), double(-1, 1)),
               dist.Normal(double(0.3), double(0.8)),
               dist.Bernoulli(logits=double(-1.0))]  # fmt: skip
    for x in (double(1, 2, 0.5, 0), double(*[math.nan] * 4), double(math.nan, 1, math.nan, 1)):
        want = sum(
            SelfMasked(s, 1, slope[[k]], intercept[[k]]).log_prob(x[[k]])
            for k, s in enumerate(singles)
        )
        torch.testing.assert_close(d.log_prob(x), want)


def test_its_draws_are_of_what_is_seen_and_the_whole_sums_to_one():
    slope, intercept = double(0.5, -1.0, 2.0, 0.0), double(0.1, 0.2, 0.3, 0.4)
    d = SelfMasked(columns(), 1, slope, intercept)
    draws = d.sample(torch.Size([40_000]))
    share, want = draws.isnan().double().mean(0), d.log_chance.exp()
    error = (want * (1 - want) / len(draws)).sqrt()
    assert ((share - want).abs() < Z_CRIT * error).all()
    normal = SelfMasked(dist.Normal(double(0.3), double(0.8)), 1, double(2.0), double(0.3))
    seen = integral(lambda x: normal.log_prob(double(x)).exp().item(), 0.3, 0.8)
    assert seen + normal.log_prob(double(math.nan)).exp().item() == pytest.approx(1)
    assert normal.expand(torch.Size([5])).log_prob(double(math.nan)).shape == (5,)
