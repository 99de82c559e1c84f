import math

import pytest
import torch

from pyro_vae.core.errors import DataError
from pyro_vae.data import as_dataset
from pyro_vae.data.binarization import draw
from pyro_vae.data.streams import stream

Z_CRIT = 4.42  # two-sided normal quantile: one false alarm in 1e5 runs


@pytest.fixture
def grey():
    return torch.rand(60, 1, 4, 4, generator=stream(0, "test"))


def everything(data):
    return torch.arange(len(data.train))


def z_score(draws, x):
    """How many standard errors the mean of the draws is from the intensities'."""
    stderr = (x * (1 - x) / len(draws)).sum().sqrt() / x.numel()
    return abs(draws.mean() - x.mean()) / stderr


def test_draws_have_the_intensities_as_their_mean(grey):
    generator = stream(1, "draws")
    draws = torch.stack([draw(grey, generator) for _ in range(200)])
    assert z_score(draws, grey) < Z_CRIT
    centred = draws.mean(0) - grey  # each pixel by itself, with a bound for all of them
    worst = (centred.abs() / (grey * (1 - grey) / 200).sqrt().clamp(min=1 / 200)).max()
    assert worst < math.sqrt(2 * math.log(2 * grey.numel() / 1e-5))
    assert z_score((draws > 0.5) * 0.98, grey) > Z_CRIT  # a planted mistake is caught


def test_intensities_0_and_1_are_certain():
    x = torch.tensor([[0.0, 1.0]]).expand(10_000, 2)
    assert torch.equal(draw(x, stream(0, "certain")), x)


def test_threshold_is_one_from_a_half():
    data = as_dataset(torch.tensor([[0.0, 0.49, 0.5, 1.0]] * 5), binarization="threshold")
    assert torch.equal(data.train.x[0], torch.tensor([0.0, 0.0, 1.0, 1.0]))


def test_static_is_drawn_once(grey):
    data, again = (as_dataset(grey, binarization="static") for _ in range(2))
    generator = stream(0, "batches")
    first, second = (data.train.batch(everything(data), generator) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(first, again.train.x)
    assert set(first.unique().tolist()) == {0.0, 1.0}


def test_dynamic_draws_training_data_afresh_and_scores_fixed_ones(grey):
    data = as_dataset(grey, binarization="dynamic")
    generator = stream(0, "batches")
    draws = torch.stack([data.train.batch(everything(data), generator) for _ in range(100)])
    assert not torch.equal(draws[0], draws[1])
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    assert z_score(draws, data.train.x) < Z_CRIT
    assert torch.equal(data.train.x, grey[data.train.rows])
    assert not data.test.dynamic
    assert set(data.test.x.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(data.test.x, as_dataset(grey, binarization="dynamic").test.x)
    assert torch.equal(data.test.x, as_dataset(grey, binarization="static").test.x)


def test_a_datum_is_drawn_alike_whatever_the_split(grey):
    small, large = (
        as_dataset(grey, binarization="static", validation=v, test=0) for v in (0.1, 0.5)
    )
    for row, x in zip(small.validation.rows.tolist(), small.validation.x, strict=True):
        split = large.train if row in large.train.rows else large.validation
        assert torch.equal(split.x[split.rows == row][0], x)


def test_seed_changes_the_draw(grey):
    drawn = [
        as_dataset(grey, binarization="static", validation=0, test=0, seed=seed).train.x
        for seed in (0, 1)
    ]
    assert not torch.equal(*drawn)


def test_a_dynamic_split_draws_from_a_generator_only(grey):
    data = as_dataset(grey, binarization="dynamic")
    with pytest.raises(DataError, match=r"expected a torch\.Generator to draw with, got None"):
        data.train.batch(torch.arange(3))


@pytest.mark.parametrize("binarization", ["threshold", "static", "dynamic"])
def test_values_that_are_no_intensities_are_refused(grey, binarization):
    grey[7, 0, 2, 3] = 17.5
    grey[9, 0, 0, 0] = -1
    message = (
        rf"{binarization}: expected intensities in \[0, 1\], got values from -1 to 17.5: 2 values "
        r"in 2 of 60 rows, the first in row 7 at position \(0, 2, 3\): 17.5; scale"
    )
    with pytest.raises(DataError, match=message):
        as_dataset(grey, binarization=binarization)
