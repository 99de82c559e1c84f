"""A prior fitted after training: the aggregate posterior's density, all else unchanged."""

from __future__ import annotations

import pytest
import torch

from pyro_vae import VAE, as_dataset, evaluate, refit_prior
from pyro_vae.core.errors import DataError, DeclarationError, IncompatibleComponents

QUIET = {"show_progress": False}


@pytest.fixture
def vae():
    """Codes far from the prior, so that a refit has much to gain."""
    torch.manual_seed(0)
    vae = VAE((3,), 2, decoder="linear", encoder="linear").eval()
    with torch.no_grad():
        vae.encoder.affine.weight.mul_(0.5)
        vae.encoder.affine.bias.copy_(torch.tensor([2.0, -1.0, -0.05, -0.1]))
    return vae


@pytest.fixture
def data():
    return as_dataset(torch.randn(1000, 3, generator=torch.Generator().manual_seed(1)))


def test_a_normal_becomes_that_of_the_aggregate_posterior(vae, data):
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    found = refit_prior(vae, "diagonal_normal", data, epochs=60, lr=0.02, **QUIET)
    with torch.no_grad():
        q, p = vae.encode(data.train.x), found.vae.prior()
        variance = q.mean.var(0) + q.variance.mean(0)
    assert p.mean.tolist() == pytest.approx(q.mean.mean(0).tolist(), abs=0.15)
    assert p.variance.tolist() == pytest.approx(variance.tolist(), rel=0.25)
    for name, value in vae.state_dict().items():  # of the model before, and of the new one
        assert torch.equal(value, before[name])
        assert name.startswith("prior.") or torch.equal(value, found.vae.state_dict()[name])


def test_the_gain_is_that_of_the_exact_elbo(vae, data):
    found = refit_prior(vae, "diagonal_normal", data, epochs=30, lr=0.02, **QUIET)
    old, new = (evaluate(v, data, kl="exact", **QUIET).kl.value for v in (vae, found.vae))
    assert found.gain.value == pytest.approx(old - new, abs=4 * found.gain.stderr)
    assert found.gain.value > 1
    assert found.gain.stderr < 0.2
    assert found.comparison.verdicts["ELBO"] == {"refitted": "better"}
    assert "refitted" in str(found)
    assert found.to_dict()["gain"]["value"] == found.gain.value


def test_the_best_epoch_on_the_validation_data_is_kept(vae, data):
    few = as_dataset(data.train.x[:40], validation=0.5, test=0)
    prior = {"kind": "gaussian_mixture", "components": 30}
    found = refit_prior(vae, prior, few, epochs=400, lr=0.1, patience=5, **QUIET)
    best = max(range(len(found.history)), key=found.history.__getitem__) + 1
    assert found.best_epoch == best == len(found.history) - 5
    again = refit_prior(vae, prior, few, epochs=best, lr=0.1, patience=5, **QUIET)
    for name, value in again.vae.state_dict().items():
        assert torch.equal(value, found.vae.state_dict()[name])


@pytest.mark.parametrize("prior", ["vamp", "maf", "conditional"])
def test_any_prior_that_learns_is_fitted(prior, registries):
    torch.manual_seed(0)
    x, c = torch.randn(100, 3), torch.arange(100) % 2
    condition = {"kind": "classes", "count": 2} if prior == "conditional" else None
    vae = VAE((3,), 2, condition=condition).double()
    data = as_dataset(x, condition=c) if condition else as_dataset(x)
    declared = {"kind": prior, "pseudo_inputs": 3} if prior == "vamp" else prior
    found = refit_prior(vae, declared, data, epochs=3, **QUIET)
    assert found.history[-1] > found.history[0]
    assert found.vae.declaration["prior"]["kind"] == prior


@pytest.mark.parametrize(
    ("prior", "given", "error", "message"),
    [
        ("standard_normal", {}, IncompatibleComponents, "learns something, got standard_normal"),
        ("gaussian_mix", {}, DeclarationError, "did you mean 'gaussian_mixture'"),
        ("uniform_sphere", {}, IncompatibleComponents, "share their support"),
        ("hierarchical", {}, IncompatibleComponents, "reads as much of z as before"),
        ("maf", {"epochs": 0}, DataError, "epochs: expected at least 1, got 0"),
        ("maf", {"lr": 0.0}, DeclarationError, "lr: must be > 0, got 0.0"),
        ("maf", {"data": as_dataset(torch.randn(20, 3), validation=0)}, DataError, "validation"),
        ("maf", {"data": torch.randn(20, 4)}, IncompatibleComponents, "event shape"),
    ],
)
def test_what_cannot_be_fitted_is_refused(vae, data, prior, given, error, message):
    with pytest.raises(error, match=message):
        refit_prior(vae, prior, **{"data": data, **QUIET, **given})
