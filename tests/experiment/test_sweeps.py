"""Sweeps: every point is trained once, whatever stops them, and the best are compared."""

import copy
import json
import sys

import pytest
import torch

from pyro_vae import evaluate, load, load_data, sweep
from pyro_vae.core.errors import DataError, DeclarationError, NonFiniteLoss, RunFolderError
from pyro_vae.experiment import run as running
from pyro_vae.experiment.run import run_experiment
from pyro_vae.experiment.run_state import declared_again, state_of
from pyro_vae.experiment.seeds import numbers_of_run
from pyro_vae.experiment.sweeps.space import Space
from pyro_vae.training.loop import Loop

NET = {"kind": "mlp", "hidden": [4]}
BASE = {
    "model": {"latent_dim": 1, "decoder": NET},
    "guide": {"encoder": NET},
    "train": {"epochs": 2, "batch_size": 512, "step": "pyro"},
}
RATES = {"train.lr": {"low": 1e-4, "high": 1e-1, "log": True}}


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    monkeypatch.setattr(running, "pictures_of", lambda *_: {})


def declared(space, seeds=1, train=None, **section):
    base = copy.deepcopy(BASE)
    base["train"] |= train or {}
    return base | {"seeds": seeds, "sweep": {"space": space, **section}}


def swept(folder, *given, **options):
    return sweep(declared(*given, **options), folder, show_progress=False)


def values(result):
    return {trial.number: trial.validation and trial.validation.value for trial in result.trials}


def test_a_grid_tries_every_combination_from_every_seed_and_compares_them(tmp_path):
    out = tmp_path / "s"
    result = swept(out, {"model.latent_dim": [1, 2], "train.lr": [1e-3, 1e-2]}, seeds=2)
    points = {tuple(trial.point.values()) for trial in result.trials}
    assert points == {(1, 1e-3), (1, 1e-2), (2, 1e-3), (2, 1e-2)}
    assert all(list(trial.runs) == [0, 1] for trial in result.trials)
    for trial in result.trials:
        for run in trial.runs.values():
            assert load(run).latent_dim == trial.point["model.latent_dim"]
    ranked = [trial.validation.value for trial in result.trials]
    assert ranked == sorted(ranked, reverse=True)
    best = result.best
    expected = [numbers_of_run(run)["validation ELBO"] for run in best.runs.values()]
    assert best.validation.value == pytest.approx(sum(expected) / 2)
    gaps = result.comparison.differences["ELBO"]
    assert result.comparison.reference == f"trial {best.number}"
    worst = result.trials[-1]
    elbos = [
        [evaluate(load(run), load_data("digits")).elbo.value for run in trial.runs.values()]
        for trial in (worst, best)
    ]
    difference = sum(elbos[0]) / 2 - sum(elbos[1]) / 2
    assert gaps[f"trial {worst.number}"].value == pytest.approx(difference, rel=1e-5)
    table = str(result.table())
    assert "reference" in table
    assert "4 complete" in table
    assert json.loads(json.dumps(result.to_dict()))["trials"][0]["number"] == best.number


def test_a_sweep_that_was_stopped_goes_on_to_the_same_result(tmp_path, monkeypatch):
    given = {"space": RATES | {"model.latent_dim": {"low": 1, "high": 3}}, "trials": 4}
    given |= {"sampler": "tpe", "prune": None}
    whole = swept(tmp_path / "whole", **given)
    keep, begun = Loop._keep, []

    def stop(self, record):
        keep(self, record)
        begun.append(record)
        if len(begun) in (1, 6):  # within the first trial, and the third as it goes on
            raise KeyboardInterrupt

    monkeypatch.setattr(Loop, "_keep", stop)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            swept(tmp_path / "part", **given)
    part = swept(tmp_path / "part", **given)
    assert values(part) == values(whole)
    assert [trial.point for trial in part.trials] == [trial.point for trial in whole.trials]
    assert len({trial.point["train.lr"] for trial in part.trials}) == 4
    longer = swept(tmp_path / "part", **given | {"trials": 5})
    assert len(longer.trials) == 5
    assert values(longer).items() >= values(part).items()


def test_a_worse_trial_is_pruned_and_its_run_can_be_finished(tmp_path):
    space = {"train.lr": [0.1, 1e-2, 1e-6]}
    result = swept(tmp_path / "s", space, train={"epochs": 6}, prune={"trials": 2, "epochs": 2})
    assert [trial.state for trial in result.trials] == ["complete", "complete", "pruned"]
    pruned = result.trials[-1]
    assert pruned.point == {"train.lr": 1e-6}
    assert pruned.epochs == 2
    state = state_of(pruned.runs[0])
    assert (state["status"], state["epoch"]) == ("interrupted", 2)
    again = declared_again(pruned.runs[0], [])
    run_experiment(again, pruned.runs[0], audit=False, show_progress=False, resume=True)
    assert state_of(pruned.runs[0])["status"] == "finished"
    assert "pruned after epoch 2" in str(result.table())


def test_a_trial_that_fails_is_told_and_the_others_go_on(tmp_path):
    space = {"train.lr": [1e-3, 1e-2]}
    step, made = Loop._epoch, []

    def epoch(self, number, bar):
        made.append(number)
        if len(made) == 1:
            raise NonFiniteLoss("planted")
        step(self, number, bar)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "_epoch", epoch)
        result = swept(tmp_path / "s", space)
    assert [trial.state for trial in result.trials] == ["complete", "failed"]
    assert "planted" in result.trials[-1].error
    assert "failed: 'planted" in str(result.table())
    assert result.comparison is None


def test_optunas_storage_may_be_elsewhere(tmp_path):
    url = f"sqlite:///{tmp_path / 'trials.db'}"
    given = declared(RATES, trials=2, sampler="random")
    first = sweep(given, tmp_path / "a", storage=url, show_progress=False)
    assert not (tmp_path / "a" / "trials.jsonl").exists()
    other = sweep(given, tmp_path / "b", storage=url, show_progress=False)  # a second machine
    assert values(other) == pytest.approx(values(first))
    assert not any(trial.runs for trial in other.trials)


BAD = {
    "no section": ({}, "sweep: is missing"),
    "no space": ({"sweep": {}}, "sweep.space: is missing"),
    "no values": ({"train.lr": []}, "train.lr: must be values, each once, got \\[\\]"),
    "twice": ({"train.lr": [0.1, 0.1]}, "train.lr: must be values, each once"),
    "one value": ({"train.lr": 0.1}, "train.lr: must be a list of values, or a range"),
    "turned": ({"train.lr": {"low": 2, "high": 1}}, "low must be below high, got 2 and 1"),
    "log of 0": ({"train.lr": {"low": 0, "high": 1, "log": True}}, "low must be above 0"),
    "no number": ({"train.lr": {"low": "a", "high": 1}}, "train.lr.low: must be"),
    "data": ({"data.binarization": ["none"]}, "cannot be searched: scores on other data"),
    "seed": ({"train.seed": [1, 2]}, "seeds: N trains each point from N seeds"),
    "unknown path": ({"train.rate": [1, 2]}, "train.rate: unknown argument"),
    "unknown kind": ({"model.prior": ["vampp"]}, "did you mean 'vamp'"),
    "an end": ({"train.lr": {"low": 1e-3, "high": 2e3}}, "train.lr: must be <= 1000"),
    "pair": (
        {"model.latent_dim": [2], "guide.posterior": ["diagonal_normal", "power_spherical"]},
        r"draws in the support of the prior.*guide.posterior='power_spherical'\)",
    ),
    "support": ({"model.likelihood": ["bernoulli"]}, "bernoulli: expected data of 0 or 1"),
}


@pytest.mark.parametrize(("space", "message"), BAD.values(), ids=BAD)
def test_a_bad_space_is_refused_before_anything_is_made(tmp_path, space, message):
    given = BASE | (space if not space or "sweep" in space else {"sweep": {"space": space}})
    with pytest.raises(DeclarationError, match=f"(?s){message}"):
        sweep(given, tmp_path / "s", show_progress=False)
    assert not (tmp_path / "s").exists()


def test_every_problem_is_named_at_once(tmp_path):
    space = {"train.lr": 0.1, "model.prior": [], "data.seed": [1]}
    with pytest.raises(DeclarationError) as error:
        swept(tmp_path / "s", space, sampler="best", trials=0)
    assert len(error.value.problems) == 5
    with pytest.raises(DeclarationError) as error:
        swept(tmp_path / "s", {"train.lr": [-1.0, 1e-3], "model.prior": ["vampp", "vamp"]})
    assert len(error.value.problems) == 2


def test_a_grid_has_values_and_all_of_them(tmp_path):
    ranges = {"model.latent_dim": {"low": 2, "high": 8, "step": 3}, "train.lr": [1e-3, 1e-2]}
    space = Space.read(declared(ranges, sampler="grid"))
    assert [tuple(point.values()) for point in space.grid()] == [
        (2, 1e-3), (2, 1e-2), (5, 1e-3), (5, 1e-2), (8, 1e-3), (8, 1e-2),
    ]  # fmt: skip
    assert space.trials == 6
    with pytest.raises(DeclarationError, match="a range in a grid must have a step"):
        Space.read(declared(RATES, sampler="grid"))
    with pytest.raises(DeclarationError, match="all of its 2 combinations; leave it out"):
        Space.read(declared({"train.lr": [1e-3, 1e-2]}, trials=3))


def test_a_folder_of_something_else_is_refused(tmp_path):
    out = tmp_path / "s"
    swept(out, {"train.lr": [1e-3]})
    with pytest.raises(
        DeclarationError, match=r"(?s)train.lr: must stay \[0.001\].*another sweep's"
    ):
        swept(out, {"train.lr": [1e-2]})
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunFolderError, match="expected a new folder, or a sweep's"):
        swept(tmp_path, {"train.lr": [1e-3]})


def test_without_optuna_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(DataError, match=r"pip install 'pyro-vae\[sweep\]'"):
        swept(tmp_path / "s", {"train.lr": [1e-3]})


def test_the_sampler_does_not_disturb_the_callers_draws(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    Space.read(declared(RATES)).check(load_data("digits"))
    assert torch.equal(torch.rand(2), expected)
