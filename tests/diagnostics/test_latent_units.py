"""Active units on models with planted dead ones, and the KL of each dimension."""

from __future__ import annotations

import json

import pytest
import torch

from pyro_vae import VAE
from pyro_vae.diagnostics.latent_units import latent_units, posterior_mean
from pyro_vae.objectives.terms import elbo_terms
from tests.variants import small_vae

DEAD = [1, 3]


def with_dead_units(posterior="diagonal_normal"):
    """Five units, the second and the fourth of which the encoder never moves."""
    model = VAE((8,), 5, posterior=posterior, decoder="linear", encoder="linear")
    with torch.no_grad():
        weight = model.encoder.affine.weight
        weight[:5] *= 3.0
        weight[5:10] = 0.0  # the scales are 1
        weight[DEAD] = 0.0
        model.encoder.affine.bias[DEAD] = 0.7
    return model


@pytest.fixture
def x():
    return torch.randn(2000, 8, generator=torch.Generator().manual_seed(0))


def test_planted_dead_units_are_found(x):
    model = with_dead_units()
    units = latent_units(model, x)
    assert units.active.tolist() == [True, False, True, False, True]
    assert str(units) == "3 of 5"
    means = model.encode(x).mean
    assert torch.allclose(units.variance, means.double().var(0), rtol=1e-5)
    assert (units.variance[DEAD] < 1e-12).all()


def test_noise_of_the_draws_makes_no_unit_active(x):
    """Without a closed-form mean a dead unit's draws vary by more than the threshold."""
    model = with_dead_units("iaf")
    with torch.no_grad():
        for name, parameter in model.posterior.named_parameters():
            if name.endswith(("weight", "bias")):
                parameter.zero_()
    units = latent_units(model, x, draws=16)
    assert "from 16 draws" in units.mean_estimator
    assert units.threshold < 1 / 16  # what a scale of about 1 adds, were it not taken off
    assert units.active.tolist() == [True, False, True, False, True]
    exact = model.encode(x).base_dist.mean.double().var(0)
    assert torch.allclose(units.variance, exact, atol=0.02, rtol=0.05)


def test_the_kl_of_the_dimensions_adds_up(x):
    for prior, posterior in (("diagonal_normal", "diagonal_normal"), ("laplace", "laplace")):
        model = small_vae(event_shape=(8,), latent_dim=5, prior=prior, posterior=posterior)
        units = latent_units(model, x)
        assert units.kl_method.startswith("exact")
        total = elbo_terms(model, x, kl="exact").kl.mean().double()
        assert torch.allclose(units.kl.sum(), total, rtol=1e-5)


def test_a_kl_without_a_closed_form_is_sampled_dimension_by_dimension(x):
    model = small_vae(event_shape=(8,), latent_dim=5, prior="student_t")
    units = latent_units(model, x)
    assert "64 draws" in units.kl_method
    terms = elbo_terms(model, x, kl="sampled", particles=200)
    assert units.kl.sum().item() == pytest.approx(terms.kl.mean().item(), rel=0.05)


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"posterior": "multivariate_normal"}, "q(z|x), MultivariateNormal"),
        ({"prior": "maf"}, "p(z), Transformed"),
        ({"posterior": "hierarchical"}, "q(z|x), Chain"),
    ],
    ids=str,
)
def test_a_kl_that_does_not_factorize_is_not_given(parts, named, x):
    units = latent_units(small_vae(event_shape=(8,), **parts), x[:5])
    assert units.kl is None
    assert f"does not factorize: the dimensions of {named}" in units.kl_method


def test_the_mean_of_every_posterior_is_that_of_its_draws(vae, x):
    with torch.no_grad():
        q = vae.eval().encode(vae.generate(3, sample=True))
        mean = posterior_mean(q)
        if mean is None:
            pytest.skip("no closed form, so its draws are taken")
        draws = q.sample((20_000,))
    stderr = draws.std(0) / 20_000**0.5
    assert ((draws.mean(0) - mean).abs() < 5 * stderr + 1e-5).all()


def test_one_datum_has_no_variance(x):
    units = latent_units(with_dead_units(), x[:1])
    assert str(units) == "unknown, for a single datum"
    assert json.loads(json.dumps(units.to_dict(), allow_nan=False))["active"] is None


def test_shown_as_table_picture_and_json(x):
    units = latent_units(with_dead_units(), x)
    assert [row[-1].text for row in units.table().rows].count("active") == 3
    assert "variance over x of E_q[z] &gt; 0.01" in units._repr_html_()
    assert len(units.figure().axes) == 2
    assert json.loads(json.dumps(units.to_dict()))["active"] == 3
