"""Training with other objectives than the plain ELBO, from the command line."""

from __future__ import annotations

import csv
import json

import pytest

SIZES = ["train.epochs=2", "model.decoder.hidden=[8]", "guide.encoder.hidden=[8]"]
SMALL = ["train", "digits", *SIZES, "-q"]


def test_iwae_from_end_to_end(command, tmp_path):
    out_dir = tmp_path / "run"
    status, out, err = command(
        *SMALL, "objective.kind=iwae", "objective.particles=5", "--out", str(out_dir)
    )
    assert status == 0, err
    assert "objective (iwae)" in out
    assert "IWAE bound, K = 5" in out
    with (out_dir / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    for row in rows:
        assert float(row["objective"]) >= float(row["elbo"])
    audit = json.loads((out_dir / "audit.json").read_text())
    assert audit["passed"]
    assert "IWAE bound, K = 5" in {check["quantity"] for check in audit["checks"]}
    status, out, err = command("audit", str(out_dir), "--particles", "100", "--data", "8")
    assert status == 0, err
    assert "the training's TraceImportance_ELBO.loss" in out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["objective.warm_up=3"], "objective.warm_up: must be <= train.epochs"),
        (["objective.kind=renyi", "objective.alpha=1.0"], "renyi.alpha: must not be 1"),
        (["objective.free_bits=1.0"], "elbo.free_bits: needs a KL in closed form"),
        (
            ["objective.kind=iwae", "objective.estimator=sticking_the_landing"],
            "choose doubly_reparameterized",
        ),
    ],
)
def test_what_has_no_meaning_is_refused_before_anything_is_written(
    command, tmp_path, overrides, message
):
    status, out, err = command(*SMALL, *overrides, "--out", str(tmp_path / "run"))
    assert status == 2
    assert message in err
    assert "Data:" not in out
    assert not (tmp_path / "run").exists()
