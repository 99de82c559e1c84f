"""Bars of the dimensions of the code, and of the two gaps."""

from __future__ import annotations

import numpy as np
import pytest

from pyro_vae.core.errors import DataError
from pyro_vae.plots import gap_bars, topic_bars, unit_bars


def heights(axes):
    return [bar.get_height() for bar in axes.patches]


def test_the_greatest_variance_stands_first_and_names_its_dimension():
    picture = unit_bars([0.2, 0.9, 1e-4], 0.01, [1.0, 2.0, 0.1])
    top, bottom = picture.axes
    assert heights(top) == [0.9, 0.2, 1e-4]
    assert heights(bottom) == [2.0, 1.0, 0.1]
    assert [tick.get_text() for tick in bottom.get_xticklabels()] == ["1", "0", "2"]
    colours = [bar.get_facecolor() for bar in top.patches]
    assert colours[0] == colours[1] != colours[2]


def test_a_variance_below_the_axis_is_counted():
    picture = unit_bars([0.5, -1e-9, 0.0], 0.01)
    assert heights(picture.axes[0])[1:] == [1e-6, 1e-6]
    assert "2 below 1e-06" in picture.texts[-1].get_text()


def test_many_dimensions_keep_their_axis_readable():
    picture = unit_bars(np.linspace(1e-3, 1, 200), 0.01)
    assert len(picture.axes[0].get_xticks()) <= 40
    assert picture.get_figwidth() <= 12


def test_nothing_to_draw_is_refused():
    with pytest.raises(DataError, match="nothing to draw"):
        unit_bars([], 0.01)


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


def test_a_topic_has_its_coherence_and_its_share():
    left, right = topic_bars(["a b", "c d"], [0.3, -0.1], [0.2, 0.8]).axes
    assert [bar.get_width() for bar in left.patches] == [0.3, -0.1]
    assert [bar.get_width() for bar in right.patches] == [0.2, 0.8]
    picture = topic_bars([str(k) for k in range(50)], np.zeros(50))
    assert len(picture.axes[0].patches) == 40
    assert "the first 40 of 50" in picture.texts[-1].get_text()
    with pytest.raises(DataError, match="nothing to draw"):
        topic_bars([], [])
