"""Estimators compared: against exact numbers, and with a bias that shows where there is one."""

from __future__ import annotations

import json
import math

import pyro
import pytest
import torch

from pyro_vae import compare_gradients
from pyro_vae.core.errors import DataError, PyroVAEError
from pyro_vae.diagnostics.compare_gradients import mean_variance, median
from pyro_vae.objectives import beta_elbo, importance_elbo
from tests.small_models import stirred

QUICK = {"particles": 2, "draws": 20, "reference_draws": 50}
ELBOS = [
    ("pathwise", "sampled"),
    ("sticking_the_landing", "sampled"),
    ("score_function", "sampled"),
    ("pathwise", "exact"),
    ("score_function", "exact"),
]
IWAES = ["pathwise", "doubly_reparameterized", "score_function"]


@pytest.fixture(scope="module")
def compared():
    from pyro_vae import VAE

    pyro.set_rng_seed(2)
    net = {"kind": "mlp", "hidden": [16], "activation": "tanh"}
    vae = stirred(VAE((2, 3), 2, prior="diagonal_normal", decoder="linear", encoder=net))
    x = torch.randn(12, 2, 3, generator=torch.Generator().manual_seed(3))
    return compare_gradients(vae, x, particles=3, draws=40, reference_draws=100)


def named(compared, group, bound="ELBO"):
    return {(r.estimator, r.kl): r for r in compared.of(group) if r.bound.startswith(bound)}


def test_every_estimator_is_there_for_every_group(compared):
    assert compared.groups == ["all", "prior", "likelihood", "decoder", "encoder"]
    for group in compared.groups:
        assert list(named(compared, group)) == ELBOS
        assert [name for name, _ in named(compared, group, "IWAE")] == IWAES
    assert compared.references["ELBO"] == "exact"
    assert compared.references["IWAE, K = 3"] == "mean of 100 pathwise gradients"


def test_what_is_unbiased_is_not_called_biased(compared):
    assert compared.biased == []
    for row in compared.rows:
        assert row.bias.low <= row.bias.value <= row.bias.high
        assert row.variance.low <= row.variance.value <= row.variance.high
        assert 0 < row.seconds.low <= row.seconds.value <= row.seconds.high


def test_what_is_known_of_the_estimators_shows(compared):
    encoder = named(compared, "encoder")
    pathwise = encoder["pathwise", "exact"].variance
    assert encoder["score_function", "exact"].variance.low > pathwise.high
    prior = named(compared, "prior")
    assert prior["pathwise", "exact"].variance.value == 0  # of a closed form
    assert prior["pathwise", "sampled"].variance.low > 0
    assert prior["pathwise", "exact"].bias.value == pytest.approx(0, abs=1e-5)


def test_the_groups_together_are_all(compared):
    for name, row in named(compared, "all").items():
        parts = [named(compared, group)[name] for group in compared.groups[1:]]
        assert row.variance.value == pytest.approx(sum(p.variance.value for p in parts), rel=1e-3)
        assert row.signal == pytest.approx(math.hypot(*(p.signal for p in parts)), rel=1e-3)


def test_variance_falls_with_the_particles(linear, x):
    few, many = (
        named(compare_gradients(linear, x, **(QUICK | {"particles": k})), "encoder")
        for k in (2, 32)
    )
    for name in ELBOS:
        assert many[name].variance.high < few[name].variance.low


def test_where_nothing_is_exact_the_reference_is_a_mean(vae, x):
    compared = compare_gradients(vae, x, **QUICK)
    assert compared.references["ELBO"] == "mean of 50 pathwise gradients with exact KL"
    assert compared.biased == []
    mixed = stirred(vae.swap(prior="gaussian_mixture"))
    compared = compare_gradients(mixed, x, **QUICK)
    assert compared.references["ELBO"] == "mean of 50 pathwise gradients with sampled KL"
    assert [(r.estimator, r.kl) for r in compared.of() if r.bound == "ELBO"] == ELBOS[:3]


def test_planted_biases_show(linear, x, monkeypatch):
    """One in each of three estimators, and in no other is a bias seen."""
    monkeypatch.setattr(importance_elbo, "_weigh_gradient", lambda *_: None)
    monkeypatch.setattr(importance_elbo, "vimco_baseline", lambda weights: weights)
    monkeypatch.setattr(beta_elbo, "leave_one_out", lambda values: values)
    compared = compare_gradients(linear, 4 * x, particles=4, draws=60, reference_draws=100)
    assert {(row.bound[:4], row.estimator) for row in compared.biased} == {
        ("ELBO", "score_function"), ("IWAE", "doubly_reparameterized"), ("IWAE", "score_function")
    }  # fmt: skip


def test_intervals_hold_what_they_say():
    """Of 400 intervals of 90 % for a variance and for a median, about nine in ten hold it."""
    torch.manual_seed(0)
    inside = [0, 0]
    for _ in range(400):
        pairs = torch.randn(60, 2, 50).double()
        squares = (pairs[:, 0] - pairs[:, 1]).square().sum(-1) / 2
        variance = mean_variance(squares, 0.9, 0.0)
        inside[0] += variance.low <= 50 <= variance.high
        middle = median(torch.rand(60).exp().tolist(), 0.9)
        inside[1] += middle.low <= math.exp(0.5) <= middle.high
    spread = 4.42 * math.sqrt(400 * 0.9 * 0.1)
    assert abs(inside[0] - 360) < spread
    assert 360 - spread < inside[1] <= 400


def test_the_model_and_the_generators_are_left_as_they_were(vae, x):
    vae.train()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    least = {"draws": 20, "reference_draws": 20}
    first = compare_gradients(vae, x, **least)
    assert torch.equal(torch.rand(1), expected)
    assert vae.training
    assert all(torch.equal(value, before[name]) for name, value in vae.state_dict().items())
    assert all(parameter.grad is None for parameter in vae.parameters())
    again = compare_gradients(vae, x, **least)
    assert [r.bias for r in first.rows] == [r.bias for r in again.rows]
    assert not [name for name in pyro.get_param_store() if not name.startswith(vae._pyro_name)]


def test_the_picture_has_a_panel_for_bias_noise_and_cost(compared):
    picture = compared.figure("encoder")
    named = [ax.get_xlabel().partition(",")[0] for ax in picture.axes]
    assert named == ["bias", "noise", "ms a gradient"]
    titles = [ax.get_title("left") for ax in picture.axes]
    assert titles == ["Gradient, encoder parameters, 3 particles each", "", ""]
    assert "95% intervals; 40 gradients of each" in picture.get_supxlabel()


def test_shown_in_terminal_jupyter_and_json(compared):
    text = str(compared)
    assert "sticking_the_landing" in text
    assert "Reference: ELBO: exact; IWAE, K = 3: mean of 100 pathwise gradients" in text
    assert compared._repr_html_().count("<tr>") == 1 + 8
    assert len(compared.table("encoder").rows) == 8
    assert json.loads(json.dumps(compared.to_dict()))["draws"] == 40
    for group in compared.groups:
        assert len(compared.figure(group).axes) == 3


@pytest.mark.parametrize("options", [{"particles": 1}, {"draws": 5}, {"reference_draws": 3}])
def test_too_few_draws_are_refused(options, vae, x):
    with pytest.raises(DataError, match=rf"{next(iter(options))}: expected at least \d+, got"):
        compare_gradients(vae, x, **options)


def test_unfit_data_and_unknown_groups_are_refused(vae, compared):
    with pytest.raises(PyroVAEError, match=r"shape \(N, 2, 3\), got one of shape \(5, 6\)"):
        compare_gradients(vae, torch.zeros(5, 6))
    with pytest.raises(DataError, match="at least one datum"):
        compare_gradients(vae, torch.zeros(0, 2, 3))
    with pytest.raises(DataError, match="group: must be all, prior, likelihood, decoder or enc"):
        compared.table("guide")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu(vae, x):
    compared = compare_gradients(vae.cuda(), x, **QUICK)
    assert compared.biased == []
    assert compared.device.startswith("cuda")
