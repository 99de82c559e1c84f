"""Which form of the step a training takes, and that the forms agree."""

import itertools
import math

import pyro
import pytest
import torch

from pyro_vae import VAE, as_dataset, fit
from pyro_vae.compiled import backends
from pyro_vae.core.errors import DeclarationError, NonFiniteLoss, NotCapturable
from pyro_vae.core.prior import Prior
from pyro_vae.data.binarization import binarized
from pyro_vae.data.feed import Resident
from pyro_vae.training import stepper

QUIET = {"show_progress": False, "batch_size": 32}
NET = {"kind": "mlp", "hidden": [8]}


@pytest.fixture
def as_captured(monkeypatch):
    monkeypatch.setattr(backends, "_compiled", lambda capture, options: capture.graph)


@pytest.fixture
def data():
    return as_dataset(torch.randn(100, 4, generator=torch.Generator().manual_seed(0)))


def a_vae(**changes):
    pyro.set_rng_seed(0)
    return VAE((4,), 2, **({"encoder": NET, "decoder": NET} | changes))


@pytest.mark.parametrize("objective", ["elbo", {"kind": "elbo", "kl": "exact", "warm_up": 3},
                                       {"kind": "iwae", "particles": 3}])  # fmt: skip
def test_both_forms_train_alike(as_captured, data, objective):
    fitted = {}
    for step in ("pyro", "compiled"):
        vae = a_vae()
        result = fit(vae, data, epochs=5, step=step, objective=objective, **QUIET)
        assert result.step.startswith({"pyro": "Step: Pyro's own", "compiled": "Step: comp"}[step])
        fitted[step] = (vae.state_dict(), result.history)
    for name, value in fitted["pyro"][0].items():
        torch.testing.assert_close(fitted["compiled"][0][name], value, rtol=1e-3, atol=1e-4)
    for ours, pyros in zip(fitted["compiled"][1], fitted["pyro"][1], strict=True):
        ours.pop("seconds"), pyros.pop("seconds")
        assert ours == pytest.approx(pyros, rel=1e-3)


def test_dynamic_binarization_is_drawn_alike_in_both_forms(as_captured):
    generator = torch.Generator().manual_seed(0)
    grey = torch.rand(100, 4, generator=generator)
    assert not torch.equal(binarized(grey, "dynamic", generator), grey)
    data = as_dataset(grey, binarization="dynamic")
    histories = [
        fit(a_vae(likelihood="bernoulli"), data, epochs=3, step=step, **QUIET).history
        for step in ("pyro", "compiled")
    ]
    for pyros, ours in zip(*histories, strict=True):
        assert ours["elbo"] == pytest.approx(pyros["elbo"], rel=1e-4)


def test_auto_takes_pyros_step_for_a_short_run_and_says_why(data, capsys):
    result = fit(a_vae(), data, epochs=2, **(QUIET | {"show_progress": True}))
    assert "Pyro's own, since a run of 6 steps is too short for a capture" in result.step
    assert result.step in " ".join(capsys.readouterr().out.split())


@pytest.fixture
def slow(monkeypatch):
    """Sets what the clock says that each step takes, in seconds."""
    return lambda seconds: monkeypatch.setattr(
        stepper.time, "perf_counter", itertools.count(0, seconds).__next__
    )


@pytest.mark.parametrize(("seconds", "compiled"), [(0.5, False), (2.0, True)])
def test_auto_decides_by_what_a_step_takes_and_trains_alike(
    as_captured, data, slow, seconds, compiled
):
    plain = fit(a_vae(), data, epochs=7, step="pyro", **QUIET)
    slow(seconds)
    result = fit(a_vae(), data, epochs=7, **QUIET)
    assert result.step.startswith("Step: compiled" if compiled else "Step: Pyro's own")
    assert f"since Pyro's takes {seconds * 1e3:.1f} ms and 13 are left" in result.step
    assert ("captured in" in result.step) == compiled
    for ours, pyros in zip(result.history, plain.history, strict=True):
        for name in ours.keys() - {"seconds"}:
            assert ours[name] == pytest.approx(pyros[name], rel=1e-3)


def test_a_step_that_is_not_finite_is_counted_from_the_first_that_was_timed(
    as_captured, data, slow, monkeypatch
):
    batches = []

    class Spoiled(Resident):
        def epoch(self, batch_size, generator):
            for batch in super().epoch(batch_size, generator):
                batches.append(batch)
                if len(batches) == 14:
                    self.split.x[batch] = torch.nan
                yield batch

    slow(2.0)
    monkeypatch.setattr("pyro_vae.training.loop.feed", Spoiled)
    with pytest.raises(NonFiniteLoss, match=r"\(epoch 5, batch 1\)"):
        fit(a_vae(), data, epochs=7, **QUIET)


@pytest.fixture
def branching(registries):
    class Branching(Prior):
        def __init__(self, latent_dim: int) -> None:
            super().__init__()
            self.loc = torch.nn.Parameter(torch.zeros(latent_dim))

        def forward(self):
            loc = self.loc if (self.loc + 1).sum() > 0 else -self.loc
            return pyro.distributions.Normal(loc, 1.0).to_event(1)

    return Branching(2)


def test_auto_goes_on_with_pyros_step_where_there_is_no_graph_and_says_so(data, slow, branching):
    with torch.random.fork_rng():
        plain = fit(a_vae(prior=branching), data, epochs=7, step="pyro", **QUIET)
    branching.loc.data.zero_()
    slow(2.0)
    result = fit(a_vae(prior=branching), data, epochs=7, **QUIET)
    assert "Pyro's own, since this one cannot be captured" in result.step
    assert "reads the value of a tensor" in result.step
    for ours, pyros in zip(result.history, plain.history, strict=True):
        assert ours["elbo"] == pytest.approx(pyros["elbo"], rel=1e-5)


def test_what_has_no_graph_is_refused_where_it_was_declared(data, branching):
    with pytest.raises(NotCapturable, match=r"test_stepper.py:\d+\): the program reads the value"):
        fit(a_vae(prior=branching), data, epochs=2, step="compiled", **QUIET)


def test_a_loss_that_explodes_is_named_and_the_weights_stay_good(as_captured, data):
    vae = a_vae()
    rates = {"kind": "piecewise_constant", "milestones": [1], "factors": [1.0, 1e12]}
    with pytest.raises(NonFiniteLoss, match=r"at site '.' \(Independent\).*epoch 2"):
        fit(vae, data, epochs=3, lr=0.01, schedule=rates, step="compiled", **QUIET)
    assert all(parameter.isfinite().all() for parameter in vae.parameters())


class Rooted(torch.nn.Module):
    """Has a gradient of NaN, and a finite value, where ``k`` is 0."""

    def __init__(self):
        super().__init__()
        self.inner, self.k = torch.nn.Linear(2, 4), torch.nn.Parameter(torch.ones(()))

    def forward(self, z):
        return self.inner(z) + torch.sqrt(self.k * self.k)


@pytest.mark.parametrize("step", ["pyro", "compiled"])
def test_a_gradient_that_is_not_finite_is_named(as_captured, data, step):
    vae = a_vae(decoder=Rooted())
    seen = []

    def spoil(result):
        if len(result.history) == 3:
            vae.decoder.module.k.data.zero_()
            seen.append({name: value.clone() for name, value in vae.state_dict().items()})

    match = r"gradients of 1 of \d+ parameters .*decoder\.module\.k\) .*\(epoch 4, batch 0\)"
    with pytest.raises(NonFiniteLoss, match=match):
        fit(vae, data, epochs=9, step=step, on_epoch=spoil, **QUIET)
    for name, value in vae.state_dict().items():
        assert torch.equal(value, seen[0][name]), name


class Bounded(torch.nn.Module):
    """Gives NaN for a code that comes from one row of the data, which is marked by its size."""

    def __init__(self):
        super().__init__()
        self.inner, self.limit = torch.nn.Linear(4, 4), torch.tensor(math.inf)

    def forward(self, x):
        far = (x.abs().amax(-1, keepdim=True) > self.limit).to(x.dtype)
        return self.inner(x) + torch.sqrt(-far)


@pytest.mark.parametrize("step", ["pyro", "compiled"])
def test_the_batch_and_the_rows_are_those_that_failed(as_captured, step):
    x = torch.randn(96, 4, generator=torch.Generator().manual_seed(0)).clamp(-3, 3)
    x[17] = 5.0
    vae = a_vae(encoder=Bounded())

    def limit(result):
        if len(result.history) == 3:
            vae.encoder.module.limit.fill_(4.0)

    with pytest.raises(NonFiniteLoss) as caught:
        fit(vae, as_dataset(x, validation=0, test=0), epochs=9, step=step, on_epoch=limit, **QUIET)
    order = torch.Generator().manual_seed(0)
    for _ in range(4):
        rows = torch.randperm(96, generator=order)
    place = int((rows == 17).nonzero())
    assert f"(epoch 4, batch {place // 32})" in str(caught.value)
    assert f"in 1 of 32 rows of the batch (first: [{place % 32}])" in str(caught.value)


@pytest.mark.parametrize("step", ["pyro", "compiled"])
def test_bfloat16_is_for_training_alone(as_captured, data, step):
    seen = []
    vae = a_vae()
    hook = vae.encoder.layers[0].register_forward_hook(lambda m, i, o: seen.append(o.dtype))
    result = fit(vae, data, epochs=2, step=step, precision="bfloat16", **QUIET)
    assert torch.bfloat16 in seen
    full = fit(a_vae(), data, epochs=2, step=step, **QUIET)
    ours, exact = result.history[-1]["elbo"], full.history[-1]["elbo"]
    assert ours != exact
    assert ours == pytest.approx(exact, rel=0.02)
    seen.clear()
    vae.encode(data.test.x)
    assert seen == [torch.float32]
    hook.remove()


def test_a_precision_that_the_device_lacks_is_refused(data):
    with pytest.raises(DeclarationError, match="tf32 needs an NVIDIA GPU, got the device cpu"):
        fit(a_vae(), data, precision="tf32", device="cpu", **QUIET)
