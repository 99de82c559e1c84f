import pytest
import torch
from torch.distributions import constraints

from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.data import as_dataset, check_support
from pyro_vae.likelihoods.bernoulli import Bernoulli
from pyro_vae.likelihoods.gaussian import Gaussian
from tests.variants import small_vae


@pytest.fixture
def bernoulli():
    return Bernoulli(event_shape=(2, 2))


def supporting(constraint):
    """A likelihood with another support."""
    likelihood = Bernoulli(event_shape=(2, 2))
    likelihood.support = constraint
    return likelihood


def test_data_within_the_support_pass(bernoulli):
    ones = torch.ones(10, 2, 2)
    check_support(bernoulli, as_dataset(ones))
    check_support(Gaussian(event_shape=(2, 2)), as_dataset(ones * -3.5))
    check_support(supporting(constraints.nonnegative_integer), as_dataset(ones * 7))
    check_support(supporting(constraints.dependent), as_dataset(ones * 7))


@pytest.mark.parametrize("binarization", ["threshold", "static", "dynamic"])
def test_grey_pixels_pass_once_they_become_binary(bernoulli, binarization):
    check_support(bernoulli, as_dataset(torch.full((20, 2, 2), 0.4), binarization=binarization))


def test_grey_pixels_under_a_bernoulli_are_refused_with_place_and_remedy(bernoulli):
    x = torch.zeros(20, 2, 2)
    rows = as_dataset(x).test.rows
    x[rows[2], 1, 0] = 0.25
    x[rows[2], 1, 1] = 0.5
    x[rows[3], 0, 0] = 0.75
    with pytest.raises(IncompatibleComponents) as caught:
        check_support(bernoulli, as_dataset(x, name="grey"))
    message = str(caught.value)
    assert message.startswith("bernoulli: expected data of 0 or 1, got others in grey [sha256 ")
    assert (
        f"test: 3 values in 2 of 4 rows, the first in row 2 at position (1, 0): 0.25 "
        f"(row {rows[2]} as it was read)"
    ) in message
    assert "data.binarization: dynamic" in message
    assert "train:" not in message


def test_every_split_that_does_not_fit_is_named(bernoulli):
    with pytest.raises(IncompatibleComponents, match=r"(?s)train: .*validation: .*test: "):
        check_support(bernoulli, as_dataset(torch.full((20, 2, 2), 0.4)))


def test_a_dynamic_split_is_judged_by_both_of_its_outcomes():
    data = as_dataset(torch.full((20, 2, 2), 0.4), binarization="dynamic")
    for constraint in (constraints.positive, constraints.less_than(1.0)):
        with pytest.raises(IncompatibleComponents, match="train: 56 values in 14 of 14 rows"):
            check_support(supporting(constraint), data)


def test_a_support_of_whole_vectors_shows_the_vector():
    data = as_dataset(torch.full((20, 2, 2), 0.25))
    with pytest.raises(IncompatibleComponents, match=r"row 0 at position \(0,\): \[0.25, 0.25\]"):
        check_support(supporting(constraints.simplex), data)


@pytest.mark.parametrize(
    ("likelihood", "expected", "remedy"),
    [
        ({"kind": "categorical", "categories": 3}, "whole numbers from 0 to 2", "categories"),
        ({"kind": "discretized_logistic", "levels": 3}, "3 equally spaced levels", "levels"),
        ("continuous_bernoulli", r"numbers in \[0, 1\]", r"scale the data to \[0, 1\]"),
        ("multinomial", "whole numbers from 0", "neither scaled nor normalized"),
        ("poisson", "whole numbers from 0", "neither scaled nor normalized"),
        ("negative_binomial", "whole numbers from 0", "neither scaled nor normalized"),
    ],
)
def test_each_support_is_said_in_words_and_with_a_remedy(likelihood, expected, remedy):
    built = small_vae(event_shape=(2, 2), likelihood=likelihood).likelihood
    with pytest.raises(IncompatibleComponents, match=f"(?s)expected data of {expected}.*{remedy}"):
        check_support(built, as_dataset(torch.full((20, 2, 2), -0.25)))
