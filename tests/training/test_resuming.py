"""A training that was stopped goes on to the same bytes as one that never was."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal

import pyro
import pytest
import torch

from pyro_vae import VAE, as_dataset, fit
from pyro_vae.compiled import backends
from pyro_vae.core.errors import CheckpointError, DeclarationError, RunFolderError
from pyro_vae.core.files import locked
from pyro_vae.training.checkpoints import Checkpoints, newest
from pyro_vae.training.snapshot import Snapshot
from pyro_vae.training.stepper import Stepper

NET = {"kind": "mlp", "hidden": [8]}
OFTEN = {"every": 1, "after": 0.0, "keep": 2}
QUIET = {"show_progress": False, "batch_size": 32, "epochs": 6}
VARIANTS = {
    "plain": {},
    "vamp, optimal": {
        "prior": {"kind": "vamp", "pseudo_inputs": 5},
        "likelihood": {"kind": "gaussian", "scale": "optimal"},
    },
    "per_example": {"posterior": "per_example"},
    "batch norm": {"encoder": NET | {"batch_norm": True}},
}


@pytest.fixture(autouse=True)
def at_any_cost(monkeypatch):
    monkeypatch.setattr("pyro_vae.training.checkpoints.SHARE", 1e9)


@pytest.fixture
def as_captured(monkeypatch):
    monkeypatch.setattr(backends, "_compiled", lambda capture, options: capture.graph)


def a_vae(**changes):
    pyro.set_rng_seed(0)
    return VAE((4,), 2, **({"encoder": NET, "decoder": NET} | changes))


def some_data(validation=0.1):
    x = torch.randn(150, 4, generator=torch.Generator().manual_seed(1))
    return as_dataset(x, validation=validation)


def parts(result):
    """Everything that must be the same: weights and history, but for its times."""
    history = [{k: v for k, v in record.items() if k != "seconds"} for record in result.history]
    return result.vae.state_dict(), history, result.best_epoch, result.weights


def are_same(one, other):
    (a, *rest), (b, *others) = parts(one), parts(other)
    return rest == others and a.keys() == b.keys() and all(a[n].equal(b[n]) for n in a)


@pytest.fixture
def stopped_at(monkeypatch, tmp_path):
    """Trains until a signal comes amid the step of a number, from 1; gives the checkpoints."""
    make = Stepper.step

    def stop(number, vae, data, send=signal.SIGINT, **options):
        made = []

        def step(self, given):
            made.append(given)
            if len(made) == number:
                signal.raise_signal(send)
            make(self, given)

        with monkeypatch.context() as patch:
            patch.setattr(Stepper, "step", step)
            result = fit(vae, data, checkpoints=tmp_path / "c", checkpoint=OFTEN, **options)
        assert result.interrupted
        assert len(made) == number
        return tmp_path / "c"

    return stop


def saved_at_each_step(folder, vae, data, **options):
    """The result of a training that was never stopped, and a function that takes a checkpoint."""
    each = {"minutes": 1e-9, "after": 0.0, "keep": 1000}
    whole = fit(vae, data, checkpoints=folder, checkpoint=each, **options)

    def at(step):
        place = folder.parent / f"at {step}"
        shutil.copytree(folder / f"{step:010d}", place / f"{step:010d}")
        return place

    return whole, at


@pytest.mark.parametrize(("variant", "step"), [
    *((variant, "pyro") for variant in VARIANTS),
    *((variant, "compiled") for variant in ("per_example", "batch norm")),
    *(pytest.param(v, "compiled", marks=pytest.mark.slow) for v in ("plain", "vamp, optimal")),
])  # fmt: skip
def test_a_run_goes_on_from_amid_an_epoch_to_the_same_bytes(as_captured, tmp_path, variant, step):
    changes = VARIANTS[variant]
    data = some_data(0 if variant == "per_example" else 0.1)
    options = QUIET | {"step": step}
    whole, at = saved_at_each_step(tmp_path / "c", a_vae(**changes), data, **options)
    resumed = fit(a_vae(**changes), data, resume=at(13), **options)
    assert resumed.step.startswith(f"Step: {'Pyro' if step == 'pyro' else 'compiled'}")
    assert are_same(resumed, whole)


@pytest.mark.parametrize("step", ["pyro", "compiled"])
def test_a_run_goes_on_from_any_step(as_captured, tmp_path, monkeypatch, step):
    """Before and after the capture of the last, short batch of an epoch, too."""
    for module in ("svi", "recall"):
        monkeypatch.setattr(f"pyro_vae.compiled.{module}.RARE", 2)
    data, options = some_data(0.0), QUIET | {"step": step, "objective": {"kind": "iwae"}}
    whole, at = saved_at_each_step(tmp_path / "c", a_vae(), data, **options)
    for number in range(1, 25) if step == "pyro" else (2, 19):
        assert are_same(fit(a_vae(), data, resume=at(number), **options), whole), number


def test_checkpoints_change_nothing(tmp_path):
    whole, _ = saved_at_each_step(tmp_path / "c", a_vae(), some_data(), **QUIET)
    assert are_same(fit(a_vae(), some_data(), **QUIET), whole)


def test_a_run_stopped_twice(stopped_at, tmp_path):
    data = some_data()
    whole = fit(a_vae(), data, **QUIET)
    folder = stopped_at(7, a_vae(), data, **QUIET)
    stopped_at(8, a_vae(), data, resume=folder, **QUIET)
    assert newest(folder)[0].facts["steps"] == 15
    assert are_same(fit(a_vae(), data, resume=folder, **QUIET), whole)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_a_training_with_a_checkpoint(stopped_at, name):
    number, before = getattr(signal, name), signal.getsignal(getattr(signal, name))
    folder = stopped_at(11, a_vae(), some_data(), send=number, **QUIET)
    assert newest(folder)[0].facts["steps"] == 11
    assert signal.getsignal(number) is before


def test_without_checkpoints_sigterm_is_the_callers(monkeypatch):
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append(1))
    try:
        fit(a_vae(), some_data(), on_epoch=lambda _: signal.raise_signal(15), **QUIET)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(seen) == QUIET["epochs"]


@pytest.mark.parametrize("forgotten", ["_restore_generators", "_restore_adam"])
def test_what_is_forgotten_is_seen(forgotten, monkeypatch):
    whole = fit(a_vae(), some_data(), **QUIET)
    half = fit(a_vae(), some_data(), **(QUIET | {"epochs": 3}))
    assert are_same(fit(a_vae(), some_data(), resume=half, **QUIET), whole)
    monkeypatch.setattr(Snapshot, forgotten, lambda *_: None)
    assert not are_same(fit(a_vae(), some_data(), resume=half, **QUIET), whole)


def test_early_stopping_goes_on_with_its_best_epoch(tmp_path):
    data = some_data()
    options = QUIET | {"epochs": 100, "lr": 5e-2, "patience": 4, "step": "pyro"}
    whole = fit(a_vae(), data, **options)
    assert whole.ended == "early"
    cut = whole.best_epoch + 2
    half = fit(a_vae(), data, **(options | {"epochs": cut}), checkpoints=tmp_path / "c")
    assert half.best_epoch == whole.best_epoch
    for resume in (half, tmp_path / "c"):
        resumed = fit(a_vae(), data, resume=resume, **options)
        assert resumed.ended == "early"
        assert are_same(resumed, whole)


def test_a_schedule_of_all_epochs_is_told_when_they_change():
    options = QUIET | {"schedule": "cosine"}
    half = fit(a_vae(), some_data(), **(options | {"epochs": 3}))
    with pytest.warns(UserWarning, match=r"depends on the number of epochs, which was 3 and is"):
        fit(a_vae(), some_data(), resume=half, **options)


def test_what_may_not_change_is_refused_all_at_once(tmp_path):
    half = fit(a_vae(), some_data(), **(QUIET | {"epochs": 3}))
    other = {"batch_size": 16, "lr": 0.5, "epochs": 2, "objective": "iwae"}
    with pytest.raises(DeclarationError) as caught:
        fit(a_vae(prior="diagonal_normal"), some_data(0.2), resume=half, **(QUIET | other))
    message = str(caught.value)
    paths = ("objective.kind", "model.prior.kind", "data.train", "train.lr")
    rest = ("train.batch_size: must stay 32, as it was, got 16", "train.epochs: must be at least")
    for path in (*paths, *rest):
        assert path in message, path
    assert "what may change: train.epochs" in message


def test_other_conditions_are_said():
    half = fit(a_vae(), some_data(), **(QUIET | {"epochs": 3}))
    half.snapshot.facts["run"]["machine"]["torch"] = "1.0"
    with pytest.warns(UserWarning, match=r"torch 1.0, now .*and not to the bit"):
        fit(a_vae(), some_data(), resume=half, **QUIET)


def test_nothing_to_go_on_from_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="expected a folder with checkpoints, got none"):
        fit(a_vae(), some_data(), resume=tmp_path, **QUIET)
    result = fit(a_vae(), some_data(), **(QUIET | {"epochs": 1}))
    result.snapshot = None
    with pytest.raises(CheckpointError, match="a training of at least one step"):
        fit(a_vae(), some_data(), resume=result, **QUIET)


def test_checkpoints_of_another_training_are_kept(tmp_path):
    fit(a_vae(), some_data(), checkpoints=tmp_path, **QUIET)
    with pytest.raises(RunFolderError, match=r"some of another training; go on .* resume="):
        fit(a_vae(), some_data(), checkpoints=tmp_path, **QUIET)


def test_two_trainings_do_not_share_a_folder(tmp_path):
    (tmp_path / "c").mkdir()
    with locked(tmp_path / "c") as free:
        assert free
        with pytest.raises(RunFolderError, match="another process is training"):
            fit(a_vae(), some_data(), checkpoints=tmp_path / "c", **QUIET)
    fit(a_vae(), some_data(), checkpoints=tmp_path / "c", **QUIET)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "truncated": lambda place: os.truncate(place / "tensors.safetensors", 100),
    "flipped": lambda place: flip(place / "tensors.safetensors"),
    "flipped facts": lambda place: flip(place / "state.json"),
    "flipped manifest": lambda place: flip(place / "manifest.json"),
    "missing file": lambda place: (place / "tensors.safetensors").unlink(),
    "no manifest": lambda place: (place / "manifest.json").write_text("[]"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_of_a_damaged_checkpoint_the_one_before_is_used(stopped_at, damage):
    whole = fit(a_vae(), some_data(), **QUIET)
    folder = stopped_at(13, a_vae(), some_data(), **QUIET)
    last = newest(folder)[1]
    DAMAGES[damage](last)
    with pytest.warns(
        UserWarning, match=rf"{last.name} is damaged: .*The checkpoint before it is used"
    ):
        resumed = fit(a_vae(), some_data(), resume=folder, checkpoints=folder, **QUIET)
    assert are_same(resumed, whole)
    assert newest(folder)[0].facts["epoch"] == QUIET["epochs"]


def test_where_none_is_whole_nothing_is_guessed(stopped_at):
    folder = stopped_at(13, a_vae(), some_data(), **QUIET)
    for place in folder.iterdir():
        flip(place / "tensors.safetensors")
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(CheckpointError, match=r"expected a whole checkpoint, but .*is damaged"),
    ):
        fit(a_vae(), some_data(), resume=folder, **QUIET)


def test_the_last_and_the_best_are_kept(tmp_path):
    result = fit(a_vae(), some_data(), checkpoints=tmp_path, checkpoint=OFTEN,
                 **(QUIET | {"epochs": 30, "lr": 0.05}))  # fmt: skip
    found = [
        json.loads((place / "state.json").read_text()) for place in sorted(tmp_path.iterdir())
    ]
    epochs = [facts["epoch"] for facts in found]
    assert epochs[-2:] == [29, 30]
    scores = [record["validation_elbo"] for record in result.history]
    assert 1 + scores.index(max(scores)) in epochs
    assert len(epochs) <= 3


def test_a_short_run_has_one_at_its_end_alone(tmp_path):
    fit(a_vae(), some_data(), checkpoints=tmp_path, **QUIET)
    assert [int(place.name) for place in tmp_path.iterdir()] == [24]


def test_one_is_due_by_epochs_and_by_minutes_but_takes_little_of_the_time(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("pyro_vae.training.checkpoints.time.monotonic", lambda: now[0])
    monkeypatch.setattr("pyro_vae.training.checkpoints.SHARE", 0.05)
    store = Checkpoints(tmp_path / "c", every=5, minutes=10, after=1)
    due = [store.is_due(5)]
    now[0] = 61.0
    due += [store.is_due(), store.is_due(4), store.is_due(5)]
    store.last, store.cost = 61.0, 1.0
    now[0] = 80.0
    due += [store.is_due(10)]
    now[0] = 81.5
    due += [store.is_due(10), store.is_due()]
    now[0] = 661.5
    due += [store.is_due()]
    assert due == [False, False, False, True, False, True, False, True]


@pytest.mark.parametrize("fault", ["full", "removed", "replaced"])
def test_a_checkpoint_that_cannot_be_written_does_not_end_training(tmp_path, monkeypatch, fault):
    whole = fit(a_vae(), some_data(), **QUIET)
    folder = tmp_path / "c"

    def spoil(result):
        if len(result.history) != 3:
            return
        if fault == "full":

            def full(_):
                raise OSError(errno.ENOSPC, "No space left on device")

            monkeypatch.setattr("os.fsync", full)
        else:
            shutil.rmtree(folder)
        if fault == "replaced":
            folder.mkdir()

    match = "No space left" if fault == "full" else "no checkpoint can be written"
    with pytest.warns(UserWarning, match=rf"{match}.*Training goes on"):
        result = fit(a_vae(), some_data(), checkpoints=folder, checkpoint=OFTEN, on_epoch=spoil,
                     **QUIET)  # fmt: skip
    assert are_same(result, whole)
    if fault == "full":  # those before stay, and nothing half-written does
        assert newest(folder)[0].facts["epoch"] == 2
        assert all(path.name.isdigit() for path in folder.iterdir())
    if fault == "replaced":
        assert not [*folder.iterdir()]


def test_nothing_is_pickled(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("pickle")

    for name in ("torch.load", "torch.save", "pickle.loads", "pickle.dumps", "pickle.load"):
        monkeypatch.setattr(name, refuse)
    fit(a_vae(), some_data(), checkpoints=tmp_path, **(QUIET | {"epochs": 3}))
    assert len(fit(a_vae(), some_data(), resume=tmp_path, **QUIET).history) == 6
