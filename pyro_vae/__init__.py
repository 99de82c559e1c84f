"""Variational autoencoders as probabilistic programs on Pyro, with an ELBO that is audited."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyro_vae.audit.audit import audit_elbo as audit_elbo
    from pyro_vae.compiled import CompiledSVI as CompiledSVI
    from pyro_vae.core.errors import PyroVAEError as PyroVAEError
    from pyro_vae.core.likelihood import Likelihood as Likelihood
    from pyro_vae.core.network import Network as Network
    from pyro_vae.core.posterior import Posterior as Posterior
    from pyro_vae.core.prior import Prior as Prior
    from pyro_vae.data.loading import load_data as load_data
    from pyro_vae.data.prepare import as_dataset as as_dataset
    from pyro_vae.data.source import Source as Source
    from pyro_vae.diagnostics.compare_gradients import compare_gradients as compare_gradients
    from pyro_vae.diagnostics.comparison import compare as compare
    from pyro_vae.diagnostics.evaluate import evaluate as evaluate
    from pyro_vae.diagnostics.gaps import inference_gaps as inference_gaps
    from pyro_vae.diagnostics.kl_decomposition import kl_decomposition as kl_decomposition
    from pyro_vae.diagnostics.mcmc import compare_with_mcmc as compare_with_mcmc
    from pyro_vae.evidence.annealed import Annealing as Annealing
    from pyro_vae.evidence.annealed import (
        annealed_importance_sampling as annealed_importance_sampling,
    )
    from pyro_vae.evidence.bidirectional import (
        bidirectional_monte_carlo as bidirectional_monte_carlo,
    )
    from pyro_vae.evidence.importance import importance_sampling as importance_sampling
    from pyro_vae.evidence.quadrature import quadrature as quadrature
    from pyro_vae.experiment.catalogue import catalogue as catalogue
    from pyro_vae.experiment.checkpoint import load as load
    from pyro_vae.experiment.checkpoint import save as save
    from pyro_vae.objectives.compatibility import kl_matrix as kl_matrix
    from pyro_vae.objectives.terms import elbo_terms as elbo_terms
    from pyro_vae.training.fit import fit as fit
    from pyro_vae.vae import VAE as VAE

__version__ = "0.1.0"

_HOMES = {
    "VAE": "vae",
    "CompiledSVI": "compiled",
    "Prior": "core.prior",
    "Likelihood": "core.likelihood",
    "Posterior": "core.posterior",
    "Network": "core.network",
    "Source": "data.source",
    "PyroVAEError": "core.errors",
    "Annealing": "evidence.annealed",
    "annealed_importance_sampling": "evidence.annealed",
    "as_dataset": "data.prepare",
    "audit_elbo": "audit.audit",
    "bidirectional_monte_carlo": "evidence.bidirectional",
    "catalogue": "experiment.catalogue",
    "compare_gradients": "diagnostics.compare_gradients",
    "compare": "diagnostics.comparison",
    "compare_with_mcmc": "diagnostics.mcmc",
    "elbo_terms": "objectives.terms",
    "evaluate": "diagnostics.evaluate",
    "fit": "training.fit",
    "kl_decomposition": "diagnostics.kl_decomposition",
    "importance_sampling": "evidence.importance",
    "inference_gaps": "diagnostics.gaps",
    "kl_matrix": "objectives.compatibility",
    "load_data": "data.loading",
    "quadrature": "evidence.quadrature",
    "load": "experiment.checkpoint",
    "save": "experiment.checkpoint",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``pyro-vae --help`` stays quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'pyro_vae' has no attribute {name!r}")
    return getattr(importlib.import_module(f"pyro_vae.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
