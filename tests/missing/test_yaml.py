"""Missing values from a file of a declaration."""

import numpy as np
import pandas as pd
import pytest

from pyro_vae.experiment.declaration import Experiment
from tests.commands import SMALL, command

__all__ = ["command"]


def written(folder):
    x = np.random.default_rng(0).normal(size=(60, 3))
    x[::3, 1] = np.nan
    path = folder / "table.csv"
    pd.DataFrame(x, columns=list("abc")).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("missing", ["zero_and_mask", "set"])
def test_a_declaration_keeps_what_is_missing(missing):
    mapping = Experiment.read({"model": {"missing": missing}}).mapping
    assert mapping["model"]["missing"] == missing
    assert Experiment.read(mapping).mapping == mapping
    assert Experiment.read({}).mapping["model"]["missing"] == "none"


def test_a_run_on_a_csv_with_empty_cells(tmp_path, command):
    data = ["data.kind=csv", f"data.path={written(tmp_path)}"]
    train = ["train", *SMALL, *data, "train.epochs=1", "--no-audit", "--out", tmp_path / "run"]
    status, _, error = command(*train)
    assert status == 2
    assert "declare a model that knows missing values, model.missing: zero_and_mask" in error
    status, _, error = command(*train, "model.missing=zero_and_mask")
    assert status == 0, error
    status, out, error = command("evaluate", tmp_path / "run")
    assert status == 0, error
    assert "20 of 180" in " ".join(out.split())
