"""Supports are compared by what they say."""

import pyro.distributions as dist
import pytest
import torch
from pyro.distributions import constraints

from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.core.supports import check_supports, same_support

REAL = dist.Normal(torch.zeros(3), 1.0).to_event(1)
SAME = [
    dist.MultivariateNormal(torch.zeros(3), torch.eye(3)),
    dist.MixtureSameFamily(
        dist.Categorical(logits=torch.zeros(2)), dist.Normal(torch.zeros(2, 3), 1.0).to_event(1)
    ),
    dist.TransformedDistribution(REAL, [dist.transforms.AffineTransform(0.0, 2.0, event_dim=1)]),
    dist.StudentT(torch.ones(3)).to_event(1),
]
OTHERS = {
    "simplex": dist.Dirichlet(torch.ones(3)),
    "greaterthan from 0.0": dist.LogNormal(torch.zeros(3), 1.0).to_event(1),
    "interval from 0.0 to 1.0": dist.Uniform(torch.zeros(3), torch.ones(3)).to_event(1),
}


@pytest.mark.parametrize("q", SAME, ids=lambda q: type(q).__name__)
def test_real_vectors_are_alike_whatever_makes_them(q):
    check_supports(q, REAL)
    check_supports(REAL, q)


@pytest.mark.parametrize("name", OTHERS)
def test_others_are_refused_by_name(name):
    with pytest.raises(IncompatibleComponents, match=f"prior .real., got .* another .{name}"):
        check_supports(OTHERS[name], REAL)
    with pytest.raises(IncompatibleComponents):
        check_supports(REAL, OTHERS[name])


def test_bounds_count():
    assert same_support(constraints.interval(0, 1), constraints.unit_interval)
    assert not same_support(constraints.interval(0, 2), constraints.unit_interval)
    bounds = torch.zeros(3), torch.tensor([1.0, 2.0, 1.0])
    assert same_support(constraints.interval(*bounds), constraints.interval(*bounds))


def test_what_does_not_say_is_let_through():
    class Silent(dist.TorchDistribution):
        """A distribution without a support."""

        arg_constraints = {}  # noqa: RUF012

    check_supports(Silent(), REAL)
