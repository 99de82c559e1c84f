import pyro
import pytest
from pyro.infer import SVI

from pyro_vae.compiled import CompiledSVI, backends
from tests.compiled.common import adam, same
from tests.compiled.programs import PROGRAMS, regression


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_a_captured_step_is_pyros_step(name, monkeypatch):
    monkeypatch.setattr(backends, "_compiled", lambda capture, options: capture.graph)
    assert same(PROGRAMS[name]).outside == set()


@pytest.mark.parametrize("name", ["mixture", "regression", "subsampled"])
def test_a_compiled_step_is_pyros_step(name):
    same(PROGRAMS[name], steps=200)


def test_a_batch_that_is_laid_out_otherwise_is_another_kind():
    def losses(kind):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        program = regression()
        x, y = program.arguments
        svi = kind(program.model, program.guide, adam(), program.loss)
        by_columns = x.t().contiguous().t()
        return [float(svi.step(by_columns if turn % 9 == 8 else x, y)) for turn in range(60)]

    assert losses(CompiledSVI) == pytest.approx(losses(SVI), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_every_compiled_step_is_pyros_step(name):
    same(PROGRAMS[name], steps=200)
