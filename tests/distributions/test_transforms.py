"""Each transform against its inverse and the determinant of its Jacobian; flows of them."""

from functools import partial

import pyro.distributions as dist
import pytest
import torch
from pyro.distributions.transforms.planar import ConditionedPlanar
from torch.autograd import gradcheck
from torch.autograd.functional import jacobian
from zuko.transforms import AdditiveTransform

from pyro_vae.core.errors import DeclarationError
from pyro_vae.distributions.autoregressive import autoregressive_steps, spline
from pyro_vae.distributions.flow import Flow
from pyro_vae.distributions.planar import Planar

M = 3


def double(*shape):
    return torch.randn(*shape, dtype=torch.double)


def step(context=0, **kwargs):
    lazy = autoregressive_steps("maf", M, 2, 8, context, **kwargs)[1].double()
    return lazy(double(5, context)) if context else lazy()


SPLINES = spline(bins=6, bound=3.0)
MAKERS = {
    "planar": lambda: Planar(double(1), 2 * double(M), 2 * double(M)),
    "planar, a batch": lambda: Planar(double(5, 1), 2 * double(5, M), 2 * double(5, M)),
    "planar, opposed": lambda: Planar(
        double(1), -9 * torch.ones(M).double(), torch.ones(M).double()
    ),
    "planar, no plane": lambda: Planar(double(1), double(M), torch.zeros(M).double()),
    "affine": step,
    "affine, a context": lambda: step(4),
    "coupling": partial(step, coupling=True),
    "coupling, a context": lambda: step(4, coupling=True),
    "additive": partial(step, univariate=AdditiveTransform, shapes=[()]),
    "spline": partial(step, **SPLINES),
    "spline, a context": lambda: step(4, **SPLINES),
}


@pytest.fixture(params=MAKERS)
def transform(request):
    return MAKERS[request.param]()


def test_the_inverse_inverts(transform):
    x = double(7, 5, M)
    y = transform(x).clone()  # which is in no cache
    back, det = transform.inv.call_and_ladj(y)
    assert back is not x
    assert torch.allclose(back, x, atol=1e-9)
    assert not torch.allclose(y, x, atol=1e-3)
    assert torch.allclose(-det, transform.call_and_ladj(x)[1], atol=1e-8)


def test_the_determinant_is_that_of_the_jacobian(transform):
    x = double(5, M)
    _, det = transform.call_and_ladj(x)
    whole = jacobian(transform._call, x)  # (5, M, 5, M)
    rows = torch.stack([whole[i, :, i] for i in range(5)])
    assert torch.allclose(det, torch.linalg.slogdet(rows).logabsdet, atol=1e-9)
    assert not det.any() or not torch.allclose(-det, torch.linalg.slogdet(rows).logabsdet)


def test_a_flow_scores_any_value_with_its_gradient():
    def score(bias, u, w, value):
        base = dist.Normal(torch.zeros(M).double(), 1.0).to_event(1)
        return Flow(base, [Planar(bias, u, w), Planar(bias, w, u)]).log_prob(value)

    given = [t.requires_grad_() for t in (double(4, 1), double(4, M), double(4, M), double(4, M))]
    assert gradcheck(score, given)


@pytest.mark.parametrize("kind", ["affine, a context", "coupling, a context", "spline, a context"])
def test_an_autoregressive_flow_scores_any_value_with_its_gradient(kind):
    flow = Flow(dist.Normal(torch.zeros(M).double(), 1.0).to_event(1), [MAKERS[kind]()])
    assert gradcheck(lambda value: flow.log_prob(value.clone()), double(5, M).requires_grad_())


def gradient_of_a_draws_score(cls):
    """By automatic differentiation, and by differences at the very same value."""
    u, w, bias = double(M), double(M), double(1)

    def flow(shift):
        base = dist.Normal(torch.zeros(M).double(), 1.0).to_event(1)
        return cls(base, [Planar(bias, u + shift, w)])

    shift = torch.zeros(M).double().requires_grad_()
    q = flow(shift)
    z = q.sample(torch.Size([4]))
    score = q.log_prob(z).sum() + 0 * shift.sum()
    ours = torch.autograd.grad(score, shift)[0]
    steps = 1e-6 * torch.eye(M).double()
    differences = [
        (flow(step).log_prob(z.clone()) - flow(-step).log_prob(z.clone())).sum() / 2e-6
        for step in steps
    ]
    return ours, torch.stack(differences)


def test_the_score_of_a_draw_without_gradient_has_the_right_gradient():
    ours, expected = gradient_of_a_draws_score(Flow)
    assert torch.allclose(ours, expected, rtol=1e-5)


def test_pyros_own_would_leave_the_inverse_out():
    ours, expected = gradient_of_a_draws_score(dist.TransformedDistribution)
    assert not torch.allclose(ours, expected, rtol=1e-2)


def test_a_flow_scores_its_own_draw_without_an_inverse_and_any_copy_of_it_alike():
    flow = Flow(dist.Normal(torch.zeros(M).double(), 1.0).to_event(1), [step(), step().inv])
    z = flow.rsample(torch.Size([4]))
    assert flow.log_prob(z) is flow._drawn[1]
    assert torch.allclose(flow.log_prob(z), flow.log_prob(z.clone()))
    assert not torch.allclose(flow.log_prob(z), flow.log_prob(flow.rsample(torch.Size([4]))))
    whole = flow.expand(torch.Size([4]))
    assert torch.allclose(whole.log_prob(z[0]), flow.log_prob(z[0].clone()).expand(4))


def test_the_planar_transform_stays_invertible():
    u, w = 10 * double(1000, M), 10 * double(1000, M)
    planar = Planar(double(1000, 1), u, w)
    along = (planar.u_hat(u, w) * w).sum(-1)
    assert along.min() > -1
    assert ((u * w).sum(-1) < -1).any()
    positive = (u * w).sum(-1) > 30
    assert torch.allclose(along[positive], (u * w).sum(-1)[positive], rtol=0.05)


def test_a_vanishing_plane_moves_nothing_far():
    u, w = double(M), 1e-5 * double(M)
    assert torch.allclose(Planar(double(1), u, w).u_hat(u, w), u, atol=5 * u.norm().item())
    pyros = ConditionedPlanar((double(1), u, w)).u_hat(u, w)
    assert pyros.norm() > 1000  # where the paper's form sends it


@pytest.mark.parametrize("kwargs", [{}, SPLINES, {"coupling": True}])
@pytest.mark.parametrize("size", [1, M])
def test_a_network_of_zeros_makes_the_identity(kwargs, size):
    (of_zeros,) = autoregressive_steps("maf", size, 1, 8, **kwargs).double()
    for parameter in of_zeros.parameters():
        parameter.data.zero_()
    x = double(100, size)
    assert torch.allclose(of_zeros()(x), x)


def test_without_a_network_a_step_begins_at_the_identity():
    x = double(100, 1)
    assert torch.equal(autoregressive_steps("maf", 1, 1).double()[0]()(x), x)


def test_a_scale_is_bounded_whatever_the_network_puts_out():
    (bounded,) = autoregressive_steps("maf", M, 1)
    for parameter in bounded.parameters():
        parameter.data.fill_(-1e6)
    scales = bounded()(torch.ones(M)) - bounded()(torch.zeros(M))
    assert scales.isfinite().all()
    assert (bounded().call_and_ladj(torch.ones(M))[1] / M).exp() > 0.99e-3


@pytest.mark.parametrize("coupling", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_networks_see_only_what_came_before(count, coupling):
    for index, net in enumerate(
        autoregressive_steps("maf", 4, count, 16, coupling=coupling).double()
    ):
        seen = jacobian(lambda x, net=net: net.hyper(x).unflatten(-1, (4, 2)), double(4))
        rank = torch.arange(4) // (2 if coupling else 1)
        rank = rank.flip(0) if index % 2 else rank
        below = rank[:, None] > rank
        assert torch.equal(seen.ne(0).any(1), below)


def test_a_hidden_layer_that_is_too_narrow_is_refused():
    with pytest.raises(DeclarationError, match=r"maf\.hidden: must be >= latent_dim \(4\), got 3"):
        autoregressive_steps("maf", 4, 1, 3)
