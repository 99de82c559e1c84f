import matplotlib
import pytest


@pytest.fixture(autouse=True)
def nothing_global_changes():
    """No figure joins pyplot, and no setting or backend is changed for the caller."""
    from matplotlib import pyplot as plt

    before = dict(matplotlib.rcParams)
    yield
    assert plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == before


@pytest.fixture
def is_drawn():
    """Check that a picture makes a PNG, without a warning."""

    def check(picture):
        assert picture._repr_png_().startswith(b"\x89PNG")

    return check
