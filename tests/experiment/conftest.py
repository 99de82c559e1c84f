"""What the tests of runs share."""

import pytest

from pyro_vae.training.loop import Loop


@pytest.fixture
def amid(monkeypatch):
    """Does something at the end of the second epoch."""

    def arrange(act):
        keep = Loop._keep

        def kept(self, record):
            keep(self, record)
            if record["epoch"] == 2:
                act()

        monkeypatch.setattr(Loop, "_keep", kept)

    return arrange
