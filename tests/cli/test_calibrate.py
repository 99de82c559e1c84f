"""``pyro-vae calibrate``."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from pyro_vae.diagnostics import calibration

FEW = ["--simulations", 200, "--draws", 25, "--data", 20]


@pytest.fixture
def run(trained, tmp_path):
    """A run of the test's own, since the command writes into it."""
    return shutil.copytree(trained, tmp_path / "run")


def test_a_guide_that_is_not_calibrated_is_exit_status_1(run, command):
    options = ["--simulations", 2000, "--draws", 50, "--data", 20]
    status, out, _ = command("calibrate", run, *options)
    assert status == 1  # after three epochs
    assert "Calibration FAILED" in out
    assert "digits [sha256" in out
    written = json.loads((run / "calibration.json").read_text())
    assert written["simulations"] == 2000
    assert not written["passed"]
    assert (run / "pictures" / "calibration.png").read_bytes().startswith(b"\x89PNG")


def test_one_that_passes_is_exit_status_0(run, command, monkeypatch):
    monkeypatch.setattr(calibration, "ecdf_p_value", lambda values: 0.5)
    status, out, _ = command("calibrate", run, *FEW, "-q")
    assert status == 0
    assert "Calibration PASSED" in out


def test_bad_input_is_one_message(run, command, monkeypatch):
    for arguments, message in [
        (["/nonexistent"], "expected a run folder"),
        ([run, "--simulations", 5], "simulations"),
    ]:
        status, _, err = command("calibrate", *arguments)
        assert status == 2
        assert message in " ".join(err.split())

    monkeypatch.setitem(sys.modules, "arviz_stats", None)
    status, _, err = command("calibrate", run, *FEW)
    assert status == 2
    assert "pyro-vae[arviz]" in err
