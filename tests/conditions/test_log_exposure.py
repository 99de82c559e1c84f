"""Exposure as an offset of log-means, held to SciPy's densities."""

import numpy as np
import pytest
import torch
from scipy import stats

from pyro_vae import VAE, as_dataset, audit_elbo, evaluate, fit, importance_sampling, load, save
from pyro_vae.core.errors import DataError, IncompatibleComponents
from tests.small_models import NET, stirred

WIDTHS = np.array([0.5, 1.0, 2.0, 4.0, 1.5, 0.25])
C = np.log(WIDTHS)[:, None].astype("float32")
QUIET = {"show_progress": False}


def exposed(**changes):
    torch.manual_seed(0)
    parts = {"likelihood": "poisson", "decoder": NET, "encoder": NET, "condition": "log_exposure"}
    return stirred(VAE((3,), 2, **(parts | changes))).eval()


def test_means_are_proportional_to_the_exposure():
    vae, z = exposed(), torch.randn(4, 6, 2)
    with torch.no_grad():
        rates = vae.given(np.zeros((6, 1))).decode(z).mean.numpy()
        x = torch.tensor([[3.0, 0.0, 1.0]] * 6)
        found = vae.given(C).decode(z).log_prob(x).numpy()
    want = stats.poisson(rates * WIDTHS[:, None]).logpmf(x.numpy()).sum(-1)
    np.testing.assert_allclose(found, want, rtol=1e-4)


def test_the_dispersion_of_a_negative_binomial_is_that_of_the_count():
    vae = exposed(likelihood={"kind": "negative_binomial", "dispersion": 0.5})
    p, z = vae.given(C), torch.zeros(6, 2)
    mean, variance = (getattr(p.decode(z), name).detach() for name in ("mean", "variance"))
    torch.testing.assert_close(variance, mean + 0.5 * mean**2)
    torch.testing.assert_close(mean, mean[1] * torch.tensor(WIDTHS[:, None]).float())


def test_the_guide_sees_it_and_the_audit_passes():
    vae, x = exposed(), torch.tensor([[3.0, 0, 1]] * 6)
    q = vae.given(C).encode(x).mean
    assert (q[0] != q[1]).all()
    audit = audit_elbo(vae.given(C), x, particles=300, gradients=10)
    assert audit.passed, audit
    assert importance_sampling(vae.given(C), x, samples=5).log_evidence.isfinite().all()


def test_training_from_the_data_mean_recovers_the_rates(tmp_path):
    rng = np.random.default_rng(0)
    widths = rng.uniform(0.1, 5, size=(300, 1))
    x = rng.poisson(widths * [1.0, 4.0, 0.3])
    data = as_dataset(x, condition=np.log(widths), validation=0, test=50)
    vae = exposed(likelihood={"kind": "poisson", "offset": "data_mean"}, decoder="linear")
    torch.nn.init.zeros_(vae.decoder.affine.weight)
    torch.nn.init.zeros_(vae.decoder.affine.bias)
    fit(vae, data, epochs=1, lr=1e-6, **QUIET)
    with torch.no_grad():
        rates = vae.given([[0.0]]).decode(torch.zeros(1, 2)).mean[0].numpy()
    rows = data.train.rows.numpy()
    np.testing.assert_allclose(rates, x[rows].sum(0) / widths[rows].sum(), rtol=1e-3)
    scores = evaluate(vae, data, against="independent", nll=3000, **QUIET)
    test = data.test.rows.numpy()
    independent = stats.poisson(rates * widths[test]).logpmf(x[test]).sum()
    gain = scores.estimates["importance_sampling"].log_evidence.sum().item() - independent
    bits = scores.bits_per_spike.value
    assert bits == pytest.approx(gain / x[test].sum() / np.log(2), abs=1e-5)
    assert abs(bits) < 0.01  # both know the exposure, and z is not decoded
    again = load(save(vae, tmp_path / "m"))
    assert evaluate(again, data, **QUIET).elbo == evaluate(vae, data, **QUIET).elbo


def test_what_has_no_log_mean_is_refused():
    with pytest.raises(IncompatibleComponents, match=r"poisson, negative_binomial.*got gaussian"):
        exposed(likelihood="gaussian")
    with pytest.raises(DataError, match="Expected a condition for each datum"):
        exposed().decode(torch.zeros(1, 2))
    with pytest.raises(DataError, match="condition: expected finite numbers"):
        exposed().given([[-np.inf]])
