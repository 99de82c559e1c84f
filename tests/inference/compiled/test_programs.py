import pytest

from pyro_vae.inference.compiled import backends
from tests.inference.compiled.common import same
from tests.inference.compiled.programs import PROGRAMS


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_a_captured_step_is_pyros_step(name, monkeypatch):
    monkeypatch.setattr(backends, "_compiled", lambda capture, options: capture.graph)
    assert same(PROGRAMS[name]).outside == set()


@pytest.mark.parametrize("name", ["mixture", "regression", "subsampled"])
def test_a_compiled_step_is_pyros_step(name):
    same(PROGRAMS[name], steps=200)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_every_compiled_step_is_pyros_step(name):
    same(PROGRAMS[name], steps=200)
