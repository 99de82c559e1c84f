"""Stochastic layers: their densities against scipy, and a case whose posterior is exact."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from pyro_vae import VAE, as_dataset, audit_elbo, elbo_terms, refit_prior
from pyro_vae.core.declaration import parse
from pyro_vae.core.errors import DeclarationError, IncompatibleComponents
from pyro_vae.core.posterior import Posterior
from pyro_vae.distributions.bounds import MAX_SCALE
from pyro_vae.distributions.chain import layer_sizes
from pyro_vae.posteriors import DiagonalNormal, Ladder
from pyro_vae.posteriors import Hierarchical as BottomUp
from pyro_vae.priors import Hierarchical, StandardNormal
from tests.components.test_oracles import double, scale_of
from tests.variants import small_vae, stirred

LAYERS = {"layers": [3, 2, 1], "hidden": 5}


def logpdf(network, given, value):
    """Of a layer given another, in scipy."""
    loc, raw = network(given).chunk(2, -1)
    return stats.norm.logpdf(value, loc.detach(), scale_of(raw)).sum(-1)


def both(layers=LAYERS, posterior="ladder", **changes):
    parts = {
        "prior": {"kind": "hierarchical", **layers},
        "posterior": {"kind": posterior, **layers},
    }
    return small_vae(**({"latent_dim": 6} | parts | changes))


def test_the_prior_is_a_chain_from_the_last_layer_down():
    prior, z = stirred(Hierarchical(6, **LAYERS).double()), double(7, 6)
    one, two, three = z.split([3, 2, 1], -1)
    expected = (stats.norm.logpdf(three).sum(-1) + logpdf(prior.networks[1], three, two)
                + logpdf(prior.networks[0], two, one))  # fmt: skip
    assert np.allclose(prior().log_prob(z).detach(), expected, rtol=1e-12)
    assert prior.decoded_dim == 3


def test_the_posterior_is_a_chain_from_the_first_layer_up():
    posterior, z = stirred(BottomUp(6, **LAYERS).double()), double(7, 6)
    parameters = double(7, 2, 3)
    one, two, three = z.split([3, 2, 1], -1)
    first = stats.norm.logpdf(one, parameters[:, 0], scale_of(parameters[:, 1])).sum(-1)
    expected = (first + logpdf(posterior.networks[0], one, two)
                + logpdf(posterior.networks[1], two, three))  # fmt: skip
    assert np.allclose(posterior(parameters).log_prob(z).detach(), expected, rtol=1e-12)


def test_a_ladder_multiplies_what_x_says_with_what_the_layer_above_says():
    """So its log-density at two values of z_1 differs as the sum of the two normals' does."""
    ladder, d_1, z = stirred(Ladder(6, **LAYERS).double(), 1.0), double(7, 5), double(7, 6)
    d_2 = ladder.up[0](d_1.tanh())
    d_3 = ladder.up[1](d_2.tanh())
    other = z.clone()
    other[:, :5] = double(7, 5)  # z_1 and z_2

    def unnormalized(z):
        one, two, three = z.split([3, 2, 1], -1)
        said = [logpdf(head, d.tanh(), layer) for head, d, layer
                in zip(ladder.heads, (d_1, d_2, d_3), (one, two, three), strict=True)]  # fmt: skip
        return said, logpdf(ladder.down[0], two, one), logpdf(ladder.down[1], three, two)

    def log_q(z):
        return ladder(d_1).log_prob(z).detach().numpy()

    only_one = torch.cat([other[:, :3], z[:, 3:]], -1)
    (a, below_a, _), (b, below_b, _) = unnormalized(z), unnormalized(only_one)
    assert np.allclose(log_q(z) - log_q(only_one), a[0] + below_a - b[0] - below_b, rtol=1e-9)
    assert not np.allclose(log_q(z) - log_q(only_one), a[0] - b[0], rtol=1e-3)
    top = ladder(d_1).root.root.log_prob(z[:, 5:]).detach()
    assert np.allclose(top, a[2], rtol=1e-12)  # at the top there is nothing above


@pytest.mark.parametrize("kind", ["hierarchical", "ladder"])
def test_one_layer_is_a_plain_model(kind):
    z = double(7, 4)
    prior = Hierarchical(4, layers=1).double()
    assert torch.equal(prior().log_prob(z), StandardNormal(4).double()().log_prob(z))
    assert (prior.decoded_dim, [*prior.parameters()]) == (4, [])
    posterior = Posterior.kinds()[kind](4, layers=1).double()
    parameters = double(7, *posterior.parameter_shape)
    plain = (
        posterior.heads[0](parameters.tanh()).reshape(7, 2, 4) if kind == "ladder" else parameters
    )
    expected = DiagonalNormal(4).double()(plain).log_prob(z)
    assert torch.allclose(posterior(parameters).log_prob(z), expected, rtol=1e-12)


def raw_of(scale):
    """What bounded_scale takes to this scale."""
    u = np.log(scale) / np.log(MAX_SCALE)
    return float(np.log(MAX_SCALE) * u / np.sqrt(1 - u**2))


def affine(weight, scale):
    layer = nn.Linear(1, 2).double()
    with torch.no_grad():
        layer.weight[0], layer.weight[1] = weight, 0.0
        layer.bias[0] = 0.0
        layer.bias[1] = raw_of(scale)
    return layer


class Same(nn.Module):
    """A network that returns its input."""

    def forward(self, x):
        return x


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_ladder_can_be_the_exact_posterior(weight, monkeypatch):
    """z_2 ~ N(0, 1), z_1 ~ N(a z_2, s^2), x ~ N(z_1, r^2): then every draw weighs log p(x)."""
    a, s, r = weight * 1.5, 0.7, 0.5
    layers = {"layers": [1, 1], "hidden": 1}
    vae = both(layers, latent_dim=2, event_shape=(1,), encoder=Same(), decoder=Same(),
               likelihood={"kind": "gaussian", "scale": r}).double()  # fmt: skip
    vae.prior.networks[0] = affine(a, s)
    variance = a**2 + s**2 + r**2
    vae.posterior.heads[0] = affine(1.0, r)
    vae.posterior.heads[1] = affine(a / variance, np.sqrt(1 - a**2 / variance))
    vae.posterior.up[0] = nn.Identity()
    monkeypatch.setattr(torch.Tensor, "tanh", lambda x: x)  # all of it linear
    x = double(9, 1)
    found = elbo_terms(vae, x, kl="sampled", particles=3).elbo
    expected = stats.norm.logpdf(x[:, 0], 0, np.sqrt(variance))
    assert np.allclose(found.detach(), expected, rtol=1e-9)
    vae.posterior.heads[0] = affine(1.0, 2 * r)  # a planted mistake
    found = elbo_terms(vae, x, kl="sampled", particles=3).elbo
    assert not np.allclose(found.detach(), expected, rtol=1e-2)


def test_a_ladder_has_the_priors_networks_and_keeps_them():
    vae = both()
    assert not [name for name in vae.state_dict() if name.startswith("posterior.down")]
    for model in (vae, copy.deepcopy(vae), vae.swap()):
        assert model.posterior.down is model.prior.networks
    assert vae.swap().prior.networks is not vae.prior.networks
    x = torch.randn(4, 3)
    vae.encode(x).log_prob(torch.randn(4, 6)).sum().backward()
    assert all((p.grad != 0).any() for p in vae.prior.parameters())
    own = both(prior="standard_normal")
    assert [name for name in own.state_dict() if name.startswith("posterior.down")]


def test_the_audit_of_a_ladder_passes():
    x = torch.randn(12, 3)
    audit = audit_elbo(stirred(both()), x, particles=200)
    assert audit.passed, audit


def test_other_layers_than_the_priors_are_refused():
    with pytest.raises(IncompatibleComponents, match=r"sizes \[3, 3\], got \[3, 2, 1\]"):
        both(prior={"kind": "hierarchical"})


def test_a_prior_that_the_guide_uses_is_not_refitted():
    vae, x = both().eval(), torch.randn(40, 3)
    with pytest.raises(IncompatibleComponents, match="shares nothing with the posterior"):
        refit_prior(vae, vae.declaration["prior"], as_dataset(x), show_progress=False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layers": 5}, r"layers: must be <= latent_dim \(4\), .* got 5"),
        ({"layers": [2, 1]}, r"must sum to latent_dim \(4\), got \[2, 1\], which sum to 3"),
        ({"layers": [2, 2], "top": 2}, "top: must be left out where layers has the sizes"),
        ({"layers": 3, "top": 3}, "top: must be <= 2, .* got 3"),
        ({"layers": 1, "top": 4}, "top: must be left out where there is one layer"),
        ({"top": 4}, "top: must be <= 3"),
        ({"layers": []}, "layers"),
        ({"layers": [4, 0]}, "layers"),
        ({"layers": 0}, "layers"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["hierarchical", "ladder"])
def test_layers_without_a_size_are_refused(kind, given, message):
    with pytest.raises(DeclarationError, match=message):
        parse(Posterior, {"kind": kind, **given}, "posterior").build(latent_dim=4)


def test_sizes():
    assert layer_sizes("x", 5, 2, None) == [3, 2]  # as two layers always were
    assert layer_sizes("x", 11, 4, None) == [3, 3, 3, 2]
    assert layer_sizes("x", 11, 4, 1) == [4, 3, 3, 1]
    assert VAE((3,), 6, prior={"kind": "hierarchical", "layers": 3}).code == slice(2)
