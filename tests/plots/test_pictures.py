import math

import numpy as np
import pytest
import torch

from pyro_vae.core.errors import DataError
from pyro_vae.plots import mosaic
from pyro_vae.plots.pictures import image_grid, reconstructions, samples

NAN = math.nan
RNG = np.random.default_rng(0)


def texts(picture):
    return [text.get_text() for text in picture.axes[0].texts if text.get_text()]


class TestImageGrid:
    @pytest.mark.parametrize("shape", [(7, 5, 6), (7, 1, 5, 6), (7, 3, 5, 6)])
    def test_one_artist_an_image(self, is_drawn, shape):
        picture = image_grid(RNG.random(shape), ncols=3)
        assert len(picture.axes) == 1
        assert [image.get_array().shape for image in picture.axes[0].images] == [(5, 6, 3)] * 7
        is_drawn(picture)

    def test_grey_pixels_are_the_data(self):
        data = RNG.random((2, 4, 4))
        images = image_grid(data).axes[0].images
        for image, expected in zip(images, data, strict=True):
            np.testing.assert_allclose(image.get_array()[..., 0], expected)

    def test_colours_are_the_channels(self):
        data = RNG.random((1, 3, 4, 4))
        image = image_grid(data).axes[0].images[0]
        np.testing.assert_allclose(image.get_array(), np.moveaxis(data[0], 0, -1))

    def test_a_row_ends_after_ncols(self):
        images = image_grid(np.zeros((5, 4, 4)), ncols=2).axes[0].images
        corners = [(image.get_extent()[0], image.get_extent()[3]) for image in images]
        assert len({left for left, _ in corners}) == 2
        assert len({top for _, top in corners}) == 3

    def test_small_images_are_enlarged_by_a_whole_number(self):
        left, right, bottom, top = (
            image_grid(np.zeros((10, 28, 28))).axes[0].images[0].get_extent()
        )
        assert (right - left) % 28 == 0
        assert (bottom - top) % 28 == 0
        assert right - left > 28

    def test_everything_lies_within_the_picture(self):
        picture = image_grid(np.zeros((11, 100, 30)), titles=["t"] * 11, title="Heading")
        width, height = picture.get_size_inches() * picture.dpi
        for image in picture.axes[0].images:
            left, right, bottom, top = image.get_extent()
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height

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
        assert len(picture.axes[0].images) == mosaic.MOST_IMAGES
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
        images = picture.axes[0].images
        for above, below in zip(images[:5], images[5:], strict=True):
            assert above.get_extent()[:2] == below.get_extent()[:2]
            assert above.get_extent()[2] < below.get_extent()[3]
        assert (images[0].get_array() < images[5].get_array()).all()
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
        assert len(picture.axes[0].images) == 4
        assert "From the prior" in texts(picture)
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
