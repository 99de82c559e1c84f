"""Each transform against its inverse, the determinant of its Jacobian, and Pyro's own."""

import pyro.distributions as dist
import pytest
import torch
from pyro.distributions import transforms
from pyro.distributions.transforms.planar import ConditionedPlanar
from torch.autograd import gradcheck
from torch.autograd.functional import jacobian

from pyro_vae.distributions.affine_autoregressive import AffineAutoregressive
from pyro_vae.distributions.flow import Flow
from pyro_vae.distributions.masked_networks import masked_networks
from pyro_vae.distributions.planar import Planar
from pyro_vae.distributions.spline_autoregressive import SplineAutoregressive
from pyro_vae.distributions.spline_autoregressive import spline_parameters as of_splines

M = 3


def double(*shape):
    return torch.randn(*shape, dtype=torch.double)


def network(parameters, context=0, size=M):
    return masked_networks(size, parameters, 8, 2, context)[1].double()


MAKERS = {
    "planar": lambda: Planar(double(1), 2 * double(M), 2 * double(M)),
    "planar, a batch": lambda: Planar(double(5, 1), 2 * double(5, M), 2 * double(5, M)),
    "planar, opposed": lambda: Planar(
        double(1), -9 * torch.ones(M).double(), torch.ones(M).double()
    ),
    "planar, no plane": lambda: Planar(double(1), double(M), torch.zeros(M).double()),
    "affine": lambda: AffineAutoregressive(network([1, 1])),
    "affine, a context": lambda: AffineAutoregressive(network([1, 1], 4), double(5, 4)),
    "spline": lambda: SplineAutoregressive(M, network(of_splines(6)), 6, 3.0),
    "spline, a context": lambda: SplineAutoregressive(
        M, network(of_splines(6), 4), 6, 3.0, double(5, 4)
    ),
}


@pytest.fixture(params=MAKERS)
def transform(request):
    return MAKERS[request.param]()


def test_the_inverse_inverts(transform):
    x = double(7, 5, M)
    y = transform(x).clone()  # which is in no cache
    back = transform.inv(y)
    assert back is not x
    assert torch.allclose(back, x, atol=1e-9)
    assert not torch.allclose(y, x, atol=1e-3)
    det = transform.log_abs_det_jacobian(back, y)
    assert torch.allclose(det, transform.log_abs_det_jacobian(x, transform(x)), atol=1e-8)


def test_the_determinant_is_that_of_the_jacobian(transform):
    x = double(5, M)
    det = transform.log_abs_det_jacobian(x, transform(x))
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


@pytest.mark.parametrize("kind", ["affine, a context", "spline, a context"])
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


def test_the_affine_transform_is_pyros():
    net = network([1, 1]).float()
    mine, theirs = AffineAutoregressive(net), transforms.AffineAutoregressive(net)
    x = torch.randn(5, M)
    y = mine(x)
    assert torch.equal(y, theirs(x))
    assert torch.allclose(mine.inv(y.clone()), theirs.inv(y.clone()), atol=1e-5)
    with pytest.raises(RuntimeError, match="dtype"):  # why there is one of our own
        transforms.AffineAutoregressive(net.double()).inv(double(5, M))


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


def test_a_spline_of_zeros_is_nearly_the_identity():
    net = network(of_splines(6))
    for parameter in net.parameters():
        parameter.data.zero_()
    x = double(100, M)
    assert torch.allclose(SplineAutoregressive(M, net, 6, 3.0)(x), x, atol=1e-3)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_networks_see_only_what_came_before(count):
    for index, net in enumerate(masked_networks(4, [1, 1], 16, count).double()):
        seen = jacobian(lambda x, net=net: torch.stack(net(x)), double(4)).ne(0).any(0)
        below = torch.ones(4, 4).tril(-1).bool()
        assert torch.equal(seen, below.mT if index % 2 else below)
