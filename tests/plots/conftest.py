import matplotlib
import pytest
from matplotlib.figure import Figure


@pytest.fixture(autouse=True)
def nothing_global_changes():
    """No setting or backend is changed for the caller; figures of pyplot are closed."""
    from matplotlib import pyplot as plt

    before = dict(matplotlib.rcParams)
    yield
    plt.close("all")
    assert dict(matplotlib.rcParams) == before


@pytest.fixture
def ax():
    """Axes of the caller's own."""
    return Figure(figsize=(8, 6)).subplots()


@pytest.fixture
def is_drawn(tmp_path):
    """Check that axes make a PNG, without a warning."""

    def check(ax):
        ax.figure.savefig(tmp_path / "picture.png")
        assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")

    return check
