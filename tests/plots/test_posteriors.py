"""Panels of codes."""

from __future__ import annotations

import numpy as np
import pytest

from pyro_vae.core.errors import DataError
from pyro_vae.plots import posterior_panels


@pytest.fixture
def codes():
    return np.random.default_rng(0).normal(size=(3, 200, 4))


def test_the_two_dimensions_that_differ_most_are_drawn(codes):
    moved = codes.copy()
    moved[..., 3] += 3.0
    moved[..., 1] *= 4.0
    axes = posterior_panels(codes, moved).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z1", "z3")


def test_one_dimension_is_a_histogram(codes):
    picture = posterior_panels(codes[..., :1], codes[..., :1] + 1)
    assert picture.axes[0].get_ylabel() == "density"
    assert len(picture.axes) == 3


def test_of_many_data_the_first_are_drawn_and_it_is_said(codes):
    many = np.concatenate([codes] * 4)
    picture = posterior_panels(many, many + 1)
    assert len(picture.axes) == 8
    assert "the first 8 of 12 data" in " ".join(text.get_text() for text in picture.texts)


def test_unlike_shapes_are_refused(codes):
    with pytest.raises(DataError, match="two arrays of one shape"):
        posterior_panels(codes, codes[:, :10])
