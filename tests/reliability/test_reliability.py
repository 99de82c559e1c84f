"""The quick part of ``make reliability``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.reliability import growth
from tests.reliability.growth import MOST, a_vae, of_epochs, of_models

ROOT = Path(__file__).parents[2]


def test_nothing_is_lost():
    command = [sys.executable, "-m", "tests.reliability", "--quick"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("lost: 0\n")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(("grown", "count"), [(of_epochs, 10_000), (of_models, 300)])
def test_a_long_lived_process_does_not_grow(grown, count):
    memory, entries = grown(count)
    assert memory < MOST
    assert entries == 0


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_growth_is_seen(monkeypatch):
    kept = []
    # Blocks of 64 MB are never taken from memory that was freed before.
    monkeypatch.setattr(growth, "a_vae", lambda: kept.append(torch.ones(2**24)) or a_vae())
    memory, _ = of_models(3, warm=1)
    assert memory > MOST
