"""Pictures of what codes decode to: traversals, and the plane."""

import numpy as np
import pytest

from pyro_vae.core.errors import DataError
from pyro_vae.plots import plot_manifold, plot_traversals

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (3, 4, 1, 5, 6), (3, 4, 3, 5, 6)])
def test_each_image_of_the_plane_is_where_its_code_is(is_drawn, shape):
    data = RNG.random(shape)
    axes = plot_manifold(data, np.arange(4.0), [10.0, 20.0, 30.0])
    (image,) = axes.images
    assert image.get_extent() == [-0.5, 3.5, 5.0, 35.0]
    drawn = np.asarray(image.get_array())[..., :3]
    lowest_right = drawn[-26:-1:5, -31:-1:5]  # of the code (3, 10): enlarged five times, framed
    expected = data[0, 3] if len(shape) == 4 else np.moveaxis(data[0, 3], 0, -1)
    expected = expected[..., None] if len(shape) == 4 else expected
    np.testing.assert_allclose(lowest_right, np.broadcast_to(expected, (5, 6, 3)))
    is_drawn(axes)


def test_both_are_drawn_into_a_given_axes(ax):
    assert plot_traversals(np.zeros((1, 2, 4, 4)), ["z0"], [0, 1], ax=ax) is ax
    assert plot_manifold(np.zeros((2, 2, 4, 4)), [0, 1], [0, 1], ax=ax) is ax


@pytest.mark.parametrize("shape", [(3, 4, 7), (4, 3, 5, 6), (12, 5, 6)])
def test_what_is_no_grid_of_images_is_refused(shape):
    with pytest.raises(DataError, match=r"expected images \(R, C, H, W\) for R = 3 .* C = 4"):
        plot_manifold(np.zeros(shape), np.arange(4.0), np.arange(3.0))


def test_images_of_a_traversal_stand_in_rows_under_their_values(is_drawn):
    axes = plot_traversals(RNG.random((3, 5, 8, 8)), ["z4", "z0", "z1"], np.linspace(-2, 2, 5))
    said = [text.get_text() for text in axes.texts]
    assert said[:8] == ["-2", "-1", "0", "1", "2", "z4", "z0", "z1"]
    is_drawn(axes)


def test_other_events_of_a_traversal_are_profiles_in_rows(is_drawn):
    data = RNG.normal(size=(2, 3, 20))
    axes = plot_traversals(data, ["z0", "z1"], [-1, 0, 1])
    assert len(axes.lines) == 6
    scaled = 1 + 0.45 - 0.9 * (data[1, 2] - data.min()) / np.ptp(data)
    np.testing.assert_allclose(axes.lines[5].get_ydata(), scaled)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["-1", "0", "1"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["z0", "z1"]
    is_drawn(axes)


def test_too_many_images_and_wrong_shapes_are_refused():
    with pytest.raises(DataError, match="at most 100 images, got 11 x 10"):
        plot_traversals(np.zeros((11, 10, 4, 4)), list("abcdefghijk"), np.arange(10.0))
    with pytest.raises(DataError, match=r"D = 2 names and S = 3 values, got \(3, 3, 4, 4\)"):
        plot_traversals(np.zeros((3, 3, 4, 4)), ["z0", "z1"], [-1, 0, 1])
