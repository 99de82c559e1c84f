"""Training does not depend on the data's units; where it must, a warning says what to do."""

import math

import pyro
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from torch import nn

from pyro_vae import VAE, as_dataset, evaluate, fit, load, load_data, save
from pyro_vae.likelihoods import Gaussian, Laplace, NegativeBinomial, Poisson
from tests.variants import NET

QUIET = {"show_progress": False}


@pytest.fixture
def x():
    generator = torch.Generator().manual_seed(0)
    codes, noise = (torch.randn(200, n, generator=generator) for n in (2, 6))
    return codes @ torch.randn(2, 6, generator=generator) + 0.1 * noise


def a_vae(likelihood="gaussian", **changes):
    pyro.set_rng_seed(0)
    return VAE((6,), 2, likelihood=likelihood, **({"encoder": NET, "decoder": NET} | changes))


def score(x, split="test", **changes):
    vae, data = a_vae(**changes), as_dataset(x, seed=0, validation=0)
    fit(vae, data, epochs=4, lr=1e-2, **QUIET)
    return evaluate(vae, data, split=split).elbo.value


SCALES = ["learned", "per_dimension", "optimal", "heteroscedastic"]
MODELS = [
    *({"likelihood": {"kind": "gaussian", "scale": scale}} for scale in SCALES),
    {"likelihood": "laplace"},
    {"likelihood": "student_t"},
    {"prior": {"kind": "vamp", "pseudo_inputs": 5}},
    {"posterior": "per_example", "split": "train"},
]


@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.parametrize("unit", [1e-12, 1e-6, 1e3])
def test_a_unit_only_shifts_the_log_density(x, model, unit):
    assert score(x * unit, **model) + 6 * math.log(unit) == pytest.approx(
        score(x, **model), abs=0.1
    )


@pytest.mark.parametrize("scale", SCALES)
def test_a_scale_starts_at_the_datas_magnitude_and_is_bounded_relative_to_it(x, scale):
    likelihood = Gaussian((6,), scale)
    likelihood.initialize(1e-6 * x)
    size = 1e-6 * x.square().mean().sqrt()
    d = likelihood(torch.zeros(likelihood.parameter_shape))
    torch.testing.assert_close(d.stddev, size.expand(6), atol=0, rtol=1e-5)
    torch.testing.assert_close(likelihood.eval()(torch.ones(likelihood.parameter_shape)).mean,
                               size.expand(6), atol=0, rtol=1e-5)  # fmt: skip
    if hasattr(likelihood, "raw_scale"):
        for raw, bound in ((-1e6, 1e-3), (1e6, 1e3)):
            nn.init.constant_(likelihood.raw_scale, raw)
            d = likelihood(torch.zeros(6))
            torch.testing.assert_close(d.stddev, (bound * size).expand(6), atol=0, rtol=1e-4)


def test_outliers_count_little_where_the_tails_are_heavy(x):
    x[0, 0] = 1e6
    likelihood = Laplace((6,))
    likelihood.initialize(x)
    torch.testing.assert_close(likelihood.unit, x.abs().mean())


def test_it_is_measured_once(x):
    vae = a_vae()
    vae.initialize(x)
    unit = vae.likelihood.unit.clone()
    vae.initialize(100 * x)
    assert torch.equal(vae.likelihood.unit, unit)
    assert torch.equal(vae.encoder.input_unit, unit)
    assert vae.decoder.input_unit == 1


def test_data_that_are_all_zero_have_no_unit():
    vae = a_vae()
    vae.initialize(torch.zeros(5, 6))
    assert vae.likelihood.unit == 1


def test_a_module_of_ones_own_gets_the_data_as_they_are(x):
    vae = a_vae(encoder=nn.Linear(6, 4))
    vae.initialize(x)
    assert torch.equal(vae.encoder(x).flatten(1), vae.encoder.module(x))


def test_a_run_keeps_it(x, tmp_path):
    vae = a_vae()
    fit(vae, 1e-6 * x, epochs=1, **QUIET)
    again = load(save(vae, tmp_path / "m"))
    assert torch.equal(again.reconstruct(1e-6 * x), vae.reconstruct(1e-6 * x))


@pytest.mark.parametrize("cls", [Poisson, NegativeBinomial])
def test_large_counts_are_not_capped(cls):
    x = torch.tensor([[2e7], [5e7]])
    likelihood = cls((1,))
    with pytest.warns(UserWarning, match="rounding takes about .* nats"):
        likelihood.initialize(x)
    raw = torch.tensor([1.0], requires_grad=True)
    mean = likelihood(raw).mean
    (gradient,) = torch.autograd.grad(mean.log().sum(), raw)
    assert mean.item() > 5e7
    assert gradient.item() == pytest.approx(1.0, abs=0.02)


def test_counts_of_any_size_are_fitted():
    rates = 1e7 * torch.rand(300, 1, generator=torch.Generator().manual_seed(0)).exp()
    x = torch.poisson(rates.expand(300, 6), generator=torch.Generator().manual_seed(1))
    vae, data = a_vae("poisson"), as_dataset(x)
    with pytest.warns(UserWarning, match="model the counts' logarithms"):
        fit(vae, data, epochs=60, lr=1e-2, **QUIET)
    error = (vae.reconstruct(data.test.x) / data.test.x).log().abs().mean()
    assert error < 0.05


WARNED = {
    "fixed": ({"kind": "gaussian", "scale": 0.1}, lambda x: 1e-6 * x, "choose scale: learned"),
    "offset": ("gaussian", lambda x: x + 1000, "mean is .* times its standard deviation; stand"),
    "columns": ("gaussian", lambda x: x * torch.tensor([1, 1, 1, 1, 1, 1e-6]), "in like units"),
}


@pytest.mark.parametrize("case", WARNED)
def test_what_no_common_unit_mends_is_said(x, case):
    likelihood, change, message = WARNED[case]
    with pytest.warns(UserWarning, match=message):
        a_vae(likelihood).initialize(change(x))


def test_pictures_and_standardized_data_give_no_warning(x):
    data = load_data("digits")
    for scale in (*SCALES, 0.3):
        Gaussian(data.event_shape, scale).initialize(data.train.x)
        Gaussian((64,), scale).initialize(data.train.x.flatten(1))
        Gaussian((6,), scale).initialize((x - x.mean(0)) / x.std(0))


@pytest.mark.parametrize("handed_over", [True, False])
@pytest.mark.parametrize("scale", ["learned", "per_dimension"])
def test_sgd_moves_a_scale_no_faster_than_the_networks_can_follow(scale, handed_over):
    """A step that a fixed scale bears; it once drove the learned one to its bound, for good."""
    x = load_data("digits").train.x
    pyro.set_rng_seed(0)
    vae = VAE((1, 8, 8), 4, likelihood={"kind": "gaussian", "scale": scale})
    if handed_over:
        vae.initialize(x)
    svi = SVI(vae.model, vae.guide, pyro.optim.SGD({"lr": 1e-5}), Trace_ELBO())
    for _ in range(10):
        for batch in x.split(128):
            svi.step(batch)
    sigma = vae.decode(torch.zeros(4)).stddev
    assert 0.1 < sigma.median() < 0.6  # a pixel that is almost always black may overshoot
