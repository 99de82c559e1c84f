"""A run's folder is one run's, and what was trained is never lost."""

from __future__ import annotations

import csv
import errno
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from pyro_vae import load
from pyro_vae.core.errors import NonFiniteLoss, RunFolderError
from pyro_vae.experiment import run as module
from pyro_vae.experiment.declaration import Experiment
from pyro_vae.experiment.run import run_experiment
from pyro_vae.experiment.run_folder import RunFolder
from pyro_vae.training.stepper import Stepper

NET = {"kind": "mlp", "hidden": [8]}
SMALL = {"model": {"decoder": NET, "latent_dim": 2}, "guide": {"encoder": NET}}


def run(out, epochs=3, **train):
    train = {"epochs": epochs, "batch_size": 512, **train}
    experiment = Experiment.read({**SMALL, "train": train})
    return run_experiment(experiment, out, audit=False, show_progress=False)


def weights_are_those_of(folder, vae):
    state = vae.state_dict()
    return all(
        torch.equal(value, state[name]) for name, value in load(folder).state_dict().items()
    )


@pytest.fixture
def amid(amid, monkeypatch):
    """As shared, with a save at each epoch."""
    monkeypatch.setattr(module, "SAVE_EVERY", -1.0)
    return amid


@pytest.mark.parametrize("exists", [False, True])
def test_one_of_many_gets_a_folder(tmp_path, monkeypatch, exists):
    monkeypatch.setattr(RunFolder, "check_new", lambda path: None)  # all looked before any made it
    if exists:
        (tmp_path / "r").mkdir()

    def create(_):
        try:
            return RunFolder.create(tmp_path / "r")
        except RunFolderError:
            return None

    with ThreadPoolExecutor(8) as pool:
        (folder,) = filter(None, pool.map(create, range(8)))
    folder.write_json("metrics.json", {})
    folder.discard()
    assert (tmp_path / "r").exists() == exists


def test_only_what_was_written_is_discarded(tmp_path):
    folder = RunFolder.create(tmp_path / "r")
    folder.write_json("metrics.json", {})
    (tmp_path / "r" / "notes.txt").write_text("mine")
    folder.discard()
    assert [path.name for path in (tmp_path / "r").iterdir()] == ["notes.txt"]


def test_another_runs_folder_is_neither_written_nor_discarded(tmp_path):
    folder = RunFolder.create(tmp_path / "r")
    shutil.rmtree(tmp_path / "r")
    other = RunFolder.create(tmp_path / "r")
    other.write(".reserve", b"")
    with pytest.raises(RunFolderError, match=r"moved, removed.*Nothing was overwritten"):
        folder.write_json("metrics.json", {})
    folder.release()
    folder.discard()
    assert {path.name for path in (tmp_path / "r").iterdir()} == {"experiment.yaml", ".reserve"}


def test_a_disk_that_is_full_for_a_while_does_not_end_training(tmp_path, amid, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    amid(lambda: monkeypatch.setattr("os.fsync", full))
    release = RunFolder.release
    monkeypatch.setattr(  # what was reserved makes room
        RunFolder, "release", lambda self: (monkeypatch.setattr("os.fsync", int), release(self))
    )
    with (
        pytest.warns(UserWarning, match=r"No space left.*Training goes on, and saves at its end"),
        pytest.warns(UserWarning, match="no checkpoint can be written: No space left"),
    ):
        done = run(tmp_path / "r", epochs=4)
    assert len(done.result.history) == 4
    assert weights_are_those_of(tmp_path / "r", done.result.vae)


@pytest.mark.parametrize("fate", ["moved", "removed", "emptied", "replaced"])
def test_a_run_whose_folder_is_lost_is_saved_beside_it(tmp_path, amid, fate):
    path = tmp_path / "r"

    def lose():
        if fate == "moved":
            path.rename(tmp_path / "elsewhere")
        else:
            shutil.rmtree(path)
        if fate == "emptied":
            path.mkdir()
        if fate == "replaced":
            RunFolder.create(path).write_json("theirs.json", {})

    amid(lose)
    with (
        pytest.warns(UserWarning, match="Training goes on"),
        pytest.warns(UserWarning, match=r"while this run trained; it is in .*r-kept-1"),
    ):
        done = run(path)
    assert done.folder == tmp_path / "r-kept-1"
    assert weights_are_those_of(done.folder, done.result.vae)
    assert {"metrics.json", "history.csv", "pictures"} < {p.name for p in done.folder.iterdir()}
    assert not (done.folder / ".reserve").exists()
    left = {path.name for path in path.iterdir()} if path.exists() else None
    theirs = {"experiment.yaml", "theirs.json"}
    assert left == {"moved": None, "removed": None, "emptied": set(), "replaced": theirs}[fate]


def test_what_ends_training_leaves_what_was_trained(tmp_path, amid):
    def fail():
        raise MemoryError

    amid(fail)
    with pytest.raises(MemoryError):
        run(tmp_path / "r")
    assert load(tmp_path / "r").latent_dim == 2
    assert not (tmp_path / "r" / ".reserve").exists()


def test_an_interrupt_before_the_first_whole_epoch_leaves_a_run_that_opens(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pyro_vae.training.stepper.FiniteSVI.step", stop)
    done = run(tmp_path / "r")
    assert done.result.interrupted
    assert weights_are_those_of(tmp_path / "r", done.result.vae)
    training = RunFolder(tmp_path / "r").read_json("metrics.json")["training"]
    assert (training["ended"], training["epochs"]) == ("interrupted", 0)
    assert training["weights"] == done.result.weights
    assert training["step"].startswith("Step: Pyro's own")


def test_a_history_has_no_epoch_twice_after_a_rollback(tmp_path, monkeypatch):
    begun, made = [], Stepper.step

    def step(self, index):
        begun.append(index)
        if len(begun) == 9:
            raise NonFiniteLoss("planted")
        made(self, index)

    monkeypatch.setattr(Stepper, "step", step)
    how = {"on_nonfinite": "rollback", "checkpoint": {"every": 2}, "step": "pyro"}
    with pytest.warns(UserWarning, match="Rollback 1"):
        run(tmp_path / "r", epochs=4, **how)
    with (tmp_path / "r" / "history.csv").open() as stream:
        rows = [(row["epoch"], row["rollbacks"]) for row in csv.DictReader(stream)]
    assert rows == [("1", "0"), ("2", "0"), ("3", "1"), ("4", "1")]
    assert RunFolder(tmp_path / "r").read_json("metrics.json")["training"]["rollbacks"] == 1
