import math

import numpy as np
import pytest
import torch

from pyro_vae.core.errors import DataError
from pyro_vae.plots import mosaic
from pyro_vae.plots.pictures import image_grid, reconstructions, samples
from pyro_vae.plots.style import Picture

NAN = math.nan
RNG = np.random.default_rng(0)


def texts(picture):
    return [text.get_text() for text in picture.axes[0].texts if text.get_text()]


def tiles(picture, size, ncols, count, rows=1, strip=0):
    """The images of a grid, ``(count, rows, H, W, 3)``, in their own pixels."""
    (image,) = picture.axes[0].images
    grid = np.asarray(image.get_array())
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


class TestImageGrid:
    @pytest.mark.parametrize("shape", [(7, 5, 6), (7, 1, 5, 6), (7, 3, 5, 6)])
    def test_a_grid_holds_every_image_in_rows_of_ncols(self, is_drawn, shape):
        data = RNG.random(shape)
        picture = image_grid(data, ncols=3)
        assert len(picture.axes) == 1
        colours = data[:, None] if len(shape) == 3 else data
        expected = np.broadcast_to(np.moveaxis(colours, 1, -1), (7, 5, 6, 3))
        np.testing.assert_allclose(tiles(picture, (5, 6), 3, 7)[:, 0], expected)
        is_drawn(picture)

    def test_colours_are_the_channels(self):
        data = RNG.random((1, 3, 4, 4))
        shown = tiles(image_grid(data), (4, 4), 10, 1)
        np.testing.assert_allclose(shown[0, 0], np.moveaxis(data[0], 0, -1))

    def test_small_images_are_enlarged_by_a_whole_number_of_dots(self):
        picture = image_grid(np.zeros((10, 28, 28)))
        picture.draw_without_rendering()
        box, (image,) = picture.axes[0].get_window_extent(), picture.axes[0].images
        assert (box.height, box.width) == pytest.approx(image.get_array().shape[:2])
        assert image.get_array().shape[0] > 28

    def test_everything_lies_within_the_picture(self):
        picture = image_grid(np.zeros((11, 100, 30)), titles=["t"] * 11, title="Heading")
        picture.draw_without_rendering()
        box = picture.axes[0].get_tightbbox()
        width, height = picture.get_size_inches() * picture.dpi
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height

    def test_into_the_callers_axes(self):
        picture = Picture(4, 3)
        axes = picture.subplots(1, 2)
        assert image_grid(np.zeros((5, 4, 4)), ax=axes[1]) is picture
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
        assert texts(image_grid(data))[-1] == said

    def test_given_limits_hold(self):
        picture = image_grid(np.full((1, 2, 2), 3.0), limits=(2, 4))
        assert texts(picture)[-1] == "black 2, white 4"
        assert (picture.axes[0].images[0].get_array() == 0.5).all()

    def test_titles(self):
        for titles in (["3", "8"], np.array([3, 8]), torch.tensor([3, 8])):
            assert texts(image_grid(np.zeros((2, 4, 4)), titles=titles))[:2] == ["3", "8"]

    def test_values_that_are_not_finite_are_red_and_counted(self, is_drawn):
        data = np.zeros((1, 2, 2))
        data[0, 0, 0] = NAN
        picture = image_grid(data)
        red, green, _ = picture.axes[0].images[0].get_array()[0, 0]
        assert red > 0.5 > green
        assert texts(picture)[-1].endswith("1 of 4 values are not finite (red)")
        is_drawn(image_grid(np.full((2, 3, 2, 2), NAN)))

    def test_of_many_the_first_are_drawn_and_it_says_so(self):
        picture = image_grid(np.zeros((mosaic.MOST_IMAGES + 20, 2, 2)))
        tiles(picture, (2, 2), 10, mosaic.MOST_IMAGES)
        assert texts(picture)[-1].endswith("the first 100 of 120")

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
            image_grid(**arguments)


class TestReconstructions:
    def test_each_stands_below_its_datum_on_one_scale(self, is_drawn):
        x = RNG.random((5, 4, 4))
        picture = reconstructions(x, x + 1, labels=list("abcde"), ncols=3)
        shown = tiles(picture, (4, 4), 3, 5, rows=2, strip=mosaic._LINE)[..., 0]
        high = (x + 1).max()
        low = x.min()
        np.testing.assert_allclose(shown[:, 0], (x - low) / (high - low))
        np.testing.assert_allclose(shown[:, 1], (x + 1 - low) / (high - low))
        assert texts(picture).count("reconstruction") == 2
        assert set("abcde") <= set(texts(picture))
        is_drawn(picture)

    def test_other_events_are_two_lines_a_datum(self, is_drawn):
        x = RNG.normal(size=(5, 30))
        picture = reconstructions(x, -x, labels=list("abcde"))
        assert [axes.get_title("left") for axes in picture.axes] == list("abcde")
        for axes, datum in zip(picture.axes, x, strict=True):
            np.testing.assert_array_equal(axes.lines[0].get_ydata(), datum)
            np.testing.assert_array_equal(axes.lines[1].get_ydata(), -datum)
        names = [text.get_text() for text in picture.legends[0].get_texts()]
        assert names == ["data", "reconstruction"]
        is_drawn(picture)

    def test_refused(self):
        with pytest.raises(DataError, match=r"shape of x, \(2, 4\), got \(2, 5\)"):
            reconstructions(np.zeros((2, 4)), np.zeros((2, 5)))
        with pytest.raises(DataError, match="labels: expected one for each datum, 2, got 1"):
            reconstructions(np.zeros((2, 4)), np.zeros((2, 4)), labels=["one"])


class TestSamples:
    def test_images(self, is_drawn):
        picture = samples(np.zeros((4, 1, 8, 8)), title="From the prior")
        tiles(picture, (8, 8), 10, 4)
        assert picture.axes[0].get_title("left") == "From the prior"
        is_drawn(picture)

    @pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 50), (3, 1, 50), (3, 2, 4, 4)])
    def test_other_events_are_lines(self, is_drawn, shape):
        x = RNG.normal(size=shape)
        picture = samples(x)
        assert len(picture.axes) == 3
        for axes, datum in zip(picture.axes, x.reshape(3, -1), strict=True):
            np.testing.assert_array_equal(axes.lines[0].get_ydata(), datum)
        is_drawn(picture)

    def test_lines_with_gaps_and_of_many_the_first(self, is_drawn):
        x = np.zeros((30, 5))
        x[0, 2] = NAN
        picture = samples(x)
        assert len(picture.axes) == 24
        assert picture.get_supxlabel() == (
            "dimension of the event\n"
            "drawn: the first 24 of 30; 1 of 120 values are not finite (gaps)"
        )
        is_drawn(picture)

    def test_images_into_the_callers_axes_and_lines_not(self):
        picture = Picture(4, 3)
        axes = picture.subplots(1, 3)
        x = np.zeros((5, 4, 4))
        assert samples(x, ax=axes[1]) is picture
        assert reconstructions(x, x, ax=axes[2]) is picture
        assert [len(each.images) for each in axes] == [0, 1, 1]
        with pytest.raises(DataError, match="ax: expected images"):
            samples(np.zeros((5, 4)), ax=axes[0])
