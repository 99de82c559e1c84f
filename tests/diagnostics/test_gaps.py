"""Where the bound is lost, against closed forms of the linear-Gaussian model and quadrature."""

from __future__ import annotations

import json
import math

import pytest
import torch

from pyro_vae import VAE, Annealing, inference_gaps
from pyro_vae.core.errors import DataError, IncompatibleComponents, NonFiniteLoss
from pyro_vae.diagnostics import refine as refine_module
from pyro_vae.diagnostics.refine import refine
from pyro_vae.evidence.exact import linear_gaussian
from pyro_vae.objectives.kl import kl_exact
from tests.small_models import NET, stirred
from tests.variants import small_vae

QUIET = {"show_progress": False}


def exact_gap_of_the_family(model, x):
    """KL from the best diagonal normal to the exact posterior: Sum log L_mm - log |L|, halved."""
    covariance = linear_gaussian(model).posterior(x).covariance_matrix.detach()
    precision = torch.linalg.inv(covariance)
    diagonal = precision.diagonal(dim1=-2, dim2=-1)
    return (diagonal.log().sum(-1) - torch.logdet(precision)) / 2


@pytest.fixture
def correlated(linear):
    return linear.double().eval()


@pytest.fixture
def data(correlated):
    return correlated.generate(5, sample=True)


def test_both_gaps_are_those_of_the_linear_gaussian_model(correlated, data):
    gaps = inference_gaps(correlated, data, **QUIET)
    with torch.no_grad():
        whole = kl_exact(correlated.encode(data), linear_gaussian(correlated).posterior(data))
    family = exact_gap_of_the_family(correlated, data)
    assert (family > 0.01).all()
    assert torch.allclose(gaps.approximation, family, atol=1e-6, rtol=0)
    assert torch.allclose(gaps.amortization, whole - family, atol=1e-6, rtol=0)
    assert torch.allclose(gaps.approximation + gaps.amortization, whole, atol=1e-6, rtol=0)
    assert gaps.evidence_method == "exact, linear-Gaussian"


def test_the_refined_guide_is_the_best_of_its_family(correlated, data):
    q = correlated.posterior(refine(correlated, data).parameters)
    exact = linear_gaussian(correlated).posterior(data)
    precision = torch.linalg.inv(exact.covariance_matrix)
    assert torch.allclose(q.mean, exact.mean, atol=1e-6)
    assert torch.allclose(q.variance, 1 / precision.diagonal(dim1=-2, dim2=-1), atol=1e-6)


@pytest.mark.parametrize("kind", ["multivariate_normal", "low_rank_normal", "householder"])
def test_a_family_that_holds_the_posterior_loses_nothing(correlated, data, kind):
    model = stirred(correlated.swap(posterior=kind))
    gaps = inference_gaps(model, data, **QUIET)
    assert gaps.approximation.abs().max() < 1e-6
    assert (gaps.amortization > 0).all()


def test_draws_and_quadrature_find_the_same_gaps_as_closed_forms(correlated, data, monkeypatch):
    family = exact_gap_of_the_family(correlated, data)
    monkeypatch.setattr(refine_module, "exact_elbo", lambda *args: None)
    drawn = inference_gaps(correlated, data, evidence="quadrature", lr=0.1, steps=800, **QUIET)
    assert drawn.elbo_method == "closed form"
    assert torch.allclose(drawn.approximation, family, atol=2e-3)
    assert drawn.refinement == "800 steps of Adam, 16 draws each, seed 0"
    assert (drawn.approximation > family - 1e-9).all()  # nothing is better than the best


@pytest.mark.parametrize(
    "parts",
    [{"posterior": "gaussian_mixture"}, {"posterior": "planar"}, {"likelihood": "bernoulli"}],
    ids=str,
)
def test_models_of_any_kind_by_quadrature(parts):
    torch.manual_seed(3)
    model = stirred(
        VAE((6,), 1, decoder=NET, encoder=NET, **parts),
    )
    x = model.generate(3, sample=True)
    gaps = inference_gaps(model, x, steps=150, lr=0.1, **QUIET)
    assert (gaps.evidence_method, gaps.elbo_method) == ("quadrature", "quadrature")
    assert torch.equal(gaps.approximation + gaps.amortization, gaps.total) or torch.allclose(
        gaps.approximation + gaps.amortization, gaps.total, atol=1e-12
    )
    assert (gaps.approximation > -1e-7).all()
    assert gaps.amortization.mean() > 0


def test_larger_codes_by_annealing_or_importance_samples():
    model = small_vae(latent_dim=5)  # whose guide is near enough for importance samples
    x = model.generate(3, sample=True)
    options = {"steps": 60, "draws": 400, "samples": 20_000, **QUIET}
    annealed = inference_gaps(model, x, annealing=Annealing(20, 16, 4), **options)
    sampled = inference_gaps(model, x, evidence="importance", **options)
    assert "annealed" in annealed.evidence_method
    assert "K = 20,000" in sampled.evidence_method
    assert torch.equal(annealed.elbo, sampled.elbo)
    error = (annealed.evidence_stderr.square() + sampled.evidence_stderr.square()).sqrt()
    assert ((annealed.log_evidence - sampled.log_evidence).abs() < 5 * error).all()
    assert (annealed.elbo_stderr > 0).all()
    assert (annealed.amortization_stderr > 0).all()


def test_the_model_and_the_generators_are_left_as_they_were(correlated, data):
    model = correlated.float().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    inference_gaps(model, data.float(), **QUIET)
    assert torch.equal(torch.rand(1), expected)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_an_optimizer_that_goes_the_wrong_way_is_caught(correlated, data, monkeypatch):
    def away(vae, x, free, curve, bar):
        with torch.no_grad():
            free.add_(1.0)
        curve.extend([0.0] * 8)

    monkeypatch.setattr(refine_module, "_exactly", away)
    gaps = inference_gaps(correlated, data, **QUIET)
    assert (gaps.amortization < 0).any()
    assert "found no better member" in gaps.table().caption


def test_a_refinement_that_diverges_is_told(correlated, data, monkeypatch):
    elbo = refine_module.exact_elbo
    monkeypatch.setattr(refine_module, "exact_elbo", lambda *args: math.nan * elbo(*args))
    with pytest.raises(NonFiniteLoss, match="refinement of q"):
        refine(correlated, data)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"evidence": "exact"}, IncompatibleComponents, "expected a linear-Gaussian model"),
        ({"evidence": "quadrature"}, IncompatibleComponents, "at most 3 dimensions"),
        ({"draws": 1}, DataError, "draws: expected at least 2, got 1"),
        ({"steps": 3, "evidence": "importance", "samples": 10}, DataError, "steps: expected"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused(options, error, message):
    model = small_vae(latent_dim=4)
    with pytest.raises(error, match=message):
        inference_gaps(model, torch.zeros(2, 3), **options, **QUIET)


def test_shown_as_table_picture_and_json(correlated, data):
    gaps = inference_gaps(correlated, data, **QUIET)
    assert [row[0].text for row in gaps.table().rows][1::2][:2] == [
        "approximation gap", "amortization gap",
    ]  # fmt: skip
    assert len(gaps.per_datum_table().rows) == 5
    assert "Inference gaps" in gaps._repr_html_()
    assert len(gaps.figure().axes) == 2
    written = json.loads(json.dumps(gaps.to_dict(), allow_nan=False))
    assert written["approximation gap"]["value"] == pytest.approx(gaps.approximation.mean().item())
