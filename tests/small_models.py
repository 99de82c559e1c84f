"""Small models that every test of the audit shares."""

from __future__ import annotations

import math

import pyro
import pytest
import torch

from pyro_vae import VAE
from pyro_vae.distributions.bounds import MAX_SCALE
from pyro_vae.evidence.exact import linear_gaussian
from tests.variants import noise_like

NET = {"kind": "mlp", "hidden": [16], "activation": "tanh"}


@pytest.fixture
def vae() -> VAE:
    """A small non-linear model with every group of parameters, away from its initial state."""
    pyro.set_rng_seed(1)
    model = VAE((2, 3), 2, prior="diagonal_normal", decoder=NET, encoder=NET)
    return stirred(model)


@pytest.fixture
def linear() -> VAE:
    """A model whose evidence is known exactly."""
    pyro.set_rng_seed(2)
    model = VAE((2, 3), 2, prior="diagonal_normal", decoder="linear", encoder=NET)
    return stirred(model)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(12, 2, 3, generator=torch.Generator().manual_seed(3))


def stirred(model: VAE) -> VAE:
    """Move every parameter off its initial value, so that no term vanishes by accident."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            size = 0.03 if name.startswith("likelihood") else 0.3
            parameter.add_(size * noise_like(parameter))
    return model


@pytest.fixture
def known(linear):
    """The linear-Gaussian model in double precision, its guide somewhat off and too wide."""
    return near_exact(linear.swap(encoder="linear"), linear)


@torch.no_grad()
def near_exact(model, weights, shift=0.1, wider=1.3):
    """A diagonal guide about the exact posterior's means, with its scales times ``wider``."""
    for part in ("prior", "likelihood", "decoder"):
        getattr(model, part).load_state_dict(getattr(weights, part).state_dict())
    model.double().eval()
    exact, affine = linear_gaussian(model), model.encoder.affine
    data = math.prod(model.event_shape)
    x = torch.cat([torch.zeros(1, data), torch.eye(data)]).double().reshape(-1, *model.event_shape)
    q = exact.posterior(x)
    raw = (wider * q.variance[0].sqrt()).log() / math.log(MAX_SCALE)
    affine.bias.copy_(
        torch.cat([q.mean[0] + shift, math.log(MAX_SCALE) * raw / (1 - raw**2).sqrt()])
    )
    affine.weight.zero_()
    affine.weight[: model.latent_dim] = (q.mean[1:] - q.mean[0]).mT
    return model


@pytest.fixture
def data(known):
    """Twelve data of the model's own."""
    return known.generate(12, sample=True)


@pytest.fixture
def evidence(known, data):
    return linear_gaussian(known).log_evidence(data).detach()
