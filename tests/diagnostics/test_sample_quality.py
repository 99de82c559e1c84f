"""Precision, recall and Frechet distance: against closed forms, and where they must be 0 or 1."""

import json
import math

import numpy as np
import pytest
import torch
from scipy import linalg
from torch import nn

from pyro_vae import VAE, as_dataset, load_data, sample_quality
from pyro_vae.core.errors import DataError
from pyro_vae.diagnostics.sample_quality import closeness
from tests.variants import small_vae


def drawn(count, size, seed=0):
    return torch.randn(
        count, size, dtype=torch.double, generator=torch.Generator().manual_seed(seed)
    )


def with_moments(x, mean, root):
    """The same data moved and stretched to a mean and a covariance, exactly."""
    x = x - x.mean(0)
    white = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.mT))).mT
    return white @ root.mT + mean


def test_the_frechet_distance_of_two_normals_is_that_of_scipys_matrix_root():
    roots, means = drawn(8, 4, 1).reshape(2, 4, 4), drawn(2, 4, 2)
    a, b = (with_moments(drawn(50, 4, i), means[i], roots[i]) for i in range(2))
    first, second = (np.asarray(root @ root.mT) for root in roots)
    crossed = linalg.sqrtm(first @ second).real
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(first + second - 2 * crossed)
    assert closeness(a, b).frechet == pytest.approx(expected.item(), rel=1e-6)
    assert closeness(b, a).frechet == pytest.approx(expected.item(), rel=1e-6)
    assert closeness(a, a).frechet == pytest.approx(0, abs=1e-6)


def test_the_frechet_distance_of_diagonal_normals_is_that_of_their_scales():
    scales, means = torch.tensor([[1.0, 2.0], [3.0, 0.5]]).double(), torch.zeros(2).double()
    a, b = (with_moments(drawn(50, 2, i), means + i, scales[i].diag()) for i in range(2))
    assert closeness(a, b).frechet == pytest.approx(2 + 2.0**2 + 1.5**2, rel=1e-9)


def test_more_features_than_data_have_a_distance():
    a = drawn(10, 30)
    assert closeness(a, a + 1).frechet == pytest.approx(30, rel=1e-6)


def test_precision_and_recall_of_one_distribution_are_near_one():
    """On a circle a datum lies among others unless the gap that it falls into is a wide one."""
    angles = 2 * math.pi * torch.rand(2, 2000, dtype=torch.double, generator=torch.manual_seed(0))
    a, b = (torch.stack([t.cos(), t.sin()], 1) for t in angles)
    found = closeness(a, b, neighbours=3)
    assert found.precision.value > 0.97
    assert found.recall.value > 0.97


def test_disjoint_sets_have_neither_precision_nor_recall():
    found = closeness(drawn(50, 3), drawn(50, 3, 1) + 100)
    assert (found.precision.value, found.recall.value) == (0, 0)


def test_a_part_of_the_data_is_precise_and_covers_that_part():
    whole = torch.cat([drawn(100, 2), drawn(300, 2, 1) + 100])
    found = closeness(drawn(100, 2), whole)  # the very data of the first cluster
    assert (found.precision.value, found.recall.value) == (1, 0.25)
    assert found.recall.stderr == pytest.approx(math.sqrt(0.25 * 0.75 / 399))


def test_radii_reach_to_the_neighbour_that_is_asked_for():
    """Points 0, 1, 3, 7: the second neighbours are at 3, 2, 3, 6."""
    line = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    places = torch.tensor([[-3.0], [-3.1], [13.0], [13.1]])
    assert closeness(places, line, neighbours=2).precision.value == 0.5
    assert closeness(places, line, neighbours=1).precision.value == 0.0
    assert closeness(places, line, neighbours=3).precision.value == 1.0


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def test_training_data_are_nearer_than_an_untrained_models_samples(digits):
    vae = VAE(digits.event_shape, latent_dim=2)
    found = sample_quality(vae, digits, count=200, steps=200)
    again = sample_quality(vae, digits, count=200, steps=200)
    assert found.to_dict() == again.to_dict()
    assert found.accuracy > 0.5
    assert found.training.precision.value > 0.5 > found.samples.recall.value
    assert found.training.frechet < found.samples.frechet / 10
    json.dumps(found.to_dict(), allow_nan=False)
    assert "Sample quality" in str(found)
    other = sample_quality(vae, digits, count=200, features=found.features)
    assert other.accuracy is None
    assert other.training == found.training


def test_samples_of_binary_data_are_draws():
    seen = []

    def features(x):
        seen.append(x)
        return x

    x = torch.bernoulli(torch.full((60, 3), 0.5))
    sample_quality(small_vae(likelihood="bernoulli"), x, features=features)
    assert set(seen[0].unique().tolist()) == {0.0, 1.0}
    sample_quality(small_vae(likelihood="bernoulli"), x, features=features, sample=False)
    assert len(seen[3].unique()) > 2


def test_a_model_with_a_condition_is_given_the_splits():
    c = torch.arange(60).float() % 2
    x = 10 * c[:, None] + torch.randn(60, 3)
    vae = small_vae(condition={"kind": "classes", "count": 2})
    found = sample_quality(vae, as_dataset(x, condition=c.long()), features=nn.Identity())
    assert found.count == 12


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "expected labels, .* give features"),
        ({"features": nn.Identity(), "count": 3}, "count: expected at least 4"),
        ({"features": nn.Identity(), "count": 30}, "expected 1 to 12"),
        ({"features": nn.Identity(), "neighbours": 0}, "neighbours: expected at least 1"),
        ({"features": lambda x: x[:, 0]}, r"expected shape \(12, F\), got \(12,\)"),
        ({"features": lambda x: x / 0}, "expected finite numbers"),
    ],
)
def test_bad_requests_are_refused(given, message):
    with pytest.raises(DataError, match=message):
        sample_quality(small_vae(), torch.randn(60, 3), **given)
