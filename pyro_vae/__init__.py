"""Variational autoencoders as probabilistic programs on Pyro, with an ELBO that is audited."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyro_vae.core.errors import PyroVAEError as PyroVAEError
    from pyro_vae.core.likelihood import Likelihood as Likelihood
    from pyro_vae.core.network import Network as Network
    from pyro_vae.core.posterior import Posterior as Posterior
    from pyro_vae.core.prior import Prior as Prior
    from pyro_vae.vae import VAE as VAE

__version__ = "0.1.0"

_HOMES = {
    "VAE": "vae",
    "Prior": "core.prior",
    "Likelihood": "core.likelihood",
    "Posterior": "core.posterior",
    "Network": "core.network",
    "PyroVAEError": "core.errors",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``pyro-vae --help`` stays quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'pyro_vae' has no attribute {name!r}")
    return getattr(importlib.import_module(f"pyro_vae.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
