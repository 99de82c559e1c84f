"""Several processes that share each batch make the steps of one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyro
import pytest
import torch
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

import pyro_vae.training.shared_step
from pyro_vae import VAE, as_dataset, fit
from pyro_vae.cli.app import app, guarded, run
from pyro_vae.core.errors import DeclarationError, NonFiniteLoss, ProcessError
from pyro_vae.core.processes import Processes, joined
from pyro_vae.experiment.checkpoint import load
from pyro_vae.training.fit import _check_processes
from pyro_vae.training.settings import TrainSettings
from pyro_vae.training.stepper import Stepper
from tests.commands import SMALL
from tests.training.processes import free_port, together

NET = {"kind": "mlp", "hidden": [8]}
NORMED = NET | {"batch_norm": True, "dropout": 0.2}
X = torch.randn(150, 4, generator=torch.Generator().manual_seed(1))
CASES = {
    "elbo": ({}, {}),
    "binary, early": (
        {"likelihood": "bernoulli", "prior": {"kind": "vamp", "pseudo_inputs": 3}},
        {"patience": 3},
    ),
    "batch norm, dropout, gammas, particles": (
        {"posterior": "student_t", "decoder": NORMED,
         "likelihood": {"kind": "gaussian", "scale": "optimal"}},
        {"objective": {"kind": "iwae", "particles": 3}},
    ),
    "categories, particles": (
        {"posterior": "gaussian_mixture"}, {"objective": {"kind": "iwae", "particles": 3}}
    ),
    "free bits": ({}, {"objective": {"kind": "elbo", "kl": "exact", "free_bits": 0.3}}),
}  # fmt: skip


def a_fit(changes, first=0, **options):
    """A training of 4 steps an epoch; ``first`` is the seed of the first weights."""
    pyro.set_rng_seed(first)
    vae = VAE((4,), 2, **({"encoder": NET, "decoder": NET} | changes))
    binary = changes.get("likelihood") == "bernoulli"
    data = as_dataset(X.sigmoid(), binarization="dynamic") if binary else as_dataset(X)
    settings = {"epochs": 50, "batch_size": 32, "step": "pyro", "show_progress": False}
    result = fit(vae, data, **(settings | options))
    return {name: value.clone() for name, value in vae.state_dict().items()}, result


def kept(fitted):
    """What a process hands back of a training."""
    weights, result = fitted
    return weights, result.history, result.ended, result.best_epoch, result.snapshot.facts["steps"]


def error(one, other):
    """The largest difference of two models' weights, relative to the largest weight of each."""
    pairs = [(one[name].double(), other[name].double()) for name in one]
    return max(float((a - b).abs().max() / a.abs().max().clamp(min=1e-3)) for a, b in pairs)


def check_alike(size, case, folder, **changed):
    changes, options = CASES[case]
    options = options | changed
    one = kept(a_fit(changes, **options))
    many = together(size, lambda rank: kept(a_fit(changes, first=rank, **options)), folder)
    assert error(one[0], many[0][0]) < 1e-5
    for weights, history, *rest in many:
        assert all(weights[name].equal(many[0][0][name]) for name in weights)
        assert rest == list(one[2:])
        for mine, theirs in zip(history, one[1], strict=True):
            assert {k: v for k, v in mine.items() if k != "seconds"} == pytest.approx(
                {k: v for k, v in theirs.items() if k != "seconds"}, abs=1e-5
            )


def test_two_processes_make_the_200_steps_of_one(tmp_path):
    check_alike(2, "batch norm, dropout, gammas, particles", tmp_path)


@pytest.mark.parametrize("case", ["binary, early", "free bits"])
def test_two_processes_make_the_steps_of_one(tmp_path, case):
    check_alike(2, case, tmp_path, epochs=8)


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("case", CASES)
def test_any_number_of_processes_makes_the_steps_of_one(tmp_path, case, size):
    check_alike(size, case, tmp_path)


def test_draws_of_each_process_for_itself_would_be_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(pyro_vae.training.shared_step, "_within", lambda draws, program: program)
    many = together(2, lambda rank: a_fit({}, epochs=5)[0], tmp_path)
    assert error(a_fit({}, epochs=5)[0], many[0]) > 1e-3


@pytest.mark.parametrize("first", [1, 2])
def test_a_run_goes_on_with_another_number_of_processes(tmp_path, first):
    folder, each = tmp_path / "c", {"minutes": 1e-9, "after": 0.0, "keep": 1000}

    def begin(rank):
        return a_fit({}, epochs=3, checkpoints=folder, checkpoint=each)[0]

    def go_on(rank):
        if rank:
            return a_fit({}, epochs=3, resume=tmp_path / "only the first one's")[0]
        with pytest.warns(UserWarning, match=rf"processes {first}, now {3 - first}\b"):
            return a_fit({}, epochs=3, resume=tmp_path / "at 6")[0]

    (whole, *_) = together(first, begin, tmp_path)
    (tmp_path / "at 6").mkdir()
    (folder / "0000000006").rename(tmp_path / "at 6" / "0000000006")
    resumed = together(3 - first, go_on, tmp_path)
    assert error(whole, resumed[0]) < 1e-5


def at_step(number, act):
    """Have this process act before it makes a step, counted from 1."""
    make, made = Stepper.step, []

    def step(self, given):
        made.append(given)
        if len(made) == number:
            act(self)
        make(self, given)

    Stepper.step = step


def test_a_signal_to_one_process_ends_all_after_the_same_step(tmp_path):
    def work(rank):
        if rank == 1:
            at_step(5, lambda stepper: signal.raise_signal(signal.SIGTERM))
        return kept(a_fit({}, checkpoints=tmp_path / "c"))

    one, other = together(2, work, tmp_path)
    assert one[2:] == other[2:] == ("interrupted", 1, one[4])
    assert 5 <= one[4] <= 7
    assert [place.name for place in (tmp_path / "c").iterdir()] == [f"{one[4]:010d}"]
    assert error(one[0], other[0]) == 0


@pytest.mark.parametrize(
    ("decoder", "named"),
    [(NET, r"1; rows counted within those 16 to 31"), (NORMED, r"0; rows counted within those 0")],
    ids=["in its rows", "in the whole batch's statistics"],
)
def test_what_is_not_finite_in_one_process_is_named_by_all(tmp_path, decoder, named):
    def spoil(stepper):
        with torch.no_grad():
            stepper.parts[0].__self__.decoder.layers[0].weight.fill_(float("nan"))

    def work(rank):
        if rank == 1:
            at_step(7, spoil)
        try:
            a_fit({"decoder": decoder})
        except NonFiniteLoss as failure:
            return str(failure)

    one, other = together(2, work, tmp_path)
    assert one == other
    assert re.search(rf"log p\(x\).*\(process {named}", one)
    assert one.endswith("(epoch 2, batch 2)")


def test_what_several_processes_cannot_share_is_refused(tmp_path):
    def refused(**options):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            a_fit({}, **options)
        return str(caught.value)

    def work(rank):
        return [
            refused(step="compiled"),
            refused(batch_size=len(as_dataset(X).train) - 1),
            refused(lr=1e-3 * (1 + rank), epochs=2 + rank),
            a_fit({}, seed=None, epochs=1)[1].settings.seed,
        ]

    one, other = together(2, work, tmp_path)
    assert one == other
    assert "train.step: must be pyro or auto where 2 processes share each batch" in one[0]
    assert "got a last batch of 1; choose another batch size" in one[1]
    assert "that of process 1 differs from that of process 0 in epochs, train.lr" in one[2]


def test_the_end_of_one_process_ends_the_others_at_once(tmp_path):
    def work(rank):
        if rank == 1:
            at_step(5, lambda stepper: os.kill(os.getpid(), signal.SIGKILL))
        began = time.monotonic()
        with pytest.raises(ProcessError, match=r"Process 0 of 2 .* one of them has ended") as lost:
            a_fit({})
        return time.monotonic() - began, str(lost.value)

    ended, killed = together(2, work, tmp_path)
    assert ended[0] < 120  # gloo itself waits for half an hour
    assert "resume=" in ended[1]
    assert killed is None


def test_processes_that_cannot_be_reached_are_said(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(ProcessError, match=r"2 processes of WORLD_SIZE.*start them by torchrun"):
        joined()


def test_other_commands_than_train_and_evaluate_run_in_one_process(command, monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "1")
    status, _, err = command("train", *SMALL)
    assert (status, "--out: must be given with torchrun --max-restarts" in err) == (2, True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(sys, "argv", ["pyro-vae", "audit", "RUN"])
    assert guarded(run) == 2
    assert "audit: runs in one process; start it without torchrun" in capsys.readouterr().err


def killed_once(*arguments):
    """Run a command in a worker; the second is killed at its 15th step, the first time."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a worker's, which here is a fork of the agent
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" and os.environ["RANK"] == "1":
        at_step(15, lambda stepper: os.kill(os.getpid(), signal.SIGKILL))
    sys.exit(guarded(lambda: app(list(arguments), standalone_mode=False)))


def test_torchrun_starts_a_run_again_whose_process_was_killed(command, tmp_path):
    train = ["train", *SMALL, "train.epochs=3", "train.checkpoint={minutes: 1.0e-6, after: 0.0}",
             "--no-audit", "--out"]  # fmt: skip
    how = LaunchConfig(  # what torchrun --nproc-per-node=2 --max-restarts=1 makes
        min_nodes=1, max_nodes=1, nproc_per_node=2, run_id="none", max_restarts=1,
        rdzv_backend="static", rdzv_endpoint=f"127.0.0.1:{free_port()}",
        rdzv_configs={"rank": 0, "timeout": 900}, monitor_interval=0.1, start_method="fork",
    )  # fmt: skip
    run, one = str(tmp_path / "run"), str(tmp_path / "one")
    (outcome,) = together(1, lambda _: elastic_launch(how, killed_once)(*train, run), tmp_path)
    assert outcome == {0: None, 1: None}
    log = (tmp_path / "log-0").read_text()
    assert "error: Process 0 of 2 (from 0) waited for the others" in log
    assert f"Goes on from {run}/checkpoints/0000000014" in log
    assert log.count("Trained 3 epochs") == 1
    assert command(*train, one)[0] == 0
    assert error(load(one).state_dict(), load(run).state_dict()) < 1e-5


@pytest.mark.slow
def test_the_command_of_torchrun_trains_one_model(tmp_path):
    train = ["train", *SMALL, "train.epochs=2", "--no-audit", "--out", "run"]
    outcome = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2",
         f"--master-port={free_port()}", "-m", "pyro_vae", *train],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.count("Trained 2 epochs") == 1
    evaluate = ["evaluate", "run", "--nll", "50", "--json"]
    outputs = [
        subprocess.run(
            [sys.executable, *launcher, "-m", "pyro_vae", *evaluate],
            cwd=tmp_path, capture_output=True, text=True, check=True, timeout=200,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        ).stdout
        for launcher in (
            [], ["-m", "torch.distributed.run", "--nproc-per-node=2",
                 f"--master-port={free_port()}"],
        )
    ]  # fmt: skip
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("setting", [{"step": "compiled"}, {"on_nonfinite": "skip"},
                                     {"on_nonfinite": "rollback"}])  # fmt: skip
def test_what_is_for_one_process_is_refused(setting):
    ((name, value),) = setting.items()
    with pytest.raises(DeclarationError, match=rf"{name}: must be .*2 processes.*got {value}"):
        _check_processes(Processes(0, 2), TrainSettings.checked(**setting), 8, {})


def test_seeds_are_for_one_process(command, monkeypatch, tmp_path):
    two = Processes(0, 2)
    two.of_first = lambda make: make()
    monkeypatch.setattr("pyro_vae.core.processes.joined", lambda: two)
    status, _, err = command("train", *SMALL, "seeds=2", "--out", tmp_path / "r")
    assert status == 2
    assert "seeds: must stay 1 where 2 processes" in " ".join(err.split())
    assert not (tmp_path / "r").exists()
