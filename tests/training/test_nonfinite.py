"""What becomes of a training at a step that is not finite: stop, skip, rollback."""

import math

import pytest
import torch
from torch import nn

from pyro_vae import VAE, fit
from pyro_vae.core.errors import DeclarationError, NonFiniteLoss
from pyro_vae.core.modes import alone
from pyro_vae.training.stepper import Stepper
from tests.training.test_resuming import NET, as_captured, some_data

__all__ = ["as_captured"]
QUIET = {"show_progress": False, "batch_size": 32, "epochs": 6}  # of 4 steps each
STEPS = ["pyro", "compiled"]


@pytest.fixture(autouse=True)
def graphs(as_captured):
    """Captured steps run as they are, not compiled by Inductor."""


class Faulty(nn.Module):
    """A network whose output ``fault`` times its size is added to: 0, or NaN."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.register_buffer("fault", torch.zeros(()), persistent=False)

    def forward(self, x):
        return self.inner(x) + self.fault


def a_vae():
    with alone(), torch.random.fork_rng():
        torch.manual_seed(0)
        return VAE(
            (4,), 2, decoder=NET, encoder=Faulty(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 4)))
        )


def data():
    return some_data()


@pytest.fixture
def strike(monkeypatch):
    """Plant NaN at chosen steps, counted from 0 over all that are begun."""
    made = Stepper.step

    def plant(vae, where, steps):
        begun = []

        def step(self, index):
            now, x = len(begun) in steps, self.data.split.x
            begun.append(now)
            rows, weight = index[:3], vae.decoder.layers[0].weight.data
            kept = x[rows]
            if where == "guide":
                vae.encoder.module.fault.fill_(math.nan if now else 0.0)
            elif now:
                x[rows] = math.nan if where == "data" else kept
                weight[0, 0] = math.nan if where == "weight" else weight[0, 0]
            try:
                made(self, index)
            finally:
                x[rows] = kept

        monkeypatch.setattr(Stepper, "step", step)
        return begun

    return plant


def is_finite(vae):
    return all(value.isfinite().all() for value in vae.parameters())


NAMED = {
    "data": r"site 'z'.*in 3 of 32 rows of the batch \(first: \[0, 1, 2\]\)",
    "guide": "site 'z'.*in 32 of 32 rows",
    "weight": "site 'x'",
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("where", NAMED)
def test_stop_names_the_site_and_the_batch(strike, where, step):
    vae, named = a_vae(), NAMED[where]
    strike(vae, where, {14})
    if step == "compiled" and where != "weight":  # a fault that is gone when Pyro's step looks
        named = "is not finite in step 14, counted from 0"
    with pytest.raises(NonFiniteLoss, match=rf"{named}.*\(epoch 4, batch 2\)"):
        fit(vae, data(), step=step, **QUIET)
    assert is_finite(vae) == (where != "weight")  # which was planted outside of a step


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("where", ["data", "guide"])
def test_skip_leaves_out_the_steps_and_says_so(strike, where, step):
    vae = a_vae()
    strike(vae, where, {5, 7, 14})
    with pytest.warns(UserWarning, match="Skipped") as said:
        result = fit(vae, data(), step=step, on_nonfinite="skip", **QUIET)
    assert [record["skipped"] for record in result.history] == [0, 2, 0, 1, 0, 0]
    first, second = (str(warning.message) for warning in said)
    assert "Skipped 2 of the 4 steps of epoch 2" in first
    assert "(epoch 2, batch 1)" in first
    assert "(epoch 4, batch 2)" in second
    assert is_finite(vae)
    assert all(math.isfinite(record["elbo"]) for record in result.history)


def test_the_compiled_step_skips_as_pyros_does(strike):
    results = []
    for step in STEPS:
        vae = a_vae()
        strike(vae, "data", {0, 1, 7, 14})
        with pytest.warns(UserWarning, match="Skipped"):
            results.append(fit(vae, data(), step=step, on_nonfinite="skip", **QUIET))
    for pyros, ours in zip(*(result.history for result in results), strict=True):
        assert ours["elbo"] == pytest.approx(pyros["elbo"], rel=1e-4)
    for pyros, ours in zip(*(result.vae.parameters() for result in results), strict=True):
        torch.testing.assert_close(ours, pyros, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("step", STEPS)
def test_skipping_nothing_is_training_as_usual(step):
    plain, skipping = (
        fit(a_vae(), data(), step=step, on_nonfinite=how, **QUIET) for how in ("stop", "skip")
    )
    assert [r["elbo"] for r in skipping.history] == [r["elbo"] for r in plain.history]
    assert "skipped" not in plain.history[0]


@pytest.mark.parametrize("step", STEPS)
def test_skip_stops_where_a_whole_epoch_is_not_finite(strike, step):
    vae = a_vae()
    strike(vae, "weight", {9})
    with pytest.raises(NonFiniteLoss, match=r"\(epoch 3, batch 1\)\. Weights are not finite eit"):
        fit(vae, data(), step=step, on_nonfinite="skip", **QUIET)
    vae = a_vae()
    strike(vae, "guide", set(range(4, 8)))
    with pytest.raises(NonFiniteLoss, match=r"\(epoch 2, batch 0\)\. So is every step of the ep"):
        fit(vae, data(), step=step, on_nonfinite="skip", **QUIET)
    assert is_finite(vae)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("where", NAMED)
def test_rollback_goes_on_from_the_last_checkpoint_with_half_the_rate(strike, where, step):
    vae = a_vae()
    begun = strike(vae, where, {14})
    every = {"every": 2, "after": 1000.0}
    with pytest.warns(UserWarning, match=r"Rollback 1 of at most 5.*epoch 2 with 1/2 of"):
        result = fit(vae, data(), step=step, on_nonfinite="rollback", checkpoint=every, **QUIET)
    assert [r["epoch"] for r in result.history] == [1, 2, 3, 4, 5, 6]
    assert [r["rollbacks"] for r in result.history] == [0, 0, 1, 1, 1, 1]
    assert is_finite(vae)
    made_again = 7 if step == "pyro" else 8  # the captured step is checked at the epoch's end
    assert len(begun) == 24 + made_again


@pytest.mark.parametrize("step", STEPS)
def test_a_rollback_to_the_start_is_a_training_with_half_the_rate(strike, step):
    half = fit(a_vae(), data(), step="pyro", lr=5e-4, **QUIET)
    vae = a_vae()
    strike(vae, "data", {6})
    with pytest.warns(UserWarning, match="Rollback 1"):
        result = fit(vae, data(), step=step, lr=1e-3, on_nonfinite="rollback", **QUIET)
    for again, once in zip(result.history, half.history, strict=True):
        assert again["elbo"] == pytest.approx(once["elbo"], rel=1e-5)
    for again, once in zip(vae.parameters(), half.vae.parameters(), strict=True):
        torch.testing.assert_close(again, once, rtol=1e-4, atol=1e-6)


def test_rollbacks_are_limited(strike):
    vae = a_vae()
    strike(vae, "guide", set(range(6, 1000)))
    with (
        pytest.raises(NonFiniteLoss, match=r"site 'z'.*after 2 rollbacks \(train.max_rollbacks"),
        pytest.warns(UserWarning, match="Rollback"),
    ):
        fit(vae, data(), on_nonfinite="rollback", max_rollbacks=2, **QUIET)
    assert is_finite(vae)


def test_a_resumed_training_remembers_its_rollbacks(strike):
    def trained(epochs, **options):
        settings = QUIET | {"step": "pyro", "on_nonfinite": "rollback", "epochs": epochs}
        return fit(a_vae(), data(), **settings, **options)

    vae = a_vae()
    strike(vae, "data", {6})
    with pytest.warns(UserWarning, match="Rollback 1"):
        whole = trained(6)
    strike(vae, "data", {6})
    with pytest.warns(UserWarning, match="Rollback 1"):
        part = trained(3)
    rest = trained(6, resume=part)
    assert [r["elbo"] for r in rest.history] == [r["elbo"] for r in whole.history]
    assert rest.history[-1]["rollbacks"] == 1


def test_an_unknown_way_is_refused():
    with pytest.raises(
        DeclarationError, match="on_nonfinite: must be stop, skip or rollback, got"
    ):
        fit(a_vae(), data(), on_nonfinite="hope", **QUIET)
