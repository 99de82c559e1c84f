"""``pyro-vae evaluate``: what it prints, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from pyro_vae.experiment.run_folder import RunFolder
from tests.commands import SMALL


def test_evaluate(trained, command):
    status, out, _ = command("evaluate", trained, "--json", "--split", "validation")
    assert status == 0
    scores = json.loads(out)
    assert (scores["split"], scores["count"]) == ("validation", 180)
    assert scores["elbo"]["stderr"] > 0
    assert scores["identity"]["sha256"]
    table = command("evaluate", trained)[1]
    assert "ELBO" in table
    assert "digits [sha256" in table


def test_evaluate_on_part_of_a_split_with_its_likelihood(trained, command):
    options = ["--nll", 50, "--data-count", 20, "--per-dimension"]
    status, out, _ = command("evaluate", trained, *options)
    assert status == 0
    assert re.search(r"Importance sampling: 100%.* 20/20\]", out)
    assert "importance sampling from q, K = 50, seed 0" in out
    assert "Active units: " in out
    status, out, _ = command("evaluate", trained, *options, "--json")
    scores = json.loads(out)
    assert (scores["count"], scores["available"]) == (20, 359)
    assert scores["nll"]["value"] < -scores["elbo"]["value"]


def test_bits_per_spike_are_of_counts(trained, command):
    status, _, err = command("evaluate", trained, "--against", "independent")
    assert status == 2
    assert "against: expected a likelihood of counts (poisson, negative_binomial)" in err
    status, _, err = command("evaluate", trained, "--against", "chance")
    assert status == 2
    assert "independent" in err


def test_evaluate_refuses_other_data(trained, command, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(trained, other)
    text = (other / "experiment.yaml").read_text().replace("validation: 0.1", "validation: 0.2")
    (other / "experiment.yaml").write_text(text)
    assert "was changed after it was written" in command("evaluate", other)[2]
    RunFolder(other).accept()
    status, _, err = command("evaluate", other)
    assert status == 2
    assert "Expected the data of the run" in err


@pytest.mark.parametrize("name", ["metrics.json", "weights.safetensors", "experiment.yaml"])
@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("")])
def test_every_command_refuses_a_changed_folder(trained, command, tmp_path, name, damage):
    other = tmp_path / "other"
    shutil.copytree(trained, other)
    damage(other / name)
    for arguments in (["evaluate", other], ["audit", other], ["compare", trained, other]):
        status, _, err = command(*arguments)
        assert status == 2, err
        assert name in err


@pytest.fixture
def other(command, tmp_path):
    """Another run on the same data."""
    out = tmp_path / "other"
    arguments = ["train", *SMALL, "model.prior=laplace", "train.epochs=2", "--no-audit"]
    assert command(*arguments, "--out", out)[0] == 0
    return out


def test_compare(trained, other, command, tmp_path):
    picture = tmp_path / "differences.png"
    status, out, _ = command("compare", trained, other, "--nll", 20, "--picture", picture)
    assert status == 0
    assert "Difference: model less digits" in " ".join(out.split())
    assert picture.read_bytes().startswith(b"\x89PNG")
    status, out, _ = command("compare", trained, other, "--json", "--data-count", 30)
    found = json.loads(out)
    assert list(found["differences"]["ELBO"]) == ["other"]
    assert found["scores"]["digits"]["count"] == 30


def test_compare_refuses_other_data(trained, other, command):
    text = (other / "experiment.yaml").read_text().replace("validation: 0.1", "validation: 0.2")
    (other / "experiment.yaml").write_text(text)
    (other / "metrics.json").unlink()
    RunFolder(other).accept()
    status, _, err = command("compare", trained, other)
    assert status == 2
    assert "data.validation: 180 in digits, 359 in other" in " ".join(err.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "RUN"),
        (["/nonexistent"], "two runs or more"),
        (["/nonexistent", "/nonexistent"], "each once"),
        (["/nonexistent", "/other"], "expected a run folder"),
        (["/nonexistent", "/other", "--picture", "x.jpg"], "ends in .png"),
        (["/nonexistent", "/other", "--confidence", "95"], "confidence"),
    ],
    ids=str,
)
def test_bad_input_is_one_message(command, arguments, message):
    status, _, err = command("compare", *arguments)
    assert status == 2
    assert message in " ".join(err.split())
    assert err.count("error:") == 1


def test_evaluate_by_annealing_with_its_sandwich(trained, command):
    options = ["--ais", 5, "--chains", 4, "--data-count", 4, "-q"]
    status, out, _ = command("evaluate", trained, *options, "--sandwich", 3)
    assert status == 0
    assert "T = 5 temperatures, 4 chains" in out
    assert "upper less lower bound, 3 simulated data" in out
    status, _, err = command("evaluate", trained, "--sandwich", 3)
    assert status == 2
    assert "expected --ais T beside it" in err


def test_ctrl_c_is_one_word_and_its_status(trained, command, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("pyro_vae.evidence.importance.log_weights", interrupted)
    status, out, err = command("evaluate", trained, "--nll", 50)
    assert status == 130
    assert "stopped" in out
    assert err == "error: interrupted\n"
