"""A Gaussian process through a linear decoder: the evidence by SciPy, and by a Kalman filter."""

import numpy as np
import pytest
import torch
from scipy import stats

from pyro_vae import VAE, PyroVAEError, audit_elbo, predict
from pyro_vae.evidence.exact import linear_gaussian
from pyro_vae.priors.gaussian_process import NOISE, GaussianProcess
from tests.variants import stirred

NEURONS, TIMES, FUNCTIONS = 4, 6, 2
LINEAR = {"kind": "temporal_conv", "channels": [], "width": 1}
KERNELS = {
    "exponential": lambda r: np.exp(-r),
    "squared_exponential": lambda r: (1 - NOISE) * np.exp(-(r**2) / 2) + NOISE * (r == 0),
}


def gpfa(kernel="exponential", decoder=LINEAR, **changes):
    torch.manual_seed(0)
    usual = {
        "event_shape": (NEURONS, TIMES), "latent_dim": FUNCTIONS * TIMES,
        "prior": {"kind": "gaussian_process", "kernel": kernel, "lengthscale": 1.7},
        "likelihood": {"kind": "gaussian", "scale": 0.6},
        "decoder": decoder, "encoder": {"kind": "temporal_conv", "channels": [8]},
    }  # fmt: skip
    return stirred(VAE(**(usual | changes)).double().eval(), size=0.05)


def known(model):
    """Loadings and offsets of the neurons, the functions' lengthscales, and data."""
    conv = model.decoder.layers[0]
    weight, bias = (p.detach().squeeze(-1).numpy() for p in (conv.weight, conv.bias))
    x = model.generate(5, sample=True)
    return weight, bias, model.prior.lengthscales.detach().numpy(), x


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_evidence_is_the_normal_density_that_scipy_computes(kernel):
    model = gpfa(kernel)
    weight, bias, lengthscales, x = known(model)
    assert lengthscales[0] != lengthscales[1]
    times = np.arange(TIMES)
    apart = np.abs(times[:, None] - times)
    covariance = 0.36 * np.eye(NEURONS * TIMES)
    for column, lengthscale in zip(weight.T, lengthscales, strict=True):
        block = KERNELS[kernel](apart / lengthscale)
        covariance += np.kron(np.outer(column, column), block)  # as x.reshape(N, n * T)
    oracle = stats.multivariate_normal(np.repeat(bias, TIMES), covariance)
    expected = oracle.logpdf(x.flatten(1).numpy())
    linear = linear_gaussian(model)
    np.testing.assert_allclose(linear.log_evidence(x).detach(), expected, rtol=1e-9)
    gaps = x.clone()
    gaps[:, 1] = torch.nan
    gaps[:, :, -2:] = torch.nan
    seen = ~gaps[0].flatten().isnan().numpy()
    part = stats.multivariate_normal(
        np.repeat(bias, TIMES)[seen], covariance[np.ix_(seen, seen)]
    ).logpdf(x.flatten(1).numpy()[:, seen])
    np.testing.assert_allclose(linear.log_evidence(gaps).detach(), part, rtol=1e-9)


def kalman(x, weight, bias, variance, keep):
    """log p(x) of one sequence ``(n, T)``: z_t = keep z_{t-1} + noise, of variance 1."""
    mean, spread, total = np.zeros(len(keep)), np.eye(len(keep)), 0.0
    for observed in x.T:
        innovation = weight @ spread @ weight.T + variance * np.eye(len(weight))
        residual = observed - weight @ mean - bias
        total += stats.multivariate_normal(cov=innovation).logpdf(residual)
        gain = np.linalg.solve(innovation, weight @ spread).T
        mean, spread = mean + gain @ residual, spread - gain @ weight @ spread
        mean, spread = keep * mean, np.outer(keep, keep) * spread + np.diag(1 - keep**2)
    return total


def test_with_the_exponential_kernel_it_is_that_of_a_kalman_filter():
    model = gpfa()
    weight, bias, lengthscales, x = known(model)
    expected = [kalman(one, weight, bias, 0.36, np.exp(-1 / lengthscales)) for one in x.numpy()]
    found = linear_gaussian(model).log_evidence(x).detach()
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    wrong = [kalman(one, weight, bias, 0.36, np.exp(-2 / lengthscales)) for one in x.numpy()]
    assert not np.allclose(found, wrong, rtol=1e-6)


@pytest.mark.parametrize("prior", ["gaussian_process", "multivariate_normal"])
def test_the_posterior_is_the_joint_over_the_evidence(prior):
    model = gpfa(prior=prior)
    x, z = model.generate(5, sample=True), torch.randn(5, FUNCTIONS * TIMES).double()
    linear = linear_gaussian(model)
    joint = model.prior().log_prob(z) + model.decode(z).log_prob(x)
    posterior = linear.posterior(x).log_prob(z) + linear.log_evidence(x)
    torch.testing.assert_close(posterior, joint, rtol=1e-9, atol=0)


@pytest.mark.parametrize("kernel", KERNELS)
def test_lengthscales_begin_where_declared_and_stay_bounded(kernel):
    prior = GaussianProcess(6, (2, 6), kernel, 1.7)
    assert prior.lengthscales.item() == pytest.approx(1.7, rel=1e-5)
    for raw, bound in ((-1e9, 0.25), (1e9, 1000.0)):
        torch.nn.init.constant_(prior.raw_scale, raw)
        assert prior.lengthscales.item() == pytest.approx(bound, rel=1e-5)
        assert prior().log_prob(torch.ones(6)).isfinite()


def test_wide_convolutions_without_hidden_channels_are_linear_too_and_others_are_not():
    assert linear_gaussian(gpfa(decoder=LINEAR | {"width": 3})) is not None
    assert linear_gaussian(gpfa(decoder={"kind": "temporal_conv", "channels": [3]})) is None


def test_the_audit_shows_the_evidence():
    model = gpfa()
    audit = audit_elbo(model, model.generate(3, sample=True), particles=200, gradients=10)
    assert audit.passed
    assert "log p(x)" in str(audit)


def test_a_neuron_is_predicted_from_the_others_at_all_times():
    model = gpfa()
    weight, bias, lengthscales, x = known(model)
    hidden = torch.zeros(NEURONS, TIMES, dtype=torch.bool)
    hidden[2] = True
    times = np.arange(TIMES)
    apart = np.abs(times[:, None] - times)
    latent = sum(
        np.kron(np.outer(column, column), np.exp(-apart / lengthscale))
        for column, lengthscale in zip(weight.T, lengthscales, strict=True)
    )
    seen = ~hidden.flatten().numpy()
    inner = latent[np.ix_(seen, seen)] + 0.36 * np.eye(seen.sum())
    offset = np.repeat(bias, TIMES)
    residual = x.flatten(1).numpy()[:, seen] - offset[seen]
    expected = offset[~seen] + residual @ np.linalg.solve(inner, latent[np.ix_(seen, ~seen)])
    np.testing.assert_allclose(predict(model, x, hidden).mean.detach(), expected, rtol=1e-7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"latent_dim": 13, "encoder": "mlp", "decoder": "mlp"},
            "latent_dim to be a multiple of the 6 times",
        ),
        ({"event_shape": (24,), "prior": "standard_normal"}, r"expected data \(channels, time\)"),
        ({"encoder": {"kind": "temporal_conv", "width": 4}}, "width: must be odd, got 4"),
    ],
    ids=["codes", "flat", "even"],
)
def test_what_does_not_fit_the_times_is_refused(changes, message):
    with pytest.raises(PyroVAEError, match=message):
        gpfa(**changes)
