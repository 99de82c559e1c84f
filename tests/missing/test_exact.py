"""Missing values in a linear-Gaussian model, beside the joint normal of SciPy."""

import math

import numpy as np
import pytest
import torch

from pyro_vae import conditional, elbo_terms, importance_sampling, impute
from pyro_vae.core.errors import DataError, IncompatibleComponents
from pyro_vae.evidence import conditional as conditional_module
from pyro_vae.evidence import imputation as imputation_module
from pyro_vae.evidence.exact import linear_gaussian
from tests.missing.common import Oracle
from tests.variants import Z_CRIT

GIVEN = torch.tensor([True, False, True, False, False])


@pytest.fixture
def sampled(monkeypatch):
    """Importance samples where the answer is known exactly."""
    for module in (conditional_module, imputation_module):
        monkeypatch.setattr(module, "linear_gaussian", lambda vae: None)


def test_the_evidence_of_what_is_seen_is_exact(linear, x):
    want = [Oracle(linear).log_prob(row) for row in x.numpy()]
    got = linear_gaussian(linear).log_evidence(x)
    np.testing.assert_allclose(got.detach().numpy(), want, rtol=1e-9)


def test_a_datum_of_which_nothing_is_seen_has_log_p_0_and_the_prior_as_posterior(linear):
    nothing, exact = torch.full((1, 5), math.nan).double(), linear_gaussian(linear)
    assert exact.log_evidence(nothing).item() == pytest.approx(0.0, abs=1e-12)
    torch.testing.assert_close(exact.posterior(nothing).mean[0], exact.prior_loc)


def test_complete_data_give_the_same_bits_whether_or_not_others_have_gaps(linear, x):
    complete = torch.where(x.isnan(), 0.5, x)
    plain = linear.swap(missing="none", encoder="mlp")
    plain.double().eval().load_state_dict(
        {n: v for n, v in linear.state_dict().items() if not n.startswith("encoder")}, strict=False
    )
    z = torch.randn(4, 8, 2).double()
    one, other = (v.decode(z, complete).log_prob(complete) for v in (linear, plain))
    assert torch.equal(one, other)
    a, b = (linear_gaussian(v) for v in (linear, plain))
    assert torch.equal(a.log_evidence(complete), b.log_evidence(complete))


def test_the_bound_is_that_of_what_is_seen(linear, x):
    bound = elbo_terms(linear, x, particles=2000).elbo
    assert (bound <= linear_gaussian(linear).log_evidence(x) + 0.5).all()
    found = importance_sampling(linear, x, samples=5000)
    away = (found.log_evidence - linear_gaussian(linear).log_evidence(x)) / found.stderr
    assert away.abs().max() < Z_CRIT


def test_a_conditional_is_exact(linear, x):
    oracle = Oracle(linear)
    part = torch.where(GIVEN, x, math.nan)
    want = [
        oracle.log_prob(a) - oracle.log_prob(b)
        for a, b in zip(x.numpy(), part.numpy(), strict=True)
    ]
    got = conditional(linear, x, GIVEN)
    np.testing.assert_allclose(got.log_prob.numpy(), want, rtol=1e-9, atol=1e-9)
    assert got.estimator == "exact"
    assert got.stderr.max() == 0


def test_a_sampled_conditional_is_within_its_error(linear, x, sampled):
    exact = linear_gaussian(linear)
    want = exact.log_evidence(x) - exact.log_evidence(torch.where(GIVEN, x, math.nan))
    got = conditional(linear, x, GIVEN, samples=5000)
    assert ((got.log_prob - want) / got.stderr).abs().max() < Z_CRIT
    assert (got.effective > 50).all()
    assert got.mean.monte_carlo == pytest.approx(got.stderr.square().sum().sqrt().item() / 8)


def test_a_mistake_in_the_conditional_is_seen(linear, x, sampled):
    """log p(x_A) in place of log p(x_A | x_B)."""
    exact = linear_gaussian(linear)
    wrong = exact.log_evidence(torch.where(GIVEN, math.nan, x))
    got = conditional(linear, x, GIVEN, samples=5000)
    assert ((got.log_prob - wrong) / got.stderr).abs().max() > 10


def test_given_everything_or_nothing(linear, x):
    everything = conditional(linear, x, True).log_prob
    torch.testing.assert_close(everything, torch.zeros(8).double())
    nothing = conditional(linear, x, [False] * 5).log_prob
    torch.testing.assert_close(nothing, linear_gaussian(linear).log_evidence(x).detach())


def test_an_imputation_is_exact(linear, x):
    oracle, found = Oracle(linear), impute(linear, x, draws=4000)
    draws = torch.stack(found.draws).numpy()
    for n, row in enumerate(x.numpy()):
        lost = np.isnan(row)
        mean, covariance = oracle.conditional(row)
        np.testing.assert_allclose(found.mean[n, lost], mean, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.deviation[n, lost], np.sqrt(covariance.diagonal()))
        np.testing.assert_array_equal(found.mean[n, ~lost], row[~lost])
        error = np.sqrt(covariance.diagonal() / len(draws))
        assert (np.abs(draws[:, n, lost].mean(0) - mean) < Z_CRIT * error).all()


def test_a_sampled_imputation_is_within_its_error(linear, x, sampled):
    oracle, found = Oracle(linear), impute(linear, x, draws=1000, samples=4000)
    draws = torch.stack(found.draws).numpy()
    for n, row in enumerate(x.numpy()):
        lost = np.isnan(row)
        mean, covariance = oracle.conditional(row)
        deviation = np.sqrt(covariance.diagonal())
        error = found.stderr[n, lost].numpy()
        assert (np.abs(found.mean[n, lost].numpy() - mean) < Z_CRIT * error).all()
        error = np.hypot(deviation / np.sqrt(len(draws)), error)
        assert (np.abs(draws[:, n, lost].mean(0) - mean) < Z_CRIT * error).all()
        np.testing.assert_allclose(found.deviation[n, lost], deviation, rtol=0.15)


def test_what_cannot_be_asked_is_refused(linear, x):
    with pytest.raises(DataError, match=r"given: expected booleans of shape \(8, 5\)"):
        conditional(linear, x, [1, 0, 1, 0, 0])
    with pytest.raises(DataError, match="what broadcasts to it"):
        conditional(linear, x, [True, False])
    other = linear.swap(missing="none", decoder="mlp").double()
    complete = torch.where(x.isnan(), 0.0, x)
    with pytest.raises(IncompatibleComponents, match="train one with missing: zero_and_mask"):
        conditional(other, complete, GIVEN)
    with pytest.raises(IncompatibleComponents, match="train one with missing: zero_and_mask"):
        impute(other, x)
