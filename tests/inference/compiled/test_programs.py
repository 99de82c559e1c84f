import pytest

from tests.inference.compiled.common import same
from tests.inference.compiled.programs import PROGRAMS


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_a_compiled_step_is_pyros_step(name):
    assert same(PROGRAMS[name]).outside == set()
