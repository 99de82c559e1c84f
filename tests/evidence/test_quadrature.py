"""Quadrature against the linear-Gaussian model, scipy, and other estimates of the evidence."""

from __future__ import annotations

import json
import math

import pytest
import torch
from scipy import integrate as scipy_integrate

from pyro_vae import VAE
from pyro_vae.core.errors import DataError, IncompatibleComponents
from pyro_vae.evidence.exact import linear_gaussian
from pyro_vae.evidence.importance import importance_sampling
from pyro_vae.evidence.quadrature import TOLERANCE, quadrature
from pyro_vae.objectives.kl import kl_exact
from pyro_vae.objectives.terms import elbo_terms_of_data
from tests.small_models import NET, stirred

MODELS = [
    {"prior": "gaussian_mixture", "likelihood": "bernoulli"},
    {"prior": "laplace", "posterior": "laplace"},
    {"prior": "student_t", "likelihood": "poisson"},
    {"posterior": "gaussian_mixture"},
    {"posterior": "planar"},
    {"prior": "maf", "posterior": "multivariate_normal"},
    {"prior": "uniform_sphere", "posterior": "power_spherical"},
]


TIGHT = 1e-9


def model_of(latent_dim=2, **parts):
    return (
        stirred(VAE((6,), latent_dim, **{"decoder": NET, "encoder": NET} | parts)).double().eval()
    )


@pytest.mark.parametrize("latent_dim", [1, 2, 3])
def test_the_linear_gaussian_model(latent_dim):
    model = stirred(
        VAE((4,), latent_dim, prior="diagonal_normal", decoder="linear", encoder=NET)
    ).double()
    x = model.generate(3 if latent_dim < 3 else 1, sample=True)
    known, found = linear_gaussian(model), quadrature(model, x, tolerance=TIGHT)
    with torch.no_grad():
        posterior = known.posterior(x)
        assert torch.allclose(found.log_evidence, known.log_evidence(x), atol=1e-8, rtol=0)
        assert torch.allclose(found.mean, posterior.mean, atol=1e-8)
        assert torch.allclose(found.covariance, posterior.covariance_matrix, atol=1e-8)
        q = model.encode(x)
        elbo = known.expected_log_likelihood(x, q) - kl_exact(q, model.prior())
        assert torch.allclose(found.elbo, elbo, atol=1e-7, rtol=0)
        assert torch.allclose(found.gap, kl_exact(q, posterior), atol=1e-7, rtol=0)
    assert (found.error < 1e-8).all()


def test_a_code_of_one_dimension_against_scipy():
    model = model_of(1, likelihood="bernoulli")
    x = model.generate(2, sample=True)
    found = quadrature(model, x, tolerance=TIGHT)
    for n, datum in enumerate(x.split(1)):

        def joint(z, datum=datum):
            z = torch.tensor([[z]], dtype=torch.float64)
            return (model.prior().log_prob(z) + model.decode(z).log_prob(datum)).exp().item()

        oracle = scipy_integrate.quad(joint, -12, 12, epsabs=1e-13, limit=200)[0]
        assert found.log_evidence[n].item() == pytest.approx(math.log(oracle), abs=1e-10)
        first = scipy_integrate.quad(lambda z, joint=joint: z * joint(z), -12, 12, limit=200)[0]
        assert found.mean[n].item() == pytest.approx(first / oracle, abs=1e-9)


@pytest.mark.parametrize("parts", MODELS, ids=lambda parts: "-".join(parts.values()))
def test_log_evidence_is_elbo_plus_gap_for_models_of_any_kind(parts):
    model = model_of(**parts)
    x = model.generate(2, sample=True)
    found = quadrature(model, x, tolerance=TIGHT)
    assert torch.allclose(found.log_evidence, found.elbo + found.gap, atol=1e-6, rtol=0)
    assert (found.gap > 0).all()
    assert (found.error < 1e-8).all()
    assert (found.guide_error < 1e-6).all()
    sampled = importance_sampling(model, x, samples=100_000)
    z = (sampled.log_evidence - found.log_evidence) / sampled.stderr
    assert z.abs().max() < 5.0
    terms = [elbo_terms_of_data(model, x, particles=5000, seed=seed).elbo for seed in range(8)]
    drawn = torch.stack(terms)
    stderr = drawn.std(0) / math.sqrt(8)
    assert ((drawn.mean(0) - found.elbo).abs() < 9 * stderr).all()  # t with 7, 1 in 1e5


def test_kinks_of_a_decoder_cost_no_more_than_the_default_tolerance_asks_for():
    model = model_of(2, likelihood="bernoulli", decoder={"kind": "mlp", "hidden": [50]})
    x = model.generate(2, sample=True)
    found, tight = quadrature(model, x), quadrature(model, x, tolerance=1e-7)
    assert (found.nodes < tight.nodes).all()
    assert (found.error < TOLERANCE).all()
    assert ((found.log_evidence - tight.log_evidence).abs() < TOLERANCE).all()
    identity = (found.log_evidence - found.elbo - found.gap).abs()
    assert (identity < 10 * (found.error + found.guide_error)).all()


def test_codes_on_the_sphere_in_three_dimensions():
    model = model_of(3, prior="uniform_sphere", posterior="power_spherical")
    x = model.generate(1, sample=True)
    found, sampled = quadrature(model, x), importance_sampling(model, x, samples=20_000)
    z = (sampled.log_evidence - found.log_evidence) / sampled.stderr
    assert z.abs().max() < 5.0
    assert (found.mean.norm(dim=-1) < 1).all()
    assert torch.allclose(found.log_evidence, found.elbo + found.gap, atol=1e-6)


def test_the_model_is_left_as_it_was():
    model = VAE((6,), 1, decoder=NET, encoder=NET).train()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    found = quadrature(model, torch.zeros(1, 6))
    assert torch.equal(torch.rand(1), expected)
    assert found.log_evidence.dtype == torch.float64
    assert next(model.parameters()).dtype == torch.float32
    assert model.training


def test_a_sign_of_the_gap_is_caught(monkeypatch):
    monkeypatch.setattr("pyro_vae.evidence.quadrature.kl_exact", lambda q, p: -kl_exact(q, p))
    model = model_of(1)
    found = quadrature(model, model.generate(2, sample=True))
    assert not torch.allclose(found.log_evidence, found.elbo + found.gap, atol=1e-6)


def test_what_cannot_be_integrated_is_refused():
    with pytest.raises(IncompatibleComponents, match="at most 3 dimensions for quadrature, got 4"):
        quadrature(VAE((6,), 4), torch.zeros(1, 6))
    with pytest.raises(DataError, match=r"shape \(N, 6\)"):
        quadrature(VAE((6,), 1), torch.zeros(1, 5))


def test_shown_as_table_and_json():
    model = model_of(1)
    found = quadrature(model, model.generate(2, sample=True))
    assert [row[0].text for row in found.table().rows] == ["#0", "#1"]
    assert "by a closed form" in found._repr_html_()
    written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert len(written["log_evidence"]) == 2
