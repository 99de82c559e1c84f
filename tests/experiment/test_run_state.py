"""An unfinished run is told from a finished one, and goes on where it was."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from pyro_vae.core.errors import RunFolderError
from pyro_vae.core.files import locked
from pyro_vae.experiment.declaration import Experiment
from pyro_vae.experiment.run import run_experiment
from pyro_vae.experiment.run_folder import RunFolder
from pyro_vae.experiment.run_state import state_of, unfinished, write_state

NET = {"kind": "mlp", "hidden": [8]}
SMALL = {"model": {"decoder": NET, "latent_dim": 2}, "guide": {"encoder": NET}}
QUIET = {"audit": False, "show_progress": False}


def an_experiment(**train):
    often = {"every": 1, "after": 0.0}
    train = {"epochs": 4, "batch_size": 512, "checkpoint": often, **train}
    return Experiment.read({**SMALL, "train": train})


def weights(folder):
    return (folder / "weights.safetensors").read_bytes()


def rows(folder):
    """The history without its times."""
    lines = (folder / "history.csv").read_text().splitlines()
    return [line.rpartition(",")[0] for line in lines]


class Killed(BaseException):
    """In place of SIGKILL, after which nothing is written."""


@pytest.fixture
def killed(tmp_path, amid, monkeypatch):
    """A run that was killed in its second epoch."""

    def die():
        raise Killed

    with monkeypatch.context() as patch:
        amid(die)
        for name in ("_kept", "_put_back"):
            patch.setattr(f"pyro_vae.experiment.run.{name}", lambda *_: None)
        with pytest.raises(Killed):
            run_experiment(an_experiment(), tmp_path / "r", **QUIET)
    monkeypatch.undo()
    return tmp_path / "r"


def test_the_state_of_a_run_from_its_beginning_to_its_end(tmp_path, amid):
    seen = []
    amid(lambda: seen.append((state_of(tmp_path / "r"), unfinished(tmp_path / "r"))))
    done = run_experiment(an_experiment(), tmp_path / "r", **QUIET)
    ((state, sentence),) = seen
    assert state == {"status": "training", "epoch": 0, "epochs": 4}
    assert "this run is still training; its weights are those after 0 of 4 epochs" in sentence
    assert state_of(done.folder) == {"status": "finished", "epoch": 4, "epochs": 4}
    assert unfinished(done.folder) is None


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_interrupts_a_run_which_goes_on_to_the_same_bytes(tmp_path, amid, name):
    whole = run_experiment(an_experiment(), tmp_path / "whole", **QUIET).folder
    amid(lambda: os.kill(os.getpid(), getattr(signal, name)))
    done = run_experiment(an_experiment(), tmp_path / "r", **QUIET)
    assert done.result.interrupted
    assert state_of(done.folder) == {"status": "interrupted", "epoch": 2, "epochs": 4}
    assert "was interrupted" in unfinished(done.folder)
    again = run_experiment(an_experiment(), done.folder, resume=True, **QUIET)
    assert again.result.ended == "finished"
    assert weights(again.folder) == weights(whole)
    assert rows(again.folder) == rows(whole)
    assert unfinished(again.folder) is None


def test_a_killed_run_is_told_and_goes_on(killed, tmp_path):
    assert "this run was killed; its weights are those after 0 of 4 epochs" in unfinished(killed)
    assert f"pyro-vae train --resume {killed}" in unfinished(killed)
    assert len(rows(killed)) == 2  # the header, and one epoch whose end was seen
    run_experiment(an_experiment(), killed, resume=True, **QUIET)
    whole = run_experiment(an_experiment(), tmp_path / "whole", **QUIET).folder
    assert weights(killed) == weights(whole)
    assert rows(killed) == rows(whole)


def test_a_run_without_a_checkpoint_starts_again(killed, tmp_path):
    shutil.rmtree(killed / "checkpoints")
    said = []
    run_experiment(an_experiment(), killed, resume=True, say=said.append, **QUIET)
    assert any("There is no checkpoint yet: the run starts from the beginning" in s for s in said)
    whole = run_experiment(an_experiment(), tmp_path / "whole", **QUIET).folder
    assert weights(killed) == weights(whole)


def test_a_folder_in_which_another_process_trains_is_left_alone(killed):
    before = {path: path.read_bytes() for path in killed.rglob("*") if path.is_file()}
    with locked(killed), pytest.raises(RunFolderError, match="another process trains in this"):
        run_experiment(an_experiment(), killed, resume=True, **QUIET)
    assert {path: path.read_bytes() for path in killed.rglob("*") if path.is_file()} == before


def test_what_fails_is_recorded_as_failed(tmp_path, amid):
    def fail():
        raise MemoryError

    amid(fail)
    with pytest.raises(MemoryError):
        run_experiment(an_experiment(), tmp_path / "r", **QUIET)
    assert state_of(tmp_path / "r")["status"] == "failed"
    assert "this run failed" in unfinished(tmp_path / "r")


@pytest.mark.parametrize(("status", "arguments"), [
    ("training", ("evaluate", "-q")),
    ("failed", ("generate",)),
    ("interrupted", ("audit", "--data=2", "--particles=100")),
])  # fmt: skip
def test_each_command_says_that_a_run_is_unfinished(
    command, trained, tmp_path, monkeypatch, status, arguments
):
    monkeypatch.chdir(tmp_path)
    path = shutil.copytree(trained, tmp_path / "copy")
    write_state(RunFolder(path), status, 2, 50)
    _, _, err = command(arguments[0], path, *arguments[1:])
    (line,) = [line for line in err.splitlines() if "after 2 of 50 epochs" in line]
    assert f"pyro-vae train --resume {path}" in line
    write_state(RunFolder(path), "finished", 3, 3)
    _, _, err = command(arguments[0], path, *arguments[1:])
    assert "--resume" not in err


def test_a_finished_run_is_extended_from_the_command_line(command, trained, tmp_path):
    path = shutil.copytree(trained, tmp_path / "copy")
    status, _, err = command("train", "--resume", path, "-q", "--no-audit")
    assert (status, "train.epochs: must be above 3, since" in err) == (2, True)
    status, out, err = command("train", "train.epochs=5", "--resume", path, "-q", "--no-audit")
    assert (status, err) == (0, "")
    assert "after epoch 3, 30 steps in all" in " ".join(out.split())
    assert len(rows(path)) == 6
    assert state_of(path) == {"status": "finished", "epoch": 5, "epochs": 5}


@pytest.mark.parametrize(("arguments", "problem"), [
    (("train.lr=0.5", "model.latent_dim=7"), "model.latent_dim: must stay 2, as it was, got 7"),
    (("data.kind=mnist",), "data.kind: must stay 'digits', as it was, got 'mnist'"),
    (("digits",), "expected no file (digits) beside it"),
    (("--out", "elsewhere"), "expected no --out elsewhere beside it"),
    (("train.epochs=0",), "train.epochs"),
])  # fmt: skip
def test_what_may_not_change_is_refused(command, trained, arguments, problem):
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    status, _, err = command("train", "--resume", trained, *arguments)
    assert status == 2
    assert problem in err
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*")} == before


@pytest.mark.parametrize("content", ["", "[]", "{", '{"status": "finished"}'])
def test_a_state_that_cannot_be_read_is_refused(command, trained, tmp_path, content):
    path = shutil.copytree(trained, tmp_path / "copy")
    (path / "state.json").write_text(content)
    status, _, err = command("evaluate", path)
    assert (status, "expected the state of a run" in err) == (2, True)


def test_no_folder_is_no_run(command, tmp_path):
    status, _, err = command("train", "--resume", tmp_path / "none")
    assert (status, "expected a run folder" in err) == (2, True)


def test_no_checkpoint_is_written_where_none_is_wanted(tmp_path, amid):
    amid(lambda: signal.raise_signal(signal.SIGTERM))
    done = run_experiment(an_experiment(checkpoint=None), tmp_path / "r", **QUIET)
    assert not (done.folder / "checkpoints").exists()
    assert json.loads((done.folder / "state.json").read_text())["status"] == "interrupted"


def test_the_package_is_the_command_line():
    command = [sys.executable, "-m", "pyro_vae", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "train" in done.stdout
