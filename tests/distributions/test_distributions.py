"""What Pyro expects of a distribution: shapes, expansion, validation; and how precise it is."""

import pytest
import torch
from scipy import integrate

from pyro_vae.distributions import (
    Categorical,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Levels,
    Multinomial,
    OrderedLogistic,
)
from tests.variants import Z_CRIT

MAKE = {
    "categorical": lambda: Categorical(logits=torch.randn(4, 3)),
    "continuous_bernoulli": lambda: ContinuousBernoulli(torch.randn(4)),
    "discretized_logistic": lambda: DiscretizedLogistic(torch.rand(4), torch.tensor(0.2), 5),
    "multinomial": lambda: Multinomial(
        torch.tensor([1.0, 0.0, 5.0, 9.0]), torch.randn(4, 2, 3), 2
    ),
    "ordered_logistic": lambda: OrderedLogistic(torch.randn(4), torch.tensor([-1.0, 0.5])),
}
OUTSIDE = {
    "categorical": 3.0,
    "continuous_bernoulli": 1.5,
    "discretized_logistic": 0.3,
    "multinomial": -1.0,
    "ordered_logistic": 3.0,
}


@pytest.fixture(params=MAKE)
def name(request):
    return request.param


def test_shapes_and_expansion(name):
    d = MAKE[name]()
    larger = d.expand(torch.Size([7, 4]))
    x = d.sample()
    assert larger.batch_shape == (7, 4)
    assert larger.sample(torch.Size([2])).shape == (2, 7, 4, *d.event_shape)
    assert torch.equal(larger.log_prob(x), d.log_prob(x).expand(7, 4))
    assert torch.equal(larger.mean, d.mean.expand(7, 4, *d.event_shape))
    assert type(larger) is type(d)


def test_values_outside_of_the_support_are_refused_while_pyro_validates(name):
    d = MAKE[name]()
    with pytest.raises(ValueError, match="to be within the support"):
        d.log_prob(torch.full_like(d.sample(), OUTSIDE[name]))


def test_draws_carry_no_gradient_except_where_they_can():
    logits = torch.randn(4, requires_grad=True)
    assert not DiscretizedLogistic(logits, torch.tensor(1.0)).sample().requires_grad
    assert not Multinomial(torch.tensor(5.0), logits).sample().requires_grad
    d = ContinuousBernoulli(logits)
    assert not d.sample().requires_grad
    assert d.rsample().requires_grad


def test_a_continuous_bernoullis_draws_move_with_its_mean():
    """The mean of the derivatives of the draws is the derivative of the mean."""
    for logit in (0.0, 1e-4, 0.3, -4.0):
        logits = torch.full((200_000,), logit, dtype=torch.double, requires_grad=True)
        d = ContinuousBernoulli(logits)
        (slope,) = torch.autograd.grad(d.rsample().sum(), logits)
        (expected,) = torch.autograd.grad(d.mean[0], logits)
        error = slope.mean() - expected[0]
        assert abs(error) < Z_CRIT * slope.std() / len(slope) ** 0.5


def test_a_continuous_bernoulli_learns_from_a_logit_of_zero():
    logits = torch.zeros(3, requires_grad=True)
    x = torch.tensor([0.0, 0.5, 1.0])
    ContinuousBernoulli(logits).log_prob(x).sum().backward()
    assert logits.grad.tolist() == [-0.5, 0.0, 0.5]


@pytest.mark.parametrize("logit", [1e-6, 0.05, 0.0999, 0.1001, 0.49, 0.51, 3.0, 40.0, -0.3])
def test_a_continuous_bernoullis_mean_is_its_integral(logit):
    d = ContinuousBernoulli(torch.tensor(logit, dtype=torch.double))

    def density(x):
        return d.log_prob(torch.tensor(x, dtype=torch.double)).exp().item()

    assert integrate.quad(density, 0, 1)[0] == pytest.approx(1, abs=1e-9)
    mean = integrate.quad(lambda x: x * density(x), 0, 1)[0]
    assert d.mean.item() == pytest.approx(mean, abs=1e-9)
    single = ContinuousBernoulli(torch.tensor(logit))
    x = torch.linspace(0, 1, 9)
    assert torch.allclose(single.log_prob(x).double(), d.log_prob(x.double()), atol=1e-5)
    assert single.mean.item() == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize("logit", [-40.0, -15.0, 0.0, 15.0, 40.0])
def test_a_continuous_bernoullis_draws_never_leave_the_interval(logit):
    draws = ContinuousBernoulli(torch.full((200_000,), logit)).sample()
    assert ((draws >= 0) & (draws <= 1)).all()


@pytest.mark.parametrize("levels", [2, 17, 256, 65536])
def test_levels(levels):
    constraint = Levels(levels)
    assert constraint.check(constraint.values()).all()
    between = (torch.arange(levels - 1) + 0.5) / (levels - 1)
    assert not constraint.check(between).any()
    assert not constraint.check(torch.tensor([-1.0, 1 + 1 / (levels - 1)])).any()
