"""Training: it learns, it is reproducible, and it ends well however it ends."""

from __future__ import annotations

import copy
import math
import pickle
import random

import numpy as np
import pyro
import pytest
import torch
from torch import nn

from pyro_vae import VAE, as_dataset, evaluate, fit, load, save
from pyro_vae.core.errors import (
    DataError,
    DeclarationError,
    IncompatibleComponents,
    NoClosedFormKL,
    NonFiniteLoss,
)
from pyro_vae.evidence.exact import linear_gaussian
from pyro_vae.objectives.elbo import ELBO
from pyro_vae.training.settings import resolve_device
from pyro_vae.training.sums import Sums

QUIET = {"show_progress": False}
NET = {"kind": "mlp", "hidden": [8]}


def a_vae(**changes):
    pyro.set_rng_seed(0)
    return VAE((4,), 2, **({"encoder": NET, "decoder": NET} | changes))


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(300, 2, generator=generator)
    noise = 0.1 * torch.randn(300, 4, generator=generator)
    return as_dataset(codes @ torch.randn(2, 4, generator=generator) + noise)


@pytest.mark.parametrize("kl", ["sampled", "exact", "auto"])
def test_training_raises_the_elbo_of_data_it_has_not_seen(data, kl):
    vae = a_vae()
    before = evaluate(vae, data).elbo
    objective = {"kind": "elbo", "kl": kl}
    result = fit(vae, data, epochs=100, lr=1e-2, batch_size=32, objective=objective, **QUIET)
    after = evaluate(vae, data).elbo
    assert after.value - before.value > 5 * math.hypot(after.stderr, before.stderr)
    assert result.history[-1]["elbo"] > result.history[0]["elbo"]


def test_the_linear_model_learns_its_maximum_likelihood(data):
    """Closed form (Tipping and Bishop, 1999): noise is the mean of the discarded eigenvalues."""
    vae = a_vae(decoder="linear", encoder="linear")
    fit(vae, data, epochs=1000, lr=2e-2, batch_size=len(data.train), objective=ELBO(kl="exact"),
        **QUIET)  # fmt: skip
    x = data.train.x
    eigenvalues = torch.linalg.eigvalsh(torch.cov(x.mT, correction=0))
    best = -0.5 * (4 * math.log(2 * math.pi) + eigenvalues[2:].log().sum()
                   + 2 * eigenvalues[:2].mean().log() + 4)  # fmt: skip
    reached = linear_gaussian(vae).log_evidence(x).mean()
    assert best - 0.15 < reached.item() <= best + 1e-4


def test_history_has_every_term_and_they_add_up(data):
    result = fit(a_vae(), data, epochs=3, **QUIET)
    assert [record["epoch"] for record in result.history] == [1, 2, 3]
    for record in result.history:
        for prefix in ("", "validation_"):
            elbo = record[f"{prefix}log_likelihood"] - record[f"{prefix}kl"]
            assert record[f"{prefix}elbo"] == pytest.approx(elbo, rel=1e-5)
    assert result.best_epoch == 3
    assert result.ended == "finished"
    assert not result.vae.training


def test_reported_elbo_is_per_datum_over_uneven_batches(data):
    """With a learning rate of almost nothing, the epoch's mean is the model's own ELBO."""
    vae = a_vae()
    result = fit(vae, data, epochs=1, batch_size=64, lr=1e-12, **QUIET)
    scores = evaluate(vae, data, split="train", kl="sampled", particles=50)
    assert result.history[0]["elbo"] == pytest.approx(
        scores.elbo.value, abs=5 * scores.elbo.stderr
    )


def test_one_seed_gives_one_result_and_another_gives_another(data):
    runs = [fit(a_vae(), data, epochs=2, seed=seed, **QUIET) for seed in (3, 3, 4)]
    weights = [run.vae.state_dict()["decoder.layers.0.weight"] for run in runs]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_every_generator_is_seeded(data):
    fit(a_vae(), data, epochs=1, seed=11, **QUIET)
    drawn = (random.random(), np.random.rand())
    fit(a_vae(), data, epochs=1, seed=11, **QUIET)
    assert (random.random(), np.random.rand()) == drawn


def test_two_trainings_in_one_process_do_not_touch_each_other(data):
    one, two = a_vae(), a_vae()
    fit(one, data, epochs=1, **QUIET)
    kept = {name: value.clone() for name, value in one.state_dict().items()}
    fit(two, data, epochs=1, seed=5, **QUIET)
    assert all(torch.equal(value, kept[name]) for name, value in one.state_dict().items())
    assert not torch.equal(two.decoder.layers[0].weight, one.decoder.layers[0].weight)


def test_early_stopping_keeps_the_best_epochs_weights(data):
    result = fit(a_vae(), data, epochs=400, lr=5e-2, batch_size=32, patience=5, **QUIET)
    assert result.ended == "early"
    best = max(result.history, key=lambda record: record["validation_elbo"])
    assert result.best_epoch == best["epoch"]
    assert len(result.history) == result.best_epoch + 5
    again = evaluate(result.vae, data, split="validation", seed=0).elbo.value
    assert again == pytest.approx(best["validation_elbo"], rel=1e-5)


def test_an_interrupt_keeps_the_weights(data):
    def stop(result):
        if len(result.history) == 2:
            raise KeyboardInterrupt

    vae = a_vae()
    before = vae.decoder.layers[0].weight.clone()
    result = fit(vae, data, epochs=50, on_epoch=stop, **QUIET)
    assert result.interrupted
    assert len(result.history) == 2
    assert not torch.equal(vae.decoder.layers[0].weight, before)
    assert "interrupted after 2 whole epochs" in str(result)
    assert "weights of the last step" in str(result)


@pytest.mark.parametrize("travel", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_a_result_travels(data, travel):
    result = fit(a_vae(), data, epochs=2, schedule="cosine", adam_betas=(0.8, 0.99), **QUIET)
    again = travel(result)
    assert str(again) == str(result)
    assert (again.settings, again.history) == (result.settings, result.history)
    assert again.settings.learning_rate_schedule.factor(2, 2) < 1
    x = data.test.x
    assert torch.equal(again.vae.encode(x).mean, result.vae.encode(x).mean)


@pytest.mark.parametrize("at", ["svi.CompiledSVI._pays", "variants.Variant.compile"])
def test_an_interrupt_during_the_capture_leaves_the_model_as_it_was(data, monkeypatch, at):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"pyro_vae.compiled.{at}", stop)
        vae = a_vae()
        before = copy.deepcopy(vae.state_dict())
        result = fit(vae, data, epochs=5, batch_size=32, step="compiled", **QUIET)
    assert result.interrupted
    assert (result.history, result.best_epoch) == ([], 0)
    assert all(torch.equal(value, before[name]) for name, value in vae.state_dict().items())
    assert "weights of before the first step" in str(result)
    assert result.seconds > 0
    assert "before the end of the first epoch" in result.figure().get_suptitle()
    again = fit(vae, data, epochs=1, **QUIET)  # as if for the first time: nothing warns
    assert again.history[0]["elbo"] == fit(a_vae(), data, epochs=1, **QUIET).history[0]["elbo"]


def test_an_interrupt_amid_the_first_epoch_keeps_the_last_step(data, monkeypatch):
    steps = []

    def stop(self, count, *rest):
        steps.append(copy.deepcopy(vae.state_dict()))
        if len(steps) == 2:
            raise KeyboardInterrupt

    vae = a_vae()
    monkeypatch.setattr(Sums, "add", stop)
    monkeypatch.setattr("pyro_vae.training.sums._Mean.__float__", lambda _: 0.0)
    result = fit(vae, data, epochs=2, batch_size=32, step="pyro", **QUIET)
    assert result.interrupted
    assert all(torch.equal(value, steps[-1][name]) for name, value in vae.state_dict().items())
    assert "weights of the last step" in str(result)


def test_optimal_scale_follows_the_data(data):
    vae = a_vae(likelihood={"kind": "gaussian", "scale": "optimal"})
    fit(vae, data, epochs=60, lr=1e-2, batch_size=32, **QUIET)
    x = data.train.x
    residual = (x - vae.decode(vae.encode(x).sample()).mean).square().mean()
    assert vae.likelihood.mean_square.item() == pytest.approx(residual.item(), rel=0.25)


def test_an_array_is_enough():
    result = fit(a_vae(), np.random.default_rng(0).normal(size=(60, 4)), epochs=1, **QUIET)
    assert result.identity.train == 42


def test_data_by_name():
    vae = VAE((1, 8, 8), 2, likelihood="bernoulli", encoder=NET, decoder=NET)
    data = {"kind": "digits", "binarization": "dynamic"}
    result = fit(vae, data, epochs=1, **QUIET)
    assert result.identity.binarization == "dynamic"


class Explodes(nn.Module):
    """Puts out NaN from its n-th call on."""

    def __init__(self, calls):
        super().__init__()
        self.layer, self.calls = nn.Linear(2, 4), calls

    def forward(self, z):
        self.calls -= 1
        return self.layer(z) * (math.nan if self.calls < 0 else 1.0)


def test_a_loss_that_is_not_finite_names_site_epoch_and_batch_and_keeps_the_weights(data):
    vae = a_vae(decoder=Explodes(calls=4))  # one call is the check of shapes
    with pytest.raises(NonFiniteLoss, match=r"site 'x'.*log p\(x\).*\(epoch 1, batch 3\)"):
        fit(vae, data, epochs=1, batch_size=32, **QUIET)
    assert all(parameter.isfinite().all() for parameter in vae.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs: must be > 0, got 0"),
        ({"batch_size": -3}, "batch_size: must be > 0, got -3"),
        ({"lr": "fast"}, "lr: must be a number, got 'fast'"),
        ({"lr": math.nan}, "lr: must be"),
        ({"patience": 0}, "patience: must be > 0"),
        ({"seed": -1}, "seed: must be >= 0, got -1"),
        ({"device": "tpu"}, "device: must be auto, cpu, cuda or cuda:N, got 'tpu'"),
        ({"device": "meta"}, "device: must be one that computes on this machine, got 'meta'"),
        (
            {"objective": "elbow"},
            "unknown objective 'elbow'; known: elbo, .*; did you mean 'elbo'",
        ),
        ({"objective": {"kind": "elbo", "particles": 0}}, "particles: must be > 0, got 0"),
    ],
)
def test_bad_settings_are_refused_before_any_step(data, options, message):
    vae = a_vae()
    before = vae.decoder.layers[0].weight.clone()
    with pytest.raises(DeclarationError, match=message):
        fit(vae, data, **options, **QUIET)
    assert torch.equal(vae.decoder.layers[0].weight, before)


def test_all_bad_settings_are_named_at_once(data):
    with pytest.raises(DeclarationError) as error:
        fit(a_vae(), data, epochs=0, batch_size=0, lr=-1.0, **QUIET)
    assert len(error.value.problems) == 3


def test_data_of_another_shape_are_refused(data):
    with pytest.raises(IncompatibleComponents, match=r"event shape \(3,\).*got \(4,\)"):
        fit(VAE((3,), 2), data, **QUIET)


def test_grey_values_under_a_bernoulli_are_refused(data):
    with pytest.raises(IncompatibleComponents, match=r"binarization.*gaussian"):
        fit(a_vae(likelihood="bernoulli"), data, **QUIET)


def test_patience_without_validation_data_is_refused(data):
    with pytest.raises(IncompatibleComponents, match="patience"):
        fit(a_vae(), as_dataset(data.train.x, validation=0), patience=3, **QUIET)


def test_nan_in_the_data_is_refused_with_its_rows(data):
    x = data.train.x.clone()
    x[7, 1] = math.nan
    with pytest.raises(DataError, match="7"):
        fit(a_vae(), x, **QUIET)


def test_an_exact_kl_that_does_not_exist_is_refused(data, heavy_tailed):
    with pytest.raises(NoClosedFormKL, match="kl: sampled"):
        fit(a_vae(prior=heavy_tailed), data, objective=ELBO(kl="exact"), epochs=1, **QUIET)


@pytest.mark.parametrize("name", ["mps", "xpu", "vulkan"])
def test_a_device_that_torch_was_not_built_for_is_refused(name):
    if getattr(getattr(torch, name, None), "is_available", lambda: False)():
        assert resolve_device(name).type == name
        return
    with pytest.raises(DeclarationError, match=f"computes on this machine, got '{name}'"):
        resolve_device(name)


def test_auto_takes_what_there_is():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu_and_cpu_agree_on_the_elbo(data):
    vae = a_vae()
    fit(vae, data, epochs=5, device="cuda", **QUIET)
    on_gpu = evaluate(vae, data, kl="exact", particles=2000)
    on_cpu = evaluate(vae.cpu(), data, kl="exact", particles=2000)
    assert on_gpu.kl.value == pytest.approx(on_cpu.kl.value, rel=1e-4)
    assert on_gpu.elbo.value == pytest.approx(on_cpu.elbo.value, abs=0.1)


def test_threads_are_given_back(data):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    seen = []
    try:
        fit(
            a_vae(),
            data,
            epochs=1,
            on_epoch=lambda _: seen.append(torch.get_num_threads()),
            **QUIET,
        )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == [1]


def test_a_second_training_says_what_starts_anew(data, tmp_path):
    vae = a_vae()
    fit(vae, data, epochs=1, **QUIET)
    kept = {name: value.clone() for name, value in vae.state_dict().items()}
    for again in (vae, copy.deepcopy(vae), load(save(vae, tmp_path / "m"))):
        with pytest.warns(UserWarning, match=r"It keeps its weights; Adam, .* start anew"):
            fit(again, data, epochs=1, lr=1e-12, **QUIET)
        for name, value in again.state_dict().items():
            torch.testing.assert_close(value, kept[name])


def test_a_new_model_is_trained_without_a_warning(data):
    vae = a_vae()
    fit(vae, data, epochs=1, **QUIET)
    fit(vae.swap(), data, epochs=1, **QUIET)


def test_the_bar_says_the_epoch_and_the_validation_elbo(capsys):
    data = as_dataset(torch.randn(100, 3), validation=20)
    fit(VAE((3,), 2), data, epochs=2)
    shown = capsys.readouterr().out
    assert "Epoch 2/2: 100%" in shown
    assert "validation_elbo" in shown
