"""A guide without an encoder is trained and scored on its own data, and on no others."""

from __future__ import annotations

import pyro
import pytest
import torch

from pyro_vae import VAE, as_dataset, evaluate, fit, load, save
from pyro_vae.core.errors import DataError, IncompatibleComponents
from pyro_vae.report.estimate import Estimate
from pyro_vae.training.amortization import scored_split

QUIET = {"show_progress": False}
NET = {"kind": "mlp", "hidden": [8]}


def a_vae(**changes):
    pyro.set_rng_seed(0)
    usual = {"encoder": NET, "decoder": NET, "posterior": "per_example"}
    return VAE((4,), 2, **(usual | changes))


@pytest.fixture
def x():
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(200, 2, generator=generator)
    return codes @ torch.randn(2, 4, generator=generator)


@pytest.fixture
def data(x):
    return as_dataset(x, validation=0)


def test_training_raises_the_elbo_of_its_data(data):
    vae = a_vae()
    vae.initialize(data.train.x)
    before = evaluate(vae, data, split="train").terms.elbo
    result = fit(vae, data, epochs=300, lr=3e-3, batch_size=160, **QUIET)
    gain = Estimate.of(evaluate(vae, data, split="train").terms.elbo - before)
    assert gain.value > 5 * gain.stderr
    assert "validation_elbo" not in result.history[-1]


def test_training_continues_from_where_it_ended(data):
    vae = a_vae()
    fit(vae, data, epochs=20, batch_size=32, **QUIET)
    reached = evaluate(vae, data, split="train", particles=20).elbo.value
    table = vae.encoder.table
    with pytest.warns(UserWarning, match="trained or loaded before"):
        fit(vae, data, epochs=1, lr=1e-12, **QUIET)
    assert vae.encoder.table is table
    again = evaluate(vae, data, split="train", particles=20).elbo.value
    assert again == pytest.approx(reached, rel=1e-5)


def test_one_seed_gives_one_result(data):
    one, two = (fit(a_vae(), data, epochs=2, seed=3, **QUIET).vae for _ in range(2))
    assert torch.equal(one.encoder.table, two.encoder.table)


def test_a_trained_model_comes_back_with_its_parameters(data, tmp_path):
    vae = a_vae()
    fit(vae, data, epochs=2, **QUIET)
    save(vae, tmp_path / "m")
    again = load(tmp_path / "m")
    assert torch.equal(again.reconstruct(data.train.x), vae.reconstruct(data.train.x))
    one, other = (evaluate(model, data, split="train").elbo for model in (vae, again))
    assert one == other


@pytest.mark.parametrize("validating", [True, False])
def test_other_data_are_not_scored(data, validating):
    vae = a_vae()
    fit(vae, data, epochs=1, **QUIET)
    message = "per_example holds parameters only for the data that .* 160, got 40 others among 40"
    with (
        pyro.validation_enabled(validating),
        pytest.raises(DataError, match=message + r".*split='train'"),
    ):
        evaluate(vae, data)


@pytest.mark.parametrize("settings", [{}, {"patience": 3}])
def test_validation_data_are_refused_before_any_step(x, settings):
    vae = a_vae()
    with pytest.raises(IncompatibleComponents, match=r"got 20 of them.*data\.validation to 0"):
        fit(vae, as_dataset(x), **settings, **QUIET)
    assert len(vae.encoder.table) == 1


def test_data_that_are_redrawn_for_every_batch_are_refused_before_any_step(x):
    grey = as_dataset(x.sigmoid(), validation=0, binarization="dynamic")
    vae = a_vae(likelihood="bernoulli")
    with pytest.raises(IncompatibleComponents, match=r"redrawn.*set data\.binarization to"):
        fit(vae, grey, **QUIET)
    fit(vae, as_dataset(x.sigmoid(), validation=0, binarization="static"), epochs=1, **QUIET)
    assert len(vae.encoder.table) <= 16  # as many as there are patterns of four bits


def test_a_model_is_scored_on_held_out_data_where_it_can_be(x):
    splits = [as_dataset(x), as_dataset(x, test=0), as_dataset(x, test=0, validation=0)]
    amortized, free = a_vae(posterior="diagonal_normal"), a_vae()
    assert [scored_split(amortized, d) for d in splits] == ["test", "validation", "train"]
    assert [scored_split(free, d) for d in splits] == ["train"] * 3
