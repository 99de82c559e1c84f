"""A run's trackers: ``train.log``."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from pyro_vae.core.errors import DeclarationError
from pyro_vae.experiment.declaration import Experiment
from pyro_vae.experiment.run import run_experiment
from pyro_vae.training.resuming import changes
from pyro_vae.training.trackers import TensorBoard

NET = {"kind": "mlp", "hidden": [8]}
SMALL = {"model": {"decoder": NET, "latent_dim": 2}, "guide": {"encoder": NET}}


@pytest.fixture
def declared(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(100, 2)))
    data = {"kind": "array", "path": str(tmp_path / "x.npy")}

    def read(log, epochs=2):
        train = {"epochs": epochs, "batch_size": 64, "log": log, "step": "pyro"}
        return Experiment.read({**SMALL, "data": data, "train": train})

    return read


def tensorboard(folder):
    module = "tensorboard.backend.event_processing.event_accumulator"
    reader = pytest.importorskip(module, reason="tensorboard is not installed")
    return reader.EventAccumulator(str(folder / "tensorboard")).Reload()


def test_a_run_writes_its_pictures_and_its_verdict_beside_its_numbers(declared, tmp_path):
    run = run_experiment(declared("tensorboard"), tmp_path / "r", show_progress=False)
    found = tensorboard(run.folder)
    assert len(found.Scalars("elbo")) == 2
    (verdict,) = found.Tensors("audit/text_summary")
    assert run.audit.verdict in verdict.tensor_proto.string_val[0].decode()
    pictures = {f"pictures/{name}" for name in run.pictures}
    assert pictures == set(found.Tags()["images"]) >= {"pictures/latent", "pictures/audit"}


def test_a_resumed_run_may_change_where_it_is_written(declared):
    before, now = (declared(log).mapping for log in ("tensorboard", []))
    assert list(changes(before, now)) == []


def test_a_run_that_made_no_epoch_leaves_nothing(declared, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")

    def fails(self, *given):
        raise ZeroDivisionError

    monkeypatch.setattr(TensorBoard, "on_epoch", fails)
    monkeypatch.setattr("pyro_vae.training.callbacks.Callbacks.on_start", fails)
    with pytest.raises(ZeroDivisionError):
        run_experiment(declared("tensorboard"), tmp_path / "r", show_progress=False)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("log", "said"),
    [("tensorbord", r"train\.log: must be tensorboard, mlflow or wandb or a list.*did you mean"),
     (["mlflow", 3], r"train\.log\.1: must be tensorboard, mlflow or wandb, got 3")],
)  # fmt: skip
def test_what_is_no_tracker_is_refused(declared, log, said):
    with pytest.raises(DeclarationError, match=said):
        declared(log)


def test_a_missing_package_is_said_before_the_data_are_read(declared, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setattr(Experiment, "load_data", lambda self: pytest.fail("the data are read"))
    with pytest.raises(DeclarationError, match=r"pip install 'pyro-vae\[mlflow\]'"):
        run_experiment(declared("mlflow"), tmp_path / "r")
