"""Rows of papers' tables from the command line, on a few small digits."""

import json

import numpy as np
import pytest

from pyro_vae.experiment.reproduction.rows import changed, rows

DIGITS = ["data.kind=digits", "data.binarization=dynamic", "train.epochs=2", "-q",
          "model.decoder.hidden=[8]", "guide.encoder.hidden=[8]", "--samples", "20"]  # fmt: skip
PAPER = ["train.schedule.kind=constant", "objective.warm_up=0"]


def cells(out, *starts):
    """The rest of the line of a table that begins with these words."""
    lines = [line.split() for line in out.splitlines()]
    return next(line for line in lines if line[: len(starts)] == list(starts))


def test_without_a_name_it_lists_figures_sources_and_lengths(command):
    status, out, err = command("reproduce")
    assert status == 0, err
    flat = " ".join(out.split())
    for row in rows().values():
        assert f"{row.name} {row.figure:g}" in flat
        assert row.preset.paper.url in flat
        assert row.length("short") in flat
        assert row.length("paper") in flat


def test_two_rows_from_two_seeds_and_their_paired_difference(command, tmp_path):
    names = ["iwae-l1-vae-k1", "iwae-l1-iwae-k5"]
    folder = tmp_path / "out"
    status, out, err = command("reproduce", *names, *DIGITS, "--seeds", "2", "--out", folder)
    assert status == 0, err
    for name in names:
        assert "not run" in " ".join(cells(out, name, "paper"))
        for seed in (0, 1):
            assert (folder / name / f"seed-{seed}" / "weights.safetensors").is_file()
    written = {d["row"]: d for d in json.loads((folder / "reproduced.json").read_text())}
    first = written["iwae-l1-vae-k1"]
    values = [first["seeds"][seed]["value"] for seed in ("0", "1")]
    assert first["ours"]["value"] == pytest.approx(sum(values) / 2)
    assert first["spread"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert first["paper"]["figure"] == 86.76
    assert first["difference"] is None  # digits are not the paper's data
    assert "so no row of the paper: data.kind=digits" in " ".join(out.split())
    assert "K = 20" in out
    assert "Comparison, in nats per datum" in out
    gap = [r["scored"][0]["nll"]["value"] for r in written.values()]
    (line,) = [text for text in out.splitlines() if "iwae-l1-iwae-k5" in text and "[" in text][1:]
    assert f"{gap[1] - gap[0]:+.2f}"[:4] in line


@pytest.mark.parametrize(
    ("name", "schedule", "overrides"),
    [
        ("iwae-l1-vae-k1", "paper", PAPER),
        ("iwae-l2-vae-k1", "short", []),
        ("iwae-l2-vae-k1", "paper", PAPER),
        ("vamp-dynamic-vamp", "short", ["objective.warm_up=1", "model.prior.pseudo_inputs=3"]),
        ("vamp-static-vamp", "paper", [*PAPER, "model.prior.pseudo_inputs=3"]),
    ],
)
def test_a_row_from_end_to_end(command, tmp_path, name, schedule, overrides):
    status, out, err = command("reproduce", name, "--schedule", schedule, *DIGITS, *overrides,
                               "--data-count", "30", "--out", tmp_path / "out")  # fmt: skip
    assert status == 0, err
    other = {"short": "paper", "paper": "short"}[schedule]
    assert "not run" in " ".join(cells(out, name, other))
    assert "30 test data" in " ".join(cells(out, name, schedule))
    folder = tmp_path / "out" / name / "seed-0"
    assert command("evaluate", folder, "--json")[0] == 0
    (written,) = json.loads((tmp_path / "out" / "reproduced.json").read_text())
    assert ("+" in written["active_units"]) == name.startswith("iwae-l2")


def test_a_perplexity_from_end_to_end(command, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(50, 60, (200, 9)))
    data = ["data.kind=array", f"data.path={tmp_path / 'x.npy'}", "train.epochs=2", "-q"]
    status, out, err = command("reproduce", "prodlda", *data, "train.batch_size=50",
                               "--out", tmp_path / "out")  # fmt: skip
    assert status == 0, err
    (written,) = json.loads((tmp_path / "out" / "reproduced.json").read_text())
    assert written["quantity"] == "perplexity"
    assert 9 < written["ours"]["value"] < 11  # nine words, nearly even
    assert written["paper"]["figure"] == 1172
    assert "40 test data" in " ".join(cells(out, "prodlda", "short"))
    status, _, err = command("reproduce", "prodlda", *data, "--data-count", "5",
                             "--out", tmp_path / "other")  # fmt: skip
    assert status == 2
    assert "leave out --data-count" in err
    assert not (tmp_path / "other").exists()


def test_where_the_data_lie_makes_no_other_row():
    assert not changed(["data.root=x", "train.device=cpu", "train.step=pyro"])
    assert changed(["data.root=x", "train.epochs=3"]) == ["train.epochs=3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vamp-dynamic-vap"], "did you mean 'vamp-dynamic-vamp'"),
        (["iwae-l1-vae-k1", "--schedule", "long"], "has short and paper, got 'long'"),
        (["iwae-l1-vae-k1", "train.epoch=3"], "train.epoch: unknown argument"),
        (["iwae-l1-vae-k1", "--epochs", "3"], "--epochs: unknown option"),
        (["iwae-l1-vae-k1", "train.device=cuda:99"], "device: must be"),
        (["iwae-l1-vae-k1", "data.root=/nonexistent"], "train-images-idx3-ubyte"),
        (["vamp-static-vamp", "data.root=/nonexistent"], "binarized_mnist_train.amat"),
        (["iwae-l1-vae-k1", "train.epochs=3", "--schedule", "paper"], "must be < train.epochs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_message_and_writes_nothing(command, tmp_path, arguments, message):
    status, _, err = command("reproduce", *arguments, "--out", tmp_path / "out")
    assert status == 2
    assert message in " ".join(err.split())
    assert not (tmp_path / "out").exists()
