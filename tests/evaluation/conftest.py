"""Small models that every test of the audit shares."""

from __future__ import annotations

import pyro
import pytest
import torch

from pyro_vae import VAE

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
            parameter.add_(size * torch.randn_like(parameter))
    return model
