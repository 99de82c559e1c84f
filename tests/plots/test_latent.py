import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from pyro_vae.core.errors import DataError
from pyro_vae.plots import plot_latent

NAN = math.nan
RNG = np.random.default_rng(0)


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def offsets(axes, index=0):
    points = axes.collections[index].get_offsets()
    return points[np.lexsort(points.T)]


def in_order(points):
    return points[np.lexsort(points.T)]


def test_two_dimensions_are_drawn_as_they_are(is_drawn):
    codes = RNG.normal(size=(30, 2))
    axes = plot_latent(codes)
    np.testing.assert_array_equal(offsets(axes), in_order(codes))
    assert axes.get_xlabel() == "$z_1$"
    assert axes.get_aspect() == 1
    is_drawn(axes)


def test_more_dimensions_are_projected_on_the_leading_two():
    plane = RNG.normal(size=(200, 2)) * [5, 2]
    basis, _ = np.linalg.qr(RNG.normal(size=(6, 2)))
    axes = plot_latent(plane @ basis.T)
    shown = offsets(axes)
    np.testing.assert_allclose(
        np.sort(np.linalg.norm(shown, axis=1)),
        np.sort(np.linalg.norm(plane - plane.mean(0), axis=1)),
    )
    shares = [
        int(label.split("(")[1].split()[0]) for label in (axes.get_xlabel(), axes.get_ylabel())
    ]
    assert sum(shares) == 100
    assert shares[0] > shares[1]


def test_prior_draws_lie_beneath_in_the_same_projection(is_drawn):
    codes = RNG.normal(size=(50, 5))
    axes = plot_latent(codes, prior=codes)
    np.testing.assert_allclose(offsets(axes, 0), offsets(axes, 1))
    under, over = axes.collections
    assert under.get_zorder() <= over.get_zorder()
    assert legend(axes) == ["prior"]
    is_drawn(axes)


def test_classes_have_colours_and_names(is_drawn):
    labels = np.repeat([0, 1, 2], 10)
    axes = plot_latent(RNG.normal(size=(30, 2)), labels, names=["cat", "dog", "owl"])
    assert legend(axes) == ["cat", "dog", "owl"]
    colours = axes.collections[0].get_facecolors()
    assert len(np.unique(colours, axis=0)) == 3
    is_drawn(axes)


@pytest.mark.parametrize("classes", [10, 20])
def test_up_to_twenty_classes_differ(classes):
    axes = plot_latent(RNG.normal(size=(classes, 2)), np.arange(classes))
    colours = axes.collections[0].get_facecolors()
    assert len(np.unique(colours, axis=0)) == classes


def test_names_by_label():
    axes = plot_latent(np.eye(2), ["b", "a"], names={"a": "A"})
    assert legend(axes) == ["A", "b"]


def test_many_numbers_are_a_scale(is_drawn):
    axes = plot_latent(RNG.normal(size=(40, 3)), RNG.random(40), prior=np.zeros((5, 3)))
    assert len(axes.figure.axes) == 2  # with the colour bar
    is_drawn(axes)


def test_one_dimension_is_a_histogram(is_drawn):
    axes = plot_latent(RNG.normal(size=(90, 1)), np.arange(90) % 2, prior=RNG.normal(size=(90, 1)))
    assert axes.get_ylabel() == "density"
    assert legend(axes) == ["0", "1", "prior"]
    is_drawn(axes)


def test_codes_that_are_not_finite_are_left_out_and_counted(is_drawn):
    codes = RNG.normal(size=(10, 3))
    codes[2, 1] = NAN
    labels = np.arange(10.0) % 2
    labels[5] = NAN
    axes = plot_latent(codes, labels)
    assert len(offsets(axes)) == 8
    assert axes.get_xlabel().endswith("left out, as not finite: 2 of 10 codes")
    is_drawn(axes)


def test_into_the_callers_axes():
    figure = Figure()
    axes = figure.subplots(1, 2)
    assert plot_latent(np.eye(3), [0, 1, 1], ax=axes[0]) is axes[0]
    assert axes[0].get_legend() is not None
    assert not axes[1].collections


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 5), (2, 5), (4, 5)])
def test_codes_that_are_all_the_same(is_drawn, shape):
    is_drawn(plot_latent(np.zeros(shape), prior=np.full(shape, NAN)))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"codes": np.zeros(4)}, r"codes: expected shape \(N, M\), got \(4,\)"),
        ({"codes": np.zeros((0, 2))}, "codes: nothing to draw"),
        ({"codes": np.full((3, 2), NAN)}, "none of the 3 codes is finite"),
        ({"codes": np.eye(3), "labels": [1, 2]}, r"labels: .* \(3,\), got \(2,\)"),
        ({"codes": np.eye(3), "prior": np.eye(2)}, r"prior: expected shape \(N, 3\)"),
        (
            {"codes": np.eye(21), "labels": list("abcdefghijklmnopqrstu")},
            "at most 20 classes, got 21",
        ),
    ],
)
def test_refused(arguments, match):
    with pytest.raises(DataError, match=match):
        plot_latent(**arguments)
