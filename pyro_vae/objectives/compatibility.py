"""Which priors and posteriors are compatible, and the method for their KL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.core.modes import alone
from pyro_vae.core.posterior import Posterior
from pyro_vae.core.prior import Prior
from pyro_vae.objectives.kl import kl_source
from pyro_vae.report.table import Cell, Table
from pyro_vae.vae import VAE

__all__ = ["Pair", "kl_matrix", "pair"]

SHORT = {"exact, by hand": "exact", "exact, torch's registry": "torch", "sampled": "sampled"}
LATENT_DIM = 4  # enough for every kind
CONDITION = {"kind": "vector", "size": 1}


@dataclass(frozen=True)
class Pair:
    """A prior and a posterior, and whether they are compatible.

    Args:
        prior: Kind of the prior.
        posterior: Kind of the posterior.
        method: ``exact, by hand``, ``exact, torch's registry`` or ``sampled``; empty if refused.
        reason: Why they are refused; empty if they are not.
    """

    prior: str
    posterior: str
    method: str
    reason: str = ""

    @property
    def is_compatible(self) -> bool:
        """Whether a model can have both."""
        return not self.reason


@torch.no_grad()
@alone()
def pair(prior: str | Mapping[str, Any], posterior: str | Mapping[str, Any]) -> Pair:
    """Decide a pair from its declarations alone, without drawing or training.

    A posterior that is not reparameterized is refused: the gradient estimators need z as a
    function of the encoder's output.

    Raises:
        DeclarationError: if a declaration is invalid.

    Example:
        >>> pair("standard_normal", "diagonal_normal").method
        'exact, by hand'
    """
    one, other = (part if isinstance(part, str) else part["kind"] for part in (prior, posterior))
    try:
        with torch.random.fork_rng(devices=[]):
            vae = VAE((LATENT_DIM,), LATENT_DIM, prior=prior, posterior=posterior,
                      decoder="linear", encoder="linear",
                      condition=CONDITION if one == "conditional" else None)  # fmt: skip
        vae = vae.eval().example(2)
        q = vae.encode(torch.zeros(2, LATENT_DIM))
    except IncompatibleComponents as error:
        return Pair(one, other, method="", reason=str(error))
    if not q.has_rsample:
        return Pair(one, other, method="", reason=f"{other} is not reparameterized")
    source = kl_source(q, vae.prior())
    return Pair(one, other, "sampled" if source is None else f"exact, {source}")


def kl_matrix() -> Table:
    """Every prior with every posterior: the method for their KL, or why they are refused.

    Example:
        >>> len(kl_matrix().columns) == 1 + len(Posterior.kinds())
        True
    """
    posteriors = list(Posterior.kinds())
    reasons: dict[str, int] = {}
    table = Table("Method of KL(q || p), prior by posterior", ["prior", *posteriors])
    for prior in Prior.kinds():
        pairs = [pair(prior, posterior) for posterior in posteriors]
        table.add(Cell(prior, "strong"), *(_cell(found, reasons) for found in pairs))
    notes = [f"[{number}] {reason}" for reason, number in reasons.items()]
    legend = (
        "exact: closed form by hand; torch: closed form from torch's registry; sampled: no closed "
        "form, and kl: exact is refused"
    )
    table.caption = ". ".join([legend, *notes])
    return table


def _cell(found: Pair, reasons: dict[str, int]) -> Cell:
    if found.is_compatible:
        return Cell(SHORT[found.method], "muted" if found.method == "sampled" else "good")
    return Cell(f"no [{reasons.setdefault(found.reason, len(reasons) + 1)}]", "bad")
