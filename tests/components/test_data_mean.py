"""Likelihoods that begin at the mean of the training data."""

import pyro
import pytest
import torch

from pyro_vae import VAE, as_dataset, fit, load, save
from pyro_vae.compiled import backends
from pyro_vae.likelihoods.bernoulli import Bernoulli
from pyro_vae.likelihoods.multinomial import Multinomial
from pyro_vae.likelihoods.negative_binomial import NegativeBinomial
from pyro_vae.likelihoods.poisson import Poisson

MEAN = {"kind": "bernoulli", "offset": "data_mean"}
NET = {"kind": "mlp", "hidden": [8]}


@pytest.fixture
def x():
    generator = torch.Generator().manual_seed(0)
    rates = torch.rand(2, 3, generator=generator)
    return (torch.rand(500, 2, 3, generator=generator) < rates).float()


def a_vae(**changes):
    pyro.set_rng_seed(0)
    return VAE((2, 3), 2, **({"likelihood": MEAN, "encoder": NET, "decoder": NET} | changes))


def test_a_decoder_that_puts_out_zero_has_the_mean_of_the_data(x):
    likelihood = Bernoulli(event_shape=(2, 3), offset="data_mean")
    assert torch.equal(likelihood(torch.zeros(2, 3)).mean, torch.full((2, 3), 0.5))
    likelihood.initialize(x)
    torch.testing.assert_close(likelihood(torch.zeros(7, 2, 3)).mean, x.mean(0).expand(7, 2, 3))


def test_a_model_whose_output_does_not_depend_on_z_has_the_mean_of_the_data(x):
    vae = a_vae()
    torch.nn.init.zeros_(vae.decoder.layers[-1].weight)
    torch.nn.init.zeros_(vae.decoder.layers[-1].bias)
    vae.initialize(x)
    torch.testing.assert_close(vae.generate(5), x.mean(0).expand(5, 2, 3))


def test_it_is_what_the_decoders_bias_would_be(x):
    """Adding a constant and beginning the bias there are the same model, and train alike."""
    one, other = a_vae(), a_vae(likelihood="bernoulli")
    one.initialize(x)
    with torch.no_grad():
        other.decoder.layers[-1].bias.add_(x.mean(0).logit().flatten())
    data = as_dataset(x)
    for vae in (one, other):
        vae.likelihood.initialize(x)
        fit(vae, data, epochs=2, lr=1e-2, show_progress=False)
    z = torch.randn(4, 2)
    with torch.no_grad():
        torch.testing.assert_close(one.decode(z).mean, other.decode(z).mean)


def test_it_is_taken_once(x):
    likelihood = Bernoulli(event_shape=(2, 3), offset="data_mean")
    likelihood.initialize(x)
    kept = likelihood.shift.clone()
    likelihood.initialize(1 - x)
    assert torch.equal(likelihood.shift, kept)


def test_pixels_that_never_change_have_a_finite_logit():
    likelihood = Bernoulli(event_shape=(2,), offset="data_mean")
    likelihood.initialize(torch.tensor([[0.0, 1.0]]).expand(100, 2))
    torch.testing.assert_close(likelihood(torch.zeros(2)).mean, torch.tensor([0.001, 0.999]))


def test_without_it_there_is_nothing_to_save():
    assert not Bernoulli(event_shape=(2, 3)).state_dict()


@pytest.mark.parametrize("step", ["pyro", "compiled"])
def test_fit_gives_it_the_data_and_a_run_keeps_it(monkeypatch, tmp_path, x, step):
    monkeypatch.setattr(backends, "_compiled", lambda capture, options: capture.graph)
    data = as_dataset(x)
    vae = a_vae()
    fit(vae, data, epochs=2, step=step, show_progress=False)
    torch.testing.assert_close(vae.likelihood.shift, data.train.x.mean(0).logit())
    again = load(save(vae, tmp_path / "run"))
    z = torch.randn(4, 2)
    assert torch.equal(again.decode(z).mean, vae.decode(z).mean)


COUNTS = [Poisson, NegativeBinomial, Multinomial]


@pytest.fixture
def counts():
    rates = torch.tensor([[0.2, 4.0, 1.0], [30.0, 0.5, 2.0]])
    x = torch.poisson(rates.expand(400, 2, 3), torch.Generator().manual_seed(0))
    x[:, 0, 0] = 0  # never counted
    return x


@pytest.mark.parametrize("cls", COUNTS)
def test_counts_begin_at_their_mean(cls, counts):
    likelihood = cls(event_shape=(2, 3), offset="data_mean")
    likelihood.initialize(counts)
    mean = likelihood(torch.zeros(400, 2, 3), counts).mean.mean(0)
    expected = counts.mean(0)
    floor = 0.5 / 400
    expected[0, 0] = floor
    torch.testing.assert_close(mean, expected, rtol=1e-3, atol=floor)
    assert mean[0, 0] > 0
    plain = cls(event_shape=(2, 3))
    plain.initialize(counts)
    assert not torch.allclose(plain(torch.zeros(400, 2, 3), counts).mean.mean(0), expected, 0.1)


@pytest.mark.parametrize("cls", COUNTS)
def test_counts_are_taken_once_and_leave_nothing_where_there_is_no_offset(cls, counts):
    likelihood = cls(event_shape=(2, 3), offset="data_mean")
    likelihood.initialize(counts)
    kept = likelihood.shift.clone()
    likelihood.initialize(counts.flip(-1))
    assert torch.equal(likelihood.shift, kept)
    assert "shift" not in cls(event_shape=(2, 3)).state_dict()


@pytest.mark.parametrize("kind", ["poisson", "negative_binomial", "multinomial"])
def test_a_model_of_counts_begins_closer_to_the_data(kind, counts):
    z = torch.randn(400, 2, generator=torch.Generator().manual_seed(1))

    def first(offset):
        vae = a_vae(likelihood={"kind": kind, "offset": offset})
        vae.initialize(counts)
        with torch.no_grad():
            return vae.decode(z, counts).log_prob(counts).mean()

    assert first("data_mean") > first("zero") + 2
