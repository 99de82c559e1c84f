"""The KL's parts: against integrals on a grid, and summing to the KL."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch.distributions import Normal

from pyro_vae import kl_decomposition
from pyro_vae.core.errors import DataError, PyroVAEError
from tests.small_models import stirred
from tests.variants import COVERING, handed_over, small_vae

Z = 4.42


def z_of(score, expected):
    return abs(score.value - expected) / score.stderr


def on_a_grid(vae, x):
    """Every part by the trapezoidal rule in two dimensions, in double precision."""
    q, p = vae.encode(x).base_dist, vae.prior().base_dist
    lines = torch.linspace(-8, 8, 801, dtype=torch.float64)
    step = (lines[1] - lines[0]).item()
    each = Normal(q.loc.unsqueeze(-1), q.scale.unsqueeze(-1)).log_prob(lines).exp()  # (N, 2, G)
    joint = torch.einsum("ni,nj->ij", each[:, 0], each[:, 1]) / len(x)
    marginal = each.mean(0)  # (2, G)
    prior = Normal(p.loc.unsqueeze(-1), p.scale.unsqueeze(-1)).log_prob(lines)
    log_joint = joint.clamp(min=1e-300).log()
    log_marginal = marginal.clamp(min=1e-300).log()
    correlation = (
        joint * (log_joint - log_marginal[0, :, None] - log_marginal[1])
    ).sum() * step**2
    own = (each * each.clamp(min=1e-300).log()).sum((1, 2)).mean() * step
    information = own - (joint * log_joint).sum() * step**2
    dimensions = (marginal * (log_marginal - prior)).sum(1) * step
    return information.item(), correlation.item(), dimensions


def model():
    vae = stirred(small_vae(prior="diagonal_normal")).double().eval()
    with torch.no_grad():  # codes that lie apart, along a diagonal
        vae.encoder.layers[-1].weight[:2] *= 4
        vae.encoder.layers[-1].bias[2:] -= 1
    return vae


@pytest.fixture
def data():
    return torch.randn(7, 3, generator=torch.Generator().manual_seed(1)).double()


def test_parts_are_those_of_the_integrals(data):
    vae = model()
    parts = kl_decomposition(vae, data, draws=4000)
    with torch.no_grad():
        information, correlation, dimensions = on_a_grid(vae, data)
    assert min(information, correlation, dimensions.min()) > 0.05
    assert z_of(parts.mutual_information, information) < Z
    assert z_of(parts.total_correlation, correlation) < Z
    assert z_of(parts.dimension_wise_kl, dimensions.sum().item()) < Z
    assert z_of(parts.marginal_kl, correlation + dimensions.sum().item()) < Z
    assert torch.allclose(parts.per_dimension, dimensions, atol=0.05)
    assert z_of(parts.kl, parts.closed_form) < Z
    # planted mistakes: another part in its place, and a mean in place of the mixture
    assert z_of(parts.total_correlation, information) > Z
    assert z_of(parts.mutual_information, parts.closed_form) > Z


@pytest.mark.parametrize("declared", COVERING[::3])
def test_parts_sum_to_the_kl_for_every_model(declared):
    vae = stirred(small_vae(**declared))
    x = handed_over(vae, vae.generate(9, sample=True))
    parts = kl_decomposition(vae, x, draws=40)
    whole = parts.mutual_information.value + parts.marginal_kl.value
    assert whole == pytest.approx(parts.kl.value, rel=1e-4, abs=1e-4)
    assert parts.mutual_information.value <= math.log(9) + 1e-4
    if parts.dimension_wise_kl is not None:
        inner = parts.total_correlation.value + parts.dimension_wise_kl.value
        assert inner == pytest.approx(parts.marginal_kl.value, rel=1e-4, abs=1e-4)
        assert parts.missing == ""
    else:
        assert "no independent dimensions" in parts.missing
        assert "—" in str(parts)
    if parts.closed_form is not None:
        assert z_of(parts.kl, parts.closed_form) < 6  # of 40 draws


def test_a_minibatch_overestimates_the_mutual_information(data):
    """Jensen: the logarithm of an unbiased density is too low on average."""
    vae = model()
    x = torch.randn(60, 3).double()
    whole = kl_decomposition(vae, x, draws=1000)
    for size in (5, 20):
        part = kl_decomposition(vae, x, draws=1000, batch_size=size)
        gap = part.mutual_information.value - whole.mutual_information.value
        assert gap > Z * math.hypot(
            part.mutual_information.stderr, whole.mutual_information.stderr
        )
        assert part.kl.value == pytest.approx(whole.kl.value, abs=6 * whole.kl.stderr)
        assert f"from {size} or more of 60 data" in str(part)
    assert "log N = 4.09" in str(whole)


def test_a_batch_of_everything_is_the_whole_sum(data):
    one, two = (kl_decomposition(model_, data, batch_size=size)
                for model_ in [model()] for size in (None, 5))  # fmt: skip
    assert one.mutual_information.value == pytest.approx(two.mutual_information.value, rel=1e-9)


def test_the_density_of_a_minibatch_is_unbiased(data):
    from pyro_vae.diagnostics.kl_decomposition import _log_aggregate

    vae = model()
    with torch.no_grad():
        q = vae.encode(data)
        z = q.sample()
        exact, _ = _log_aggregate(q, z, 7)
        drawn = torch.stack([_log_aggregate(q, z, 3)[0].exp() for _ in range(3000)])
    assert torch.allclose(exact.exp(), q.log_prob(z.unsqueeze(1)).exp().mean(1), rtol=1e-9)
    # batches of 4 and 3 data: each other datum is in one's batch as often as any
    stderr = drawn.std(0) / math.sqrt(len(drawn))
    assert ((drawn.mean(0) - exact.exp()).abs() < Z * stderr + 1e-12).all()


def test_collapse_has_no_mutual_information(data):
    vae = model()
    with torch.no_grad():
        vae.encoder.layers[-1].weight.zero_()
    parts = kl_decomposition(vae, data)
    assert parts.mutual_information.value == pytest.approx(0, abs=1e-9)
    assert parts.total_correlation.value == pytest.approx(0, abs=1e-9)


def test_the_model_and_the_generators_are_left_as_they_were(data):
    vae = model().train()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one = kl_decomposition(vae, data, seed=3)
    assert torch.equal(torch.rand(1), expected)
    assert vae.training
    assert one.to_dict() == kl_decomposition(vae, data, seed=3).to_dict()
    assert one.to_dict() != kl_decomposition(vae, data, seed=4).to_dict()
    assert json.loads(json.dumps(one.to_dict()))["kl"]["unit"] == "nats per datum"
    assert one._repr_html_().count("<tr>") == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 1}, "draws: expected at least 2, got 1"),
        ({"batch_size": 1}, "batch_size: expected 2 to 7.*got 1"),
        ({"batch_size": 8}, "batch_size: .* 7, the number of data, got 8"),
    ],
)
def test_what_is_out_of_range_is_refused(options, message, data):
    with pytest.raises(DataError, match=message):
        kl_decomposition(model(), data, **options)


def test_unfit_data_are_refused(data):
    with pytest.raises(DataError, match="x: expected at least 2, got 1"):
        kl_decomposition(model(), data[:1])
    with pytest.raises(PyroVAEError, match=r"shape \(N, 3\)"):
        kl_decomposition(model(), torch.zeros(5, 4))
