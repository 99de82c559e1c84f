"""Bars of the two gaps."""

from __future__ import annotations

import numpy as np
import pytest

from pyro_vae.core.errors import DataError
from pyro_vae.plots import gap_bars


def test_the_bars_stack_to_both_gaps_and_the_greatest_stands_first():
    axes = gap_bars([0.1, 0.3], [0.2, 0.4]).axes[0]
    family, encoder = map(list, axes.containers)
    assert [bar.get_height() for bar in family] == [0.3, 0.1]
    assert [bar.get_y() + bar.get_height() for bar in encoder] == pytest.approx([0.7, 0.3])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["#1", "#0"]


def test_of_many_data_the_greatest_are_drawn_and_it_is_said():
    picture = gap_bars(np.arange(100.0), np.zeros(100), [-2.0, -1.0])
    assert len(picture.axes[0].containers[0]) == 40
    assert "drawn: the 40 greatest" in picture.texts[-1].get_text()
    assert len(picture.axes) == 2


def test_unlike_shapes_are_refused():
    with pytest.raises(DataError, match=r"got \(2,\) and \(3,\)"):
        gap_bars([1.0, 2.0], [1.0, 2.0, 3.0])
