"""A declaration trained from several seeds, and numbers over them."""

import math

import pytest
import torch

from pyro_vae import Estimate, Replicates, compare, evaluate, load, load_data
from pyro_vae.core.errors import CheckpointError, DeclarationError, IncompatibleScores
from pyro_vae.diagnostics.replicates import over_seeds_and_data
from pyro_vae.experiment import run as running
from pyro_vae.experiment.declaration import Experiment
from pyro_vae.experiment.run_folder import runs_of_seeds
from pyro_vae.experiment.seeds import run_seeds
from pyro_vae.experiment.yaml_file import parse_value
from pyro_vae.training.loop import Loop

NET = {"kind": "mlp", "hidden": [4]}
SMALL = {
    "model": {"latent_dim": 1, "decoder": NET},
    "guide": {"encoder": NET},
    "train": {"epochs": 1, "batch_size": 512, "step": "pyro", "seed": 5},
}
DECLARATION = [f"{name}={value}" for name, value in {
    "model.latent_dim": 1, "model.decoder.hidden": "[4]", "guide.encoder.hidden": "[4]",
    "train.epochs": 1, "train.batch_size": 512, "train.seed": 5,
}.items()]  # fmt: skip


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    monkeypatch.setattr(running, "pictures_of", lambda *_: {})


def test_an_interval_covers_the_mean_over_seeds_and_data():
    torch.manual_seed(0)
    covered, of_data_alone, trials = 0, 0, 400
    for _ in range(trials):
        seeds, data = torch.randn(4, 1), 2.0 * torch.randn(1, 30)
        values = (seeds + data + torch.randn(4, 30)).double()
        low, high = over_seeds_and_data(values, 0.95, "").interval
        covered += low <= 0 <= high
        low, high = Estimate.of(values.mean(0)).within(0.95).interval
        of_data_alone += low <= 0 <= high
    error = math.sqrt(0.95 * 0.05 / trials)
    assert covered / trials > 0.95 - 4.42 * error
    assert of_data_alone / trials < 0.95 - 4.42 * error


def test_one_seed_leaves_the_data_alone():
    values = torch.randn(1, 20, dtype=torch.float64)
    assert over_seeds_and_data(values, 0.9, "x") == Estimate.of(values[0], estimator="x").within(
        0.9
    )
    same = over_seeds_and_data(torch.zeros(3, 5), 0.9, "")
    assert (same.value, same.interval) == (0.0, (0.0, 0.0))


def test_a_declaration_has_seeds():
    assert Experiment.read({}).seeds == 1
    read = Experiment.read({"seeds": 3})
    assert Experiment.read(read.mapping).mapping == read.mapping
    for bad in (0, 1.5, "many", 2000):
        with pytest.raises(DeclarationError, match="seeds: must be"):
            Experiment.read({"seeds": bad})
    with pytest.raises(DeclarationError, match=r"seeds: the last must be <= 4,294,967,295"):
        Experiment.read({"seeds": 2, "train": {"seed": 2**32 - 1}})


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    out = tmp_path_factory.mktemp("seeds") / "two"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "pictures_of", lambda *_: {})
        options = {"audit": False, "show_progress": False}
        run_seeds(Experiment.read({**SMALL, "seeds": 2}), out, **options)
    return out


def test_each_run_is_that_of_its_seed_alone(two, tmp_path, command):
    assert list(runs_of_seeds(two)) == [5, 6]
    arguments = [*DECLARATION[:-1], "train.seed=6", "train.step=pyro", "--no-audit", "-q"]
    assert command("train", *arguments, "--out", tmp_path / "r")[0] == 0
    alone, among = load(tmp_path / "r").state_dict(), load(two / "seed-6").state_dict()
    assert all(torch.equal(alone[name], among[name]) for name in alone)


def test_scores_over_seeds_are_their_mean_and_spread(two, command):
    data = load_data("digits")
    scores = {s: evaluate(load(run), data) for s, run in runs_of_seeds(two).items()}
    elbos = torch.tensor([found.elbo.value for found in scores.values()])
    found = Replicates(scores).estimates["ELBO"]
    assert found.value == pytest.approx(elbos.mean().item())
    assert found.stderr == pytest.approx(elbos.std().item() / math.sqrt(2), rel=1e-4)
    status, out, _ = command("evaluate", two, "-q")
    assert status == 0
    assert str(found) in out
    assert "Trained from the seeds 5 and 6" in " ".join(out.split())
    written = parse_value(command("evaluate", two, "--json")[1])
    assert written["estimates"]["ELBO"]["value"] == pytest.approx(found.value)
    assert written["scores"]["5"]["elbo"]["value"] == pytest.approx(elbos[0].item())


def test_seeds_are_compared_in_pairs(two, command):
    data = load_data("digits")
    scores = {s: evaluate(load(run), data) for s, run in runs_of_seeds(two).items()}
    found = compare({"a": Replicates(scores), "b": Replicates(scores)})
    assert found.verdicts["ELBO"] == {"b": "not told apart"}
    swapped = Replicates({5: scores[6], 6: scores[5]})
    gap = compare({"a": Replicates(scores), "b": swapped}).differences["ELBO"]["b"]
    assert gap.value == pytest.approx(0.0, abs=1e-9)
    assert gap.stderr > abs(scores[5].elbo.value - scores[6].elbo.value) * 0.99
    with pytest.raises(
        IncompatibleScores, match=r"seeds of training: 5, 6 in a, seed 5, one in b"
    ):
        compare({"a": Replicates(scores), "b": scores[5]})
    status, out, _ = command("compare", two, two / "seed-5", "-q")
    assert status == 2
    assert not out


def test_what_wants_one_run_says_which_there_are(two, command):
    with pytest.raises(CheckpointError, match=r"got the folder of 2 seeds' runs.*seed-5"):
        load(two)
    status, _, err = command("audit", two)
    assert status == 2
    assert "seed-5 (evaluate and compare take them all)" in err


def test_train_goes_on_with_seeds_that_were_stopped_and_with_more(command, tmp_path, monkeypatch):
    out, keep, begun = tmp_path / "s", Loop._keep, []

    def stop(self, record):
        keep(self, record)
        begun.append(record)
        if len(begun) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Loop, "_keep", stop)
    status, said, _ = command("train", *DECLARATION, "seeds=2", "--no-audit", "-q", "--out", out)
    assert status == 130
    assert "Go on with: pyro-vae train --resume" in " ".join(said.split())
    status, said, _ = command("train", "--resume", out, "seeds=3", "-q", "--no-audit")
    assert status == 0
    assert len(begun) == 4  # the first was finished, the second begun again, the third is new
    assert "3 runs in" in " ".join(said.split())
    assert all(name in said for name in ("train ELBO", "validation ELBO", "test ELBO"))


def test_a_run_of_one_seed_does_not_become_one_of_several(two, command):
    status, _, err = command("train", "--resume", two / "seed-5", "seeds=2", "train.epochs=2")
    assert status == 2
    assert "seeds: must stay 1" in err
