"""Ranks in their bands."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex

from pyro_vae.core.errors import DataError
from pyro_vae.plots import calibration_panels
from pyro_vae.plots.style import BAD, BLUE

AT = np.linspace(0.1, 0.9, 9)
BAND = (AT, AT - 0.1, AT + 0.1)
EVEN = (np.arange(200) + 0.5) / 200
KHATS = {"simulated": [0.1, -np.inf, 0.3], "given": [0.9, np.inf]}


def test_ranks_that_leave_the_band_are_red(is_drawn):
    picture = calibration_panels({"z0": EVEN, "z1": EVEN**2}, BAND, KHATS, 0.7, title="-1")
    assert [to_hex(axes.lines[0].get_color()) for axes in picture.axes[:2]] == [BLUE, BAD]
    assert np.allclose(picture.axes[0].lines[0].get_ydata(), 0, atol=0.005)
    assert np.allclose(picture.axes[1].lines[0].get_ydata(), np.sqrt(AT) - AT, atol=0.005)
    assert len(picture.axes) == 3
    is_drawn(picture)


def test_every_k_hat_is_drawn_infinite_ones_at_the_ends():
    tails = calibration_panels({"z0": EVEN}, BAND, KHATS, 0.7).axes[-1]
    given, simulated = (patch.get_xy()[:, 1].max() for patch in tails.patches)
    assert max(given, simulated) == 0.5  # one of two
    assert [text.get_text() for text in tails.get_legend().get_texts()] == list(KHATS)


def test_of_many_ranks_the_first_are_drawn_and_it_is_said():
    picture = calibration_panels({f"z{m}": EVEN for m in range(20)}, BAND, KHATS, 0.7)
    assert len(picture.axes) == 8
    assert "7 of 20 ranks" in " ".join(text.get_text() for text in picture.texts)


@pytest.mark.parametrize(
    "arguments", [({}, BAND, KHATS), ({"z0": EVEN}, (AT, AT[1:], AT), KHATS),
                  ({"z0": EVEN}, BAND, {})], ids=["ranks", "band", "khats"],
)  # fmt: skip
def test_refusals(arguments):
    with pytest.raises(DataError):
        calibration_panels(*arguments, 0.7)
