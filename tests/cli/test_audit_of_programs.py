"""``pyro-vae audit FILE.py:model,guide``."""

from __future__ import annotations

import sys

import pytest

from pyro_vae.cli import common

PROGRAM = """
import pyro
import pyro.distributions as dist
import torch
from pyro.infer.autoguide import AutoNormal


def model(x):
    loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(x)):
        pyro.sample("x", dist.Normal(loc, 1.0), obs=x)


def without_a_plate(x):
    loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
    pyro.sample("x", dist.Normal(loc, 1.0), obs=x)


guide = AutoNormal(model)
args = (torch.linspace(-1, 1, 9),)
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "IMPORTED", set())
    path = tmp_path / "a_program_of_ours.py"
    path.write_text(PROGRAM)
    yield path
    sys.modules.pop(path.stem, None)


def test_a_right_program(program, command, tmp_path):
    html = tmp_path / "audit.html"
    status, out, _ = command("audit", f"{program}:model,guide", "--particles", 100, "--html", html)
    assert status == 0
    assert "Audit PASSED" in out
    assert "<table" in html.read_text()


def test_a_program_with_a_mistake_is_exit_status_1(program, command):
    status, out, _ = command("audit", f"{program}:without_a_plate,guide")
    assert status == 1
    assert "x in the model: dimension -1 has size 9, in no plate" in " ".join(out.split())
    status, out, _ = command("audit", f"{program}:model,guide", "--data-size", 1000)
    assert status == 1
    assert "no plate has the 1000 data" in " ".join(out.split())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("", "expected FILE.py:MODEL,GUIDE"),
        (":model", "expected FILE.py:MODEL,GUIDE"),
        (":model,gide", "expected a function or module gide, got NoneType; it defines"),
    ],
)
def test_bad_names(program, command, names, message):
    status, _, err = command("audit", f"{program}{names}")
    assert status == 2
    assert message in err


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("args = torch.ones(3)", "expected args, a tuple"),
        ("raise ValueError('stop')", "got ValueError: stop"),
    ],
)
def test_a_file_that_cannot_be_audited(program, command, lines, message):
    program.write_text(PROGRAM + lines)
    status, _, err = command("audit", f"{program}:model,guide")
    assert status == 2
    assert message in err
    assert command("audit", "/nonexistent.py:model,guide")[2].count("no such file") == 1
