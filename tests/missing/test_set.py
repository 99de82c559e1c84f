"""The encoder that sees the values that are there as a set."""

import math

import pytest
import torch
from torch import nn

from pyro_vae import VAE, audit_elbo, evaluate, fit, load, save
from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.networks.encoder_input import SetOfEntries
from tests.missing.common import with_gaps
from tests.small_models import NET, stirred

QUIET = {"show_progress": False}
TABLE = {
    "kind": "columns",
    "columns": {"0": {"kind": "categorical", "categories": 3}, "1": "poisson", "*": "gaussian"},
}


def small(**parts):
    torch.manual_seed(0)
    parts = {"likelihood": "gaussian", "decoder": NET, "encoder": NET} | parts
    return VAE((5,), 2, missing="set", **parts)


def test_the_sum_is_over_what_is_seen():
    entries = SetOfEntries(4).double()
    x = torch.tensor([[1.5, math.nan, -2.0, math.nan]]).double()
    each = [(entries.slope[d] * x[0, d] + entries.intercept[d]).relu() for d in (0, 2)]
    torch.testing.assert_close(entries(x)[0], sum(each) / 2)


def test_columns_may_be_permuted_with_their_embeddings():
    vae, order = small().double(), torch.tensor([3, 0, 4, 1, 2])
    x = with_gaps(torch.randn(20, 5).double())
    other = vae.swap().double()
    other.load_state_dict(vae.state_dict())
    for name in ("slope", "intercept"):
        weight = getattr(other.encoder.entries, name)
        weight.data.copy_(weight[order])
    moved, q = other.encode(x[:, order]), vae.encode(x)
    torch.testing.assert_close(moved.mean, q.mean)
    assert not torch.allclose(vae.encode(x[:, order]).mean, q.mean)


def test_what_is_missing_has_no_part_in_it():
    """A datum's code is that of a model which lacks the columns that the datum misses."""
    vae = small().double()
    x = torch.tensor([[0.3, math.nan, -1.2, math.nan, 0.8]]).double()
    less = SetOfEntries(3).double()
    kept = ~x[0].isnan()
    for name in ("slope", "intercept"):
        getattr(less, name).data.copy_(getattr(vae.encoder.entries, name)[kept])
    scaled = less(x[:, kept]) * math.sqrt(3 / 5)
    torch.testing.assert_close(vae.encoder.entries(x), scaled)
    gradient = torch.autograd.grad(vae.encode(x).mean.sum(), vae.encoder.entries.slope)[0]
    assert (gradient[~kept] == 0).all()
    assert gradient.isfinite().all()


def test_a_missing_category_is_in_none_of_the_set():
    vae = small(likelihood=TABLE)
    x = torch.tensor([[math.nan, 2.0, 0.1, math.nan, 0.4]])
    vae.encode(x).mean.sum().backward()
    gradient = vae.encoder.entries.slope.grad.abs().sum(1)
    assert vae.encoder.entries.slope.shape[0] == 7
    assert gradient[:3].sum() == 0
    assert (gradient[[3, 4, 6]] > 0).all()


@pytest.mark.parametrize("encoder", [NET, nn.Linear(128, 4)])
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4)])
def test_it_takes_data_of_any_shape(shape, encoder):
    vae = VAE(shape, 2, missing="set", encoder=encoder)
    assert vae.encode(torch.full((3, *shape), math.nan)).mean.isfinite().all()
    assert vae.encode(with_gaps(torch.randn(6, *shape))).batch_shape == (6,)


def test_it_trains_is_saved_and_passes_the_audit(tmp_path):
    vae = small(likelihood=TABLE)
    x = with_gaps(stirred(small(likelihood=TABLE)).generate(200, sample=True))
    first = evaluate(vae, x, show_progress=False).elbo.value
    before = vae.encoder.entries.slope.detach().clone()
    fit(vae, x, epochs=15, lr=1e-2, **QUIET)
    assert evaluate(vae, x, show_progress=False).elbo.value > first + 0.2
    assert not torch.equal(vae.encoder.entries.slope, before)
    again = load(save(vae, tmp_path / "model"))
    assert torch.equal(again.encode(x).mean, vae.encode(x).mean)
    assert audit_elbo(vae, x[:8], particles=200, gradients=10).passed


def test_a_unit_of_the_data_does_not_matter():
    x = with_gaps(torch.randn(50, 5))
    one, other = small(), small()
    one.initialize(x)
    other.initialize(1e4 * x)
    torch.testing.assert_close(other.encode(1e4 * x).mean, one.encode(x).mean)


@pytest.mark.parametrize("what", ["log1p", "standardize"])
def test_another_input_is_refused(what):
    with pytest.raises(IncompatibleComponents, match=r"must be none where .*missing: set"):
        small(encoder=NET | {"input": what})


def test_a_picture_network_is_refused():
    with pytest.raises(IncompatibleComponents):
        VAE((1, 8, 8), 2, encoder="conv", missing="set")
