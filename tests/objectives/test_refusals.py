"""Programs for which an exact KL has no meaning, and losses that are no numbers."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI
from torch import nn

from pyro_vae.core.errors import IncompatibleComponents, NonFiniteLoss
from pyro_vae.objectives.pyro_elbos import Trace_ELBO, TraceExactKL_ELBO
from tests.variants import small_vae

MASK = torch.tensor([True, True, False, True])


def normal(name, loc=0.0, **options):
    return pyro.sample(name, dist.Normal(torch.full((2,), loc), 1.0).to_event(1), **options)


def model(first="a", second="b"):
    with pyro.plate("data", 4):
        normal(first)
        normal("x", obs=torch.zeros(4, 2)) if second is None else normal(second)


def guide():
    with pyro.plate("data", 4):
        normal("a", 1.0)
        normal("b", 2.0)


def with_auxiliary():
    with pyro.plate("data", 4):
        normal("u", infer={"is_auxiliary": True})
        normal("a", 1.0)
        normal("b", 2.0)


def not_reparameterized():
    with pyro.plate("data", 4):
        normal("a", 1.0)
        pyro.sample("b", dist.Poisson(torch.ones(2)).to_event(1))


REFUSED = {
    "another order": (lambda: model("b", "a"), guide, r"same order, got \['b', 'a'\] and \['a', "),
    "a missing site": (lambda: model("a", None), guide, r"got \['a'\] and \['a', 'b'\]"),
    "an auxiliary site": (model, with_auxiliary, r"got \['a', 'b'\] and \['u', 'a', 'b'\]"),
    "no rsample": (model, not_reparameterized, "'b': expected a reparameterized guide"),
    "a scale": (model, poutine.scale(guide, scale=2.0), "'a': expected one scale and one mask"),
    "a tensor as scale": (model, poutine.scale(guide, scale=torch.tensor(2.0)), "one scale"),
    "a scale in the model": (poutine.scale(model, scale=0.5), guide, "scale both alike"),
    "a mask": (model, poutine.mask(guide, mask=MASK), "one mask"),
    "a mask in the model": (poutine.mask(model, mask=MASK), guide, "one mask"),
    "another mask": (poutine.mask(model, mask=MASK), poutine.mask(guide, mask=~MASK), "one mask"),
    "no mask": (poutine.mask(model, mask=MASK), poutine.mask(guide, mask=True), "one mask"),
}


@pytest.mark.filterwarnings("ignore:Found non-auxiliary vars")  # Pyro notices one of them too
@pytest.mark.parametrize("name", REFUSED)
def test_an_exact_kl_of_programs_that_differ_is_refused(name):
    one, other, message = REFUSED[name]
    with pytest.raises(IncompatibleComponents, match=message):
        TraceExactKL_ELBO().loss(one, other)


def test_programs_that_are_alike_are_not():
    assert TraceExactKL_ELBO().loss(model, guide) == pytest.approx(4 * (1 + 4))
    as_number = poutine.scale(model, scale=3.0)
    as_tensor = poutine.scale(guide, scale=torch.tensor(3.0, dtype=torch.double))
    assert TraceExactKL_ELBO().loss(as_number, as_tensor) == pytest.approx(3 * 4 * (1 + 4))


class Spoiling(nn.Module):
    """A decoder that puts out NaN for some rows."""

    def __init__(self, rows):
        super().__init__()
        self.layer, self.rows = nn.Linear(2, 3), rows

    def forward(self, z):
        y = self.layer(z).clone()
        if len(y) > 2:  # not while the model is built
            y.view(-1, 5, 3)[:, self.rows] = torch.nan
        return y


@pytest.fixture
def unvalidated():
    """As in the training loop, which leaves Pyro's checks out."""
    with pyro.validation_enabled(False):
        yield


OPTIONS = {
    "one": {},
    "vectorized": {"num_particles": 3, "vectorize_particles": True, "max_plate_nesting": 1},
}


@pytest.mark.usefixtures("unvalidated")
@pytest.mark.filterwarnings("ignore:Encountered")
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("cls", [Trace_ELBO, TraceExactKL_ELBO])
class TestNonFinite:
    """A loss that is no number names the site, the term and the rows, and moves nothing."""

    def refused(self, vae, x, cls, options):
        before = {name: p.detach().clone() for name, p in vae.named_parameters()}
        loss = cls(**OPTIONS[options])
        svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 0.1}), loss)
        with pytest.raises(NonFiniteLoss) as caught:
            svi.step(x)
        for name, parameter in vae.named_parameters():
            assert torch.allclose(before[name], parameter, rtol=0, atol=0, equal_nan=True)
            assert parameter.grad is None or not parameter.grad.any()
        return str(caught.value)

    def test_a_datum_that_is_not_finite(self, cls, options):
        x = torch.zeros(5, 3)
        x[2, 0] = x[4, 1] = torch.nan
        message = self.refused(small_vae(), x, cls, options)
        assert "at site 'z' (Independent), the value of z is not finite in 2 of 5 rows" in message
        assert "(first: [2, 4])" in message

    def test_a_decoder_that_is_not_finite(self, cls, options):
        vae = small_vae(decoder=Spoiling([1, 3]))
        message = self.refused(vae, torch.zeros(5, 3), cls, options)
        assert "at site 'x' (Independent), log p(x) is not finite in 2 of 5 rows" in message
        assert "(first: [1, 3])" in message
        assert "lower train.lr" in message

    def test_weights_that_are_not_finite(self, cls, options):
        vae = small_vae()
        with torch.no_grad():
            vae.encoder.layers[0].weight.fill_(torch.nan)
        message = self.refused(vae, torch.zeros(5, 3), cls, options)
        assert "the value of z is not finite in 5 of 5 rows" in message


@pytest.mark.usefixtures("unvalidated")
@pytest.mark.filterwarnings("ignore:Encountered")
@pytest.mark.parametrize("size", [None, 4])
@pytest.mark.parametrize("event", [(), (2,)])
def test_any_site_of_any_name_and_shape_is_named(size, event):
    def program():
        bad = torch.zeros(event)
        bad.reshape(-1)[-1] = torch.nan
        q = dist.Normal(bad, 1.0).to_event(len(event))
        if size is None:
            return pyro.sample("logits", q)
        with pyro.plate("data", size):
            return pyro.sample("logits", q)

    rows = size or 1
    with pytest.raises(NonFiniteLoss, match=f"value of logits is not finite in {rows} of {rows}"):
        Trace_ELBO().differentiable_loss(program, program)
