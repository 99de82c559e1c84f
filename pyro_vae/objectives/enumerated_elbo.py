"""The ELBO with latent classes summed out, as a Pyro loss that keeps its terms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyro.infer
import torch
from pyro.infer.util import torch_item
from pyro.poutine import Trace
from torch import Tensor

from pyro_vae.core.latent_classes import LABEL
from pyro_vae.objectives.kl import KL, kl_method
from pyro_vae.objectives.pyro_elbos import SurrogateELBO, latent_pairs, site_kl

__all__ = ["TraceEnum_ELBO"]


class TraceEnum_ELBO(SurrogateELBO):  # noqa: N801
    r"""Pyro's ``TraceEnum_ELBO`` for a program with one enumerated site y, with its terms.

    .. math:: \sum_y q(y \mid x) \left[ \log p(x \mid z, y) - KL(q(z \mid x, y) \,\|\, p(z))
              \right] - KL(q(y \mid x) \,\|\, p(y)) + w \log q(y = \text{label} \mid x)

    Value and gradient are Pyro's, up to rounding; but its graph is static, and the KL of z may be
    in closed form. ``bound`` has the last term too, of the classes that are known.

    Args:
        kl: ``sampled``, ``exact`` or ``auto``, of z.
        **options: Those of Pyro's class, such as ``num_particles``.

    Raises:
        NoClosedFormKL: if ``kl`` is ``exact`` and there is none.
        NonFiniteLoss: naming the site, the term and the rows of the batch.
    """

    name = "ELBO, classes summed out"

    def __init__(self, kl: KL = "sampled", **options: Any) -> None:
        super().__init__(**options)
        self.divergence = kl
        self._pyros = pyro.infer.TraceEnum_ELBO(**options)

    def _get_traces(
        self, model: Any, guide: Any, args: Any, kwargs: Any
    ) -> Iterator[tuple[Trace, Trace]]:
        self.log_likelihood, self.kl = torch.zeros(()), torch.zeros(())
        self.bound = torch.zeros(())
        yield from self._pyros._get_traces(model, guide, args, kwargs)

    def _differentiable_loss_particle(
        self, model_trace: Trace, guide_trace: Trace
    ) -> tuple[Any, Any]:
        pairs = latent_pairs(model_trace, guide_trace, ordered=True, reparameterized=False)
        (_, p_y, q_y), *others = pairs
        log_q = q_y["log_prob"]
        weight = log_q.exp()
        kl = _weighted(weight, log_q - p_y["log_prob"])
        for _, site, guide_site in others:
            method = kl_method(guide_site["fn"], site["fn"], self.divergence)
            kl = kl + (weight * site_kl(site, guide_site, method)).sum()
        log_likelihood = (weight * model_trace.nodes["x"]["log_prob"]).sum()
        known = model_trace.nodes.get(LABEL)
        bound = log_likelihood - kl + (0.0 if known is None else known["log_prob_sum"])
        for term, value in (("log_likelihood", log_likelihood), ("kl", kl), ("bound", bound)):
            setattr(self, term, getattr(self, term) + value.detach() / self.num_particles)
        loss = torch_item(-bound.detach())
        self._check_finite(loss, model_trace, guide_trace)
        return loss, -bound


def _weighted(weight: Tensor, values: Tensor) -> Tensor:
    """The sum of weighted values, where a weight of 0 counts whatever the value as 0."""
    return (weight * torch.where(weight > 0, values, 0.0)).sum()
