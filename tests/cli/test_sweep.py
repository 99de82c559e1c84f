"""``pyro-vae sweep``, from the outside."""

import json

from pyro_vae import load

SWEEP = """
model: {latent_dim: 1, decoder: {kind: mlp, hidden: [4]}}
guide: {encoder: {kind: mlp, hidden: [4]}}
train: {epochs: 1, batch_size: 512, step: pyro}
sweep:
  space:
    train.lr: [1.0e-4, 1.0e-2]
"""


def written(folder):
    path = folder / "sweep.yaml"
    path.write_text(SWEEP)
    return path


def test_several_processes_share_the_trials_and_the_same_command_goes_on(command, tmp_path):
    file, out = written(tmp_path), tmp_path / "s"
    status, said, err = command("sweep", file, "--jobs", 2, "--out", out)
    assert status == 0, err
    assert "2 complete" in said
    logs = "".join(path.read_text() for path in out.glob("process-*.log"))
    assert logs.count("validation ELBO") == 2
    assert load(out / "trial-0001" / "seed-0").latent_dim == 1
    weights = out / "trial-0000" / "seed-0" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    status, again, _ = command("sweep", file, "--json", "--out", out)
    assert status == 0
    assert [trial["state"] for trial in json.loads(again)["trials"]] == ["complete"] * 2
    assert weights.stat().st_mtime_ns == before


def test_bad_input_is_one_message(command, tmp_path):
    file = written(tmp_path)
    for arguments, message in (
        ([file, "train.rate=1"], "train.rate: unknown argument"),
        ([file, "sweep.sampler=best"], "sweep.sampler: must be grid, random or tpe"),
        ([file, "--storage", "nosql://x"], "expected the URL of a database that Optuna opens"),
        (["digits"], "sweep: is missing"),
        (["nosuch.yaml"], "expected a YAML file"),
        ([file, "--jobs", 0], "--jobs"),
    ):
        status, out, err = command("sweep", *arguments, "--out", tmp_path / "s")
        assert status == 2
        assert message in err
        assert not out
    assert not (tmp_path / "s" / "trial-0000").exists()


def test_a_declaration_of_a_sweep_is_none_of_one_training(command, tmp_path):
    status, _, err = command("train", written(tmp_path), "--out", tmp_path / "r")
    assert status == 2
    assert "sweep" in err
