import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from pyro_vae.core.errors import DataError
from pyro_vae.plots import mosaic, plot_images, plot_reconstructions, plot_samples
from pyro_vae.plots.style import panels

NAN = math.nan
RNG = np.random.default_rng(0)


def texts(axes):
    return [text.get_text() for text in axes.texts if text.get_text()]


def tiles(axes, size, ncols, count, rows=1, strip=0):
    """The images of a grid, ``(count, rows, H, W, 3)``, in their own pixels."""
    (image,) = axes.images
    grid = np.asarray(image.get_array())[..., :3]
    gap = mosaic._GAP if count > 1 else 0
    width = (grid.shape[1] - gap) // min(ncols, count) - gap
    scale = width // size[1]
    assert width == scale * size[1]  # enlarged by a whole number
    height = scale * size[0]
    tall = strip + rows * height + (rows - 1) * mosaic._GAP
    assert grid.shape[0] == -(-count // ncols) * (tall + gap) + gap
    found = []
    for index in range(count):
        band, column = divmod(index, ncols)
        left, top = gap + column * (width + gap), gap + band * (tall + gap) + strip
        tops = [top + row * (height + mosaic._GAP) for row in range(rows)]
        found.append([grid[y : y + height, left : left + width] for y in tops])
    small = np.asarray(found)[:, :, ::scale, ::scale]
    np.testing.assert_array_equal(small.repeat(scale, 2).repeat(scale, 3), np.asarray(found))
    return small


def unscaled(axes, low, high):
    """The values of profiles, ``(lines, D)``, from their heights."""
    heights = np.stack([line.get_ydata() for line in axes.lines])
    rows = np.arange(len(heights)) // (len(heights) // len(axes.get_yticks()))
    return low + (rows[:, None] + 0.45 - heights) / 0.9 * (high - low)


class TestImages:
    @pytest.mark.parametrize("shape", [(7, 5, 6), (7, 1, 5, 6), (7, 3, 5, 6)])
    def test_a_grid_holds_every_image_in_rows_of_ncols(self, is_drawn, shape):
        data = RNG.random(shape)
        axes = plot_images(data, ncols=3)
        colours = data[:, None] if len(shape) == 3 else data
        expected = np.broadcast_to(np.moveaxis(colours, 1, -1), (7, 5, 6, 3))
        np.testing.assert_allclose(tiles(axes, (5, 6), 3, 7)[:, 0], expected)
        is_drawn(axes)

    def test_colours_are_the_channels(self):
        data = RNG.random((1, 3, 4, 4))
        shown = tiles(plot_images(data), (4, 4), 10, 1)
        np.testing.assert_allclose(shown[0, 0], np.moveaxis(data[0], 0, -1))

    def test_small_images_are_enlarged_by_a_whole_number_of_dots(self):
        axes = plot_images(np.zeros((10, 28, 28)))
        axes.figure.draw_without_rendering()
        box, (image,) = axes.get_window_extent(), axes.images
        assert (box.height, box.width) == pytest.approx(image.get_array().shape[:2])
        assert image.get_array().shape[0] > 28

    def test_everything_lies_within_the_picture(self):
        axes = plot_images(np.zeros((11, 100, 30)), titles=["t"] * 11, title="Heading")
        axes.figure.draw_without_rendering()
        box = axes.get_tightbbox()
        width, height = axes.figure.get_size_inches() * axes.figure.dpi
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height

    def test_into_the_callers_axes(self):
        axes = Figure().subplots(1, 2)
        assert plot_images(np.zeros((5, 4, 4)), ax=axes[1]) is axes[1]
        assert [len(each.images) for each in axes] == [0, 1]

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (np.full((1, 2, 2), 0.5), "black 0, white 1"),
            (np.array([[[-2.0, 0], [1, 3]]]), "black \N{MINUS SIGN}2, white 3"),
            (np.full((1, 2, 2), 7.0), "black 6.5, white 7.5"),
            (np.zeros((1, 3, 2, 2)), "each channel from 0 to 1"),
        ],
    )
    def test_the_scale_is_stated(self, data, said):
        assert texts(plot_images(data))[-1] == said

    def test_given_limits_hold(self):
        axes = plot_images(np.full((1, 2, 2), 3.0), limits=(2, 4))
        assert texts(axes)[-1] == "black 2, white 4"
        assert (axes.images[0].get_array()[..., :3] == 0.5).all()

    def test_titles(self):
        for titles in (["3", "8"], np.array([3, 8]), torch.tensor([3, 8])):
            assert texts(plot_images(np.zeros((2, 4, 4)), titles=titles))[:2] == ["3", "8"]

    def test_values_that_are_not_finite_are_red_and_counted(self, is_drawn):
        data = np.zeros((1, 2, 2))
        data[0, 0, 0] = NAN
        axes = plot_images(data)
        red, green, *_ = axes.images[0].get_array()[0, 0]
        assert red > 0.5 > green
        assert texts(axes)[-1].endswith("1 of 4 values are not finite (red)")
        is_drawn(plot_images(np.full((2, 3, 2, 2), NAN)))

    def test_of_many_the_first_are_drawn_and_it_says_so(self):
        axes = plot_images(np.zeros((mosaic.MOST_IMAGES + 20, 2, 2)))
        tiles(axes, (2, 2), 10, mosaic.MOST_IMAGES)
        assert texts(axes)[-1].endswith("the first 100 of 120")

    @pytest.mark.parametrize(
        ("arguments", "match"),
        [
            ({"images": np.zeros((3, 5))}, r"expected shape \(N, H, W\).* got \(3, 5\)"),
            ({"images": np.zeros((3, 2, 5, 5))}, r"got \(3, 2, 5, 5\)"),
            ({"images": np.zeros((0, 5, 5))}, "nothing to draw"),
            ({"images": np.zeros((2, 5, 5)), "titles": ["one"]}, "titles: .* 2, got 1"),
            ({"images": np.zeros((2, 5, 5)), "ncols": 0}, "ncols: expected at least 1"),
            ({"images": np.zeros((2, 5, 5)), "limits": (1, 1)}, "low < high"),
            ({"images": np.zeros((2, 5, 5)), "limits": (0, NAN)}, "two finite numbers"),
        ],
    )
    def test_refused(self, arguments, match):
        with pytest.raises(DataError, match=match):
            plot_images(**arguments)


class TestReconstructions:
    def test_each_stands_below_its_datum_on_one_scale(self, is_drawn):
        x = RNG.random((5, 4, 4))
        axes = plot_reconstructions(x, x + 1, labels=list("abcde"), ncols=3)
        shown = tiles(axes, (4, 4), 3, 5, rows=2, strip=mosaic._LINE)[..., 0]
        high = (x + 1).max()
        low = x.min()
        np.testing.assert_allclose(shown[:, 0], (x - low) / (high - low))
        np.testing.assert_allclose(shown[:, 1], (x + 1 - low) / (high - low))
        assert texts(axes).count("reconstruction") == 2
        assert set("abcde") <= set(texts(axes))
        is_drawn(axes)

    def test_other_events_are_two_lines_a_datum(self, is_drawn):
        x = RNG.normal(size=(5, 30))
        axes = plot_reconstructions(x, -x, labels=list("abcde"))
        assert [tick.get_text() for tick in axes.get_yticklabels()] == list("abcde")
        values = unscaled(axes, min(x.min(), -x.max()), max(x.max(), -x.min()))
        np.testing.assert_allclose(values[::2], x)
        np.testing.assert_allclose(values[1::2], -x)
        names = [text.get_text() for text in axes.get_legend().get_texts()]
        assert names == ["data", "reconstruction"]
        is_drawn(axes)

    def test_refused(self):
        with pytest.raises(DataError, match=r"shape of x, \(2, 4\), got \(2, 5\)"):
            plot_reconstructions(np.zeros((2, 4)), np.zeros((2, 5)))
        with pytest.raises(DataError, match="labels: expected one for each datum, 2, got 1"):
            plot_reconstructions(np.zeros((2, 4)), np.zeros((2, 4)), labels=["one"])


class TestSamples:
    def test_images(self, is_drawn):
        axes = plot_samples(np.zeros((4, 1, 8, 8)), title="From the prior")
        tiles(axes, (8, 8), 10, 4)
        assert axes.get_title() == "From the prior"
        is_drawn(axes)

    @pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 50), (3, 1, 50), (3, 2, 4, 4)])
    def test_other_events_are_lines(self, is_drawn, shape):
        x = RNG.normal(size=shape)
        axes = plot_samples(x)
        np.testing.assert_allclose(unscaled(axes, x.min(), x.max()), x.reshape(3, -1))
        is_drawn(axes)

    def test_lines_with_gaps_and_of_many_the_first(self, is_drawn):
        x = np.zeros((30, 5))
        x[0, 2] = NAN
        axes = plot_samples(x)
        assert len(axes.lines) == 24
        assert axes.get_xlabel() == (
            "dimension of the event\neach row from 0 to 0; the first 24 of 30; "
            "1 of 120 values are not finite (gaps)"
        )
        is_drawn(axes)

    def test_images_and_profiles_go_into_the_callers_axes(self):
        axes = Figure().subplots(1, 3)
        x = np.zeros((5, 4, 4))
        assert plot_samples(x, ax=axes[1]) is axes[1]
        assert plot_reconstructions(x, x, ax=axes[2]) is axes[2]
        assert plot_samples(x[0], ax=axes[0]) is axes[0]
        assert [len(each.images) for each in axes] == [0, 1, 1]
        with pytest.raises(DataError, match="ax: expected a matplotlib Axes, got ndarray"):
            plot_samples(x, ax=axes)

    def test_a_picture_without_a_size_fits_its_images(self):
        picture, (axes,) = panels()
        plot_samples(np.zeros((10, 28, 28)), ax=axes)
        picture.draw_without_rendering()
        box, (image,) = axes.get_window_extent(), axes.images
        assert (box.height, box.width) == pytest.approx(image.get_array().shape[:2])
