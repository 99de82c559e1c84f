"""The exact evidence and posterior, against scipy and against one another."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from torch import nn

from pyro_vae import VAE
from pyro_vae.evidence.exact import linear_gaussian
from pyro_vae.objectives.kl import kl_exact
from tests.variants import noise_like

SCALES = [0.7, "learned", "per_dimension", "optimal"]


def exact(model):
    found = linear_gaussian(model)
    assert found is not None
    return found


@pytest.fixture(params=SCALES, ids=str)
def model(request, linear):
    swapped = linear.swap(likelihood={"kind": "gaussian", "scale": request.param})
    with torch.no_grad():
        for parameter in swapped.parameters():
            parameter.add_(0.05 * noise_like(parameter))
    return swapped.double().eval()


def test_evidence_is_the_normal_density_that_scipy_computes(model, x):
    known = exact(model)
    covariance = known.loadings @ known.loadings.mT + torch.diag(known.scale**2)
    mean = known.weight @ known.prior_loc + known.bias
    oracle = stats.multivariate_normal(mean.detach(), covariance.detach())
    ours = known.log_evidence(x.double()).detach()
    assert torch.allclose(ours, torch.as_tensor(oracle.logpdf(x.double().flatten(1))), rtol=1e-10)


def test_posterior_is_joint_over_evidence(model, x):
    known, x = exact(model), x.double()
    z = torch.randn(len(x), 2, dtype=x.dtype)
    joint = model.prior().log_prob(z) + model.decode(z).log_prob(x)
    assert torch.allclose(known.posterior(x).log_prob(z), joint - known.log_evidence(x), rtol=1e-9)


def test_log_evidence_is_elbo_plus_gap(model, x):
    known, x = exact(model), x.double()
    q, posterior = model.encode(x), known.posterior(x)
    elbo = known.expected_log_likelihood(x, q) - kl_exact(q, model.prior())
    gap = kl_exact(q, posterior)
    assert gap.min() > 0
    assert torch.allclose(elbo + gap, known.log_evidence(x), rtol=1e-9, atol=0)


def test_elbo_touches_the_evidence_at_the_exact_posterior(model, x):
    known, x = exact(model), x.double()
    posterior = known.posterior(x)
    elbo = known.expected_log_likelihood(x, posterior) - kl_exact(posterior, model.prior())
    assert torch.allclose(elbo, known.log_evidence(x), rtol=1e-9, atol=0)


def test_expected_log_likelihood_against_draws(model, x):
    known, x = exact(model), x.double()
    q = model.encode(x)
    draws = model.decode(q.sample(torch.Size([20_000])), x).log_prob(x)
    stderr = draws.std(0) / math.sqrt(len(draws))
    z = (draws.mean(0) - known.expected_log_likelihood(x, q)) / stderr
    assert z.abs().max() < 5.0  # one false alarm in 1e5 over 12 data


def test_a_users_own_linear_layer_is_seen_to_be_linear():
    model = VAE((6,), 2, decoder=nn.Linear(2, 6))
    assert torch.allclose(exact(model).weight, model.decoder.module.weight)


@pytest.mark.parametrize(
    "change",
    [
        {"decoder": {"kind": "mlp", "hidden": [4]}},
        {"likelihood": "bernoulli"},
        {"likelihood": {"kind": "gaussian", "scale": "heteroscedastic"}},
        {"decoder": nn.Sequential(nn.Linear(2, 6), nn.Tanh())},
    ],
    ids=["mlp", "bernoulli", "heteroscedastic", "tanh"],
)
def test_other_models_have_no_exact_evidence(linear, change):
    assert linear_gaussian(linear.swap(**change)) is None


def test_no_closed_form_for_a_posterior_that_is_not_normal(linear, x):
    q = dist.Laplace(torch.zeros(12, 2), 1.0).to_event(1)
    assert exact(linear).expected_log_likelihood(x, q) is None
    pyro.clear_param_store()
