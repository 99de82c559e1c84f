"""The commands, from the outside: what they print, write and return."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import pyro_vae
from pyro_vae import evaluate, load, load_data
from pyro_vae.core.posterior import Posterior
from pyro_vae.core.prior import Prior
from pyro_vae.experiment.yaml_file import read_yaml
from tests.commands import SMALL

PICTURES = {"elbo", "reconstructions", "samples", "latent", "audit"}


def test_train_writes_a_run_folder(trained):
    assert {path.stem for path in (trained / "pictures").glob("*.png")} == PICTURES
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in (trained / "pictures").iterdir())
    with (trained / "history.csv").open() as stream:
        assert [row["epoch"] for row in csv.DictReader(stream)] == ["1", "2", "3"]
    resolved = read_yaml(trained / "experiment.yaml")
    assert resolved["model"]["event_shape"] == [1, 8, 8]
    assert resolved["train"]["batch_size"] == 128
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["audit"]["passed"]
    assert metrics["scores"]["elbo"]["unit"] == "nats per datum"
    assert metrics["scores"]["identity"]["name"] == "digits"
    assert not list(trained.rglob(".*"))


def test_train_ends_with_verdict_score_and_pictures(command, tmp_path):
    status, out, _ = command("train", *SMALL, "train.epochs=1", "--out", tmp_path / "r")
    assert status == 0
    last = " ".join(out.split())
    verdict, score, pictures = (last.index(s) for s in ("Audit PASSED", "Test ELBO:", "Pictures:"))
    assert verdict < score < pictures
    assert "nats per datum" in last[score:]
    assert "±" in last[score:]
    assert str(tmp_path / "r" / "pictures") in out.replace("\n", "")


def test_the_score_is_that_of_the_loaded_model(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    scores = evaluate(load(trained), load_data("digits"))
    assert scores.elbo.value == pytest.approx(metrics["scores"]["elbo"]["value"], rel=1e-6)


def test_training_again_from_the_resolved_declaration_gives_the_same(trained, command, tmp_path):
    out = tmp_path / "again"
    status, *_ = command("train", trained / "experiment.yaml", "-q", "--no-audit", "--out", out)
    assert status == 0
    one, two = load(trained).state_dict(), load(out).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_default_folder_is_new_each_time(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert command("train", *SMALL, "train.epochs=1", "--no-audit")[0] == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_audit(trained, command, tmp_path):
    html = tmp_path / "audit.html"
    status, out, _ = command(
        "audit", trained, "--particles", 200, "--data", 8, "--html", html, "--per-datum"
    )
    assert status == 0
    assert "Audit PASSED" in out
    assert "#7" in out
    assert "<table" in html.read_text()
    assert json.loads((trained / "audit.json").read_text())["particles"] == 200


def test_an_audit_that_fails_is_exit_status_1(trained, command, monkeypatch):
    from pyro_vae.objectives import kl

    halved = [(q, p, lambda a, b, form=form: form(a, b) / 2) for q, p, form in kl.CLOSED_FORMS]
    monkeypatch.setattr(kl, "CLOSED_FORMS", halved)
    status, out, _ = command("audit", trained, "--particles", 200, "--data", 8)
    assert status == 1
    assert "DISAGREES" in out
    assert "Audit FAILED" in out


def test_generate(trained, command, tmp_path):
    for suffix in (".npy", ".png"):
        assert command("generate", trained, "-n", 5, "--out", tmp_path / f"s{suffix}")[0] == 0
    x = np.load(tmp_path / "s.npy", allow_pickle=False)
    assert x.shape == (5, 1, 8, 8)
    command("generate", trained, "-n", 5, "--out", tmp_path / "t.npy")
    assert np.array_equal(x, np.load(tmp_path / "t.npy"))
    command("generate", trained, "-n", 5, "--out", tmp_path / "u.npy", "--sample")
    assert not np.array_equal(x, np.load(tmp_path / "u.npy"))


def test_list_names_every_component(command):
    from pyro_vae.experiment.declaration import FAMILIES

    status, out, _ = command("list")
    assert status == 0
    for family in FAMILIES.values():
        assert all(kind in out for kind in family.kinds())
    prose = command("list", "--markdown")[1].replace("\\", "")
    for family in FAMILIES.values():
        assert all(cls.summary() in prose for cls in family.kinds().values())
    assert "\n| standard_normal " in command("list", "prior", "--markdown")[1]


def test_the_matrix_names_every_pair(command):
    status, out, _ = command("list", "--matrix", "--markdown")
    assert status == 0
    for family in (Prior, Posterior):
        assert all(kind in out.replace("\\", "") for kind in family.kinds())
    words = {cell.strip(" *") for line in out.splitlines() for cell in line.split("|")}
    assert {"exact", "torch", "sampled"} <= words
    assert "share their support" in out


def test_schema_is_json_and_knows_every_prior(command):
    status, out, _ = command("schema")
    assert status == 0
    names = json.dumps(json.loads(out))
    assert "standard_normal" in names
    assert "diagonal_normal" in names


OWN = '''
import pyro.distributions as dist
import torch
from torch import nn
from pyro_vae import Prior


class ShiftedNormal(Prior):
    """A normal whose mean is learned.

    Args:
        latent_dim: Size of the latent code.
        start: Where every mean begins.
    """

    def __init__(self, latent_dim: int, start: float = 0.0) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.full((latent_dim,), start))

    def forward(self):
        return dist.Normal(self.loc, 1.0).to_event(1)
'''


def test_a_guide_without_an_encoder_is_scored_on_what_it_was_trained_on(command, tmp_path):
    run = tmp_path / "r"
    settings = ["guide.posterior=per_example", "data.validation=0", "train.epochs=1"]
    status, out, err = command("train", *SMALL, *settings, "--out", run)
    assert status == 0, err
    assert "No encoder: per_example has free parameters" in out
    assert "Audit PASSED" in out
    assert "Train ELBO:" in out
    assert {path.stem for path in (run / "pictures").iterdir()} == PICTURES
    status, out, _ = command("evaluate", run, "--split", "train", "--json")
    recorded = json.loads((run / "metrics.json").read_text())["scores"]["elbo"]["value"]
    assert json.loads(out)["elbo"]["value"] == pytest.approx(recorded, rel=1e-6)
    status, _, err = command("evaluate", run)
    assert status == 2
    assert "--split train" in err


def test_a_component_of_ones_own_from_a_file(command, tmp_path, registries):
    (tmp_path / "mine.py").write_text(OWN)
    mine = ["--import", tmp_path / "mine.py"]
    assert "start=0.0" in command("list", "prior", *mine)[1]
    run = tmp_path / "r"
    settings = ["model.prior={kind: shifted_normal, start: 0.5}", "train.epochs=1", "--out", run]
    status, out, err = command("train", *SMALL, *settings, *mine)
    assert status == 0, err
    assert "Audit PASSED" in out
    assert command("evaluate", run, *mine)[0] == 0


BAD = [
    (["train", "model.prior=standard_norma"], "did you mean 'standard_normal'"),
    (["train", "train.epoch=3"], "train.epoch: unknown argument"),
    (["train", "--epochs", "3"], "--epochs: unknown option"),
    (["train", "train.lr=abc"], "train.lr: must be a number"),
    (["train", "model.latent_dim=-2"], "model.latent_dim: must be > 0, got -2"),
    (["train", "missing.yaml"], "No such file"),
    (["train", "model.likelihood=bernoulli"], "data.binarization"),
    (["train", "guide.posterior=per_example", "--out", "r"], "set data.validation to 0"),
    (["train", "guide.posterior=per_example", "model.prior=vamp"], "an amortized posterior"),
    (["train", "train.device=cuda:99"], "device: must be"),
    (["train", "data.kind=mnist", "data.root=/nonexistent"], "train-images-idx3-ubyte"),
    (["train", "data.kind=array", "data.path=/nonexistent.npy"], "/nonexistent.npy"),
    (["train", "--import", "/nonexistent.py"], "no such file"),
    (["train", "--out", "/proc/x/y"], "cannot be written"),
    (["audit", "/nonexistent"], "expected a run folder"),
    (["audit", "/nonexistent", "--particles", "5"], "particles"),
    (["evaluate", "/nonexistent", "--split", "tset"], "tset"),
    (["evaluate", "/nonexistent", "--nnl", "5000"], "--nnl"),
    (["evaluate", "/nonexistent", "--nll", "1"], "--nll"),
    (["evaluate", "/nonexistent", "--device", "cuda:99"], "device: must be"),
    (["generate", "/nonexistent", "--out", "x.jpg"], ".png or .npy"),
    (["list", "priors"], "did you mean 'prior'"),
    (["frobnicate"], "frobnicate"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(a) for a, _ in BAD])
def test_bad_input_is_one_message_and_exit_status_2(command, arguments, message):
    status, _, err = command(*arguments)
    assert status == 2
    assert message in " ".join(err.split())
    assert err.count("error:") == 1


def test_nan_in_a_file_names_its_rows(command, tmp_path):
    x = np.zeros((50, 4), dtype=np.float32)
    x[[3, 17]] = np.nan
    np.save(tmp_path / "x.npy", x)
    status, _, err = command("train", "data.kind=array", f"data.path={tmp_path / 'x.npy'}")
    assert status == 2
    assert "3, 17" in err


def test_an_existing_run_folder_is_refused_and_left_alone(trained, command):
    before = (trained / "weights.safetensors").read_bytes()
    status, _, err = command("train", "--out", trained)
    assert status == 2
    assert "it exists" in err
    assert (trained / "weights.safetensors").read_bytes() == before


def test_a_full_disk_before_training_leaves_nothing(command, tmp_path, monkeypatch):
    import errno

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    status, _, err = command("train", *SMALL, "--out", tmp_path / "r")
    assert status == 2
    assert "No space left on device" in err
    assert not (tmp_path / "r").exists()


def test_a_bug_is_called_a_bug(command, monkeypatch):
    monkeypatch.setattr("pyro_vae.experiment.declaration.json_schema", lambda: 1 / 0)
    status, _, err = command("schema")
    assert status == 70
    assert "This is a bug" in err


def script(*arguments, **options):
    path = Path(sys.executable).with_name("pyro-vae")
    return subprocess.Popen([str(path), *map(str, arguments)], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **options)  # fmt: skip


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from pyro_vae.cli.app import app, guarded; "
        "guarded(lambda: app(['train', '--help'], standalone_mode=False)); "
        "print(sorted({'torch', 'pyro', 'matplotlib', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip().endswith("[]")


def test_ctrl_c_keeps_the_weights(tmp_path):
    folder = tmp_path / "r"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    long = ("train.epochs=100000", "train.step=pyro")
    process = script("train", *SMALL[:-1], *long, "--out", folder, env=environment)
    for _ in range(1200):
        time.sleep(0.1)
        if (folder / "history.csv").exists():  # an epoch has ended
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=150)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "the weights are kept" in " ".join(out.split())
    assert load(folder).latent_dim == 2
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["training"]["ended"] == "interrupted"
    assert {path.stem for path in (folder / "pictures").iterdir()} == PICTURES - {"audit"}


@pytest.mark.parametrize("step", ["pyro", "compiled"])
def test_a_run_that_ends_at_a_bad_step_keeps_its_good_epochs(command, tmp_path, step, monkeypatch):
    monkeypatch.setattr("pyro_vae.compiled.backends._compiled", lambda capture, _: capture.graph)
    folder = tmp_path / "r"
    schedule = (
        "train.schedule={kind: piecewise_constant, milestones: [2], factors: [1.0, 1.0e+36]}"
    )
    arguments = ("train.epochs=4", "train.lr=0.01", schedule, f"train.step={step}")
    status, _, err = command("train", *SMALL[:-1], *arguments, "--out", folder)
    assert status == 2
    said = " ".join(err.split())
    assert "(epoch 3, batch " in said
    assert "the history of 2 whole epochs, are in" in said
    assert all(value.isfinite().all() for value in load(folder).state_dict().values())
    with (folder / "history.csv").open() as stream:
        assert [row["epoch"] for row in csv.DictReader(stream)] == ["1", "2"]
    assert not list(folder.rglob(".*"))


def test_the_version_is_printed(command):
    assert command("--version") == (0, f"pyro-vae {pyro_vae.__version__}\n", "")
