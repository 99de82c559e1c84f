"""The mixture against torch's own, and its gradients against those of its exact moments."""

import math

import pyro.distributions as dist
import pytest
import torch

from pyro_vae.distributions.normal_mixture import NormalMixture
from tests.variants import Z_CRIT

DRAWS = 200_000


def parameters(size=2, batch=()):
    logits = torch.randn(*batch, 3, dtype=torch.double)
    loc, raw = torch.randn(2, *batch, 3, size, dtype=torch.double)
    return logits, loc, (0.3 * raw).exp()


def torchs(logits, loc, scale):
    modes = dist.Normal(loc, scale).to_event(1)
    return dist.MixtureSameFamily(dist.Categorical(logits=logits), modes)


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("batch", [(), (4,), (7, 4)])
def test_density_and_moments_are_torchs(size, batch):
    given = parameters(size, batch)
    mine, theirs = NormalMixture(*given), torchs(*given)
    z = torch.randn(6, *batch, size, dtype=torch.double)
    assert torch.allclose(mine.log_prob(z), theirs.log_prob(z), rtol=1e-10)
    assert torch.allclose(mine.mean, theirs.mean)
    assert torch.allclose(mine.variance, theirs.variance)


def test_expanded_draws_are_those_of_a_sample_shape():
    q = NormalMixture(*parameters(batch=(4,)))
    torch.manual_seed(0)
    one = q.rsample(torch.Size([7]))
    torch.manual_seed(0)
    assert torch.equal(q.expand(torch.Size([7, 4])).rsample(), one)


def moments(z):
    return torch.stack([z[..., 0], z[..., 1] ** 2, z[..., 0] * z[..., 1], z[..., 1] ** 3], -1)


def exact_moments(logits, loc, scale):
    first, second = loc.unbind(-1)
    each = [first, second**2 + scale[..., 1] ** 2, first * second,
            second**3 + 3 * second * scale[..., 1] ** 2]  # fmt: skip
    return (torch.stack(each, -1) * logits.softmax(-1).unsqueeze(-1)).sum(-2)


def test_draws_have_the_moments():
    given = parameters()
    drawn = moments(NormalMixture(*given).sample(torch.Size([DRAWS])))
    z = (drawn.mean(0) - exact_moments(*given)) / (drawn.std(0) / math.sqrt(DRAWS))
    assert z.abs().max() < Z_CRIT


def gradients_of_draws(given, change):
    """d(moments)/d(change) of each draw, by the draws' own gradients: ``(DRAWS, 4, size)``."""
    size = change.numel()
    flat = change.expand(DRAWS, size).clone().requires_grad_()
    logits, loc, scale = given
    moved = NormalMixture(
        logits + flat[:, :3], loc + flat[:, 3:9].reshape(-1, 3, 2),
        scale + flat[:, 9:].reshape(-1, 3, 2),
    )  # fmt: skip
    values = moments(moved.rsample())
    rows = [torch.autograd.grad(v.sum(), flat, retain_graph=True)[0] for v in values.unbind(-1)]
    return torch.stack(rows, 1)


def test_gradients_are_those_of_the_moments():
    given, change = parameters(), torch.zeros(15, dtype=torch.double, requires_grad=True)
    logits, loc, scale = given
    exact = torch.autograd.functional.jacobian(
        lambda c: exact_moments(
            logits + c[:3], loc + c[3:9].reshape(3, 2), scale + c[9:].reshape(3, 2)
        ),
        change,
    )
    drawn = gradients_of_draws(given, change.detach())
    stderr = drawn.std(0) / math.sqrt(DRAWS)
    z = (drawn.mean(0) - exact) / stderr.clamp(min=1e-12)
    assert z.abs().max() < Z_CRIT
    wrong = (drawn.mean(0) - 0.5 * exact) / stderr.clamp(min=1e-12)
    assert wrong.abs().max() > Z_CRIT


def test_one_component_has_the_gradient_of_a_normal():
    loc, scale = torch.randn(2, dtype=torch.double), torch.rand(2, dtype=torch.double) + 0.5
    given = [t.requires_grad_() for t in (loc, scale)]
    q = NormalMixture(torch.zeros(1).double(), loc.unsqueeze(0), scale.unsqueeze(0))
    z = q.rsample()
    ours = torch.autograd.grad(z.sum(), given)
    assert torch.allclose(ours[0], torch.ones(2).double())
    assert torch.allclose(ours[1], ((z - loc) / scale).detach())


def test_means_that_coincide_have_a_gradient():
    given = [torch.zeros(4).requires_grad_(), torch.zeros(4, 3).requires_grad_(), torch.ones(4, 3)]
    z = NormalMixture(*given).rsample(torch.Size([50]))
    for gradient in torch.autograd.grad(z.sum(), given[:2]):
        assert gradient.isfinite().all()
    pyros = dist.MixtureOfDiagNormals(given[1], given[2], given[0]).rsample()
    assert torch.autograd.grad(pyros.sum(), given[0])[0].isnan().any()  # why it is not used


def test_modes_far_apart_have_a_finite_gradient():
    loc = torch.tensor([[-1e4, 0.0], [1e4, 0.0]], requires_grad=True)
    logits = torch.zeros(2, requires_grad=True)
    z = NormalMixture(logits, loc, torch.full((2, 2), 1e-3)).rsample(torch.Size([50]))
    for gradient in torch.autograd.grad(z.sum(), (loc, logits)):
        assert gradient.isfinite().all()
