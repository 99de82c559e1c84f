"""The VampPrior: a mixture of the guide's own posteriors."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch
from pydantic import PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from pyro_vae.core.condition import Condition, Conditioned, bound
from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.core.posterior import Posterior
from pyro_vae.core.prior import Prior

__all__ = ["Vamp"]


class Vamp(Prior, Conditioned):
    r"""Equal mixture of the posteriors of learned pseudo-inputs, through the guide's encoder.

    .. math:: p(z) = \frac1K \sum_k q(z \mid u_k)

    The pseudo-inputs u_k begin uniform in [0, 1], and at training data when ``fit`` begins. They
    are the prior's only parameters: the encoder and the posterior are the guide's own. With a
    condition it is the mixture of q(z|u_k, c_k), whose conditions c_k stay those of the data at
    which the pseudo-inputs begin.

    Shapes:
        ``forward()`` has batch_shape ``()`` and event_shape ``(latent_dim,)``;
        ``log_prob`` maps ``(*, latent_dim)`` to ``(*,)``, in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        event_shape: Shape of one datum.
        encoder: The guide's encoder.
        posterior: The guide's posterior, an amortized one.
        pseudo_inputs: Number K of pseudo-inputs, at least 1.
        embedding: The model's condition; None if it has none.

    Raises:
        IncompatibleComponents: if the guide is not amortized, or its condition may be missing.

    References:
        | VAE with a VampPrior (Tomczak and Welling, 2018)
        | https://arxiv.org/abs/1705.07120

    Example:
        >>> from pyro_vae import VAE
        >>> vae = VAE((4,), 2, prior={"kind": "vamp", "pseudo_inputs": 3})
        >>> vae.prior().component_distribution.batch_shape
        torch.Size([3])
    """

    initialized: Tensor
    conditions: Tensor
    guide: tuple[nn.Module, Posterior]

    def __init__(
        self,
        latent_dim: PositiveInt,
        event_shape: tuple[int, ...],
        encoder: nn.Module,
        posterior: Posterior,
        pseudo_inputs: PositiveInt = 500,
        embedding: Condition | None = None,
    ) -> None:
        super().__init__()
        if not posterior.amortized:
            raise IncompatibleComponents(
                f"vamp is made of q(z|u) at pseudo-inputs u that it learns: expected an amortized "
                f"posterior, got {posterior.kind}, which knows only the training data; choose "
                f"another prior, such as gaussian_mixture"
            )
        if embedding is not None and embedding.latent:
            raise IncompatibleComponents(
                "vamp is made of q(z|u, c) at pseudo-inputs u with conditions c: expected a "
                f"condition that is known for all data, got {embedding.kind}; choose another "
                "prior, such as conditional"
            )
        self.pseudo_inputs = nn.Parameter(torch.rand(pseudo_inputs, *event_shape))
        if embedding is not None:
            self.register_buffer("conditions", torch.zeros(pseudo_inputs, *embedding.shape))
        self.register_buffer("initialized", torch.zeros((), dtype=torch.bool))
        self.__dict__["guide"] = (encoder, posterior)  # the guide's: not parameters of this module

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Begin at data drawn from ``x``, ``(N, *event_shape)``, unless that was done before."""
        if self.initialized:
            return
        wanted = len(self.pseudo_inputs)
        rows = torch.cat([torch.randperm(len(x)) for _ in range(-(-wanted // len(x)))])[:wanted]
        self.pseudo_inputs.copy_(x[rows.to(x.device)] / self._unit)
        if "conditions" in self._buffers:
            c = self.known(x)
            self.conditions.copy_(c[rows.to(c.device)])
        self.initialized.fill_(True)

    def forward(self) -> TorchDistribution:
        """The mixture of q(z|u_k) with equal weights."""
        encoder, posterior = self.guide
        encoder = bound(encoder, self._buffers.get("conditions"))
        weights = dist.Categorical(logits=self.pseudo_inputs.new_zeros(len(self.pseudo_inputs)))
        return dist.MixtureSameFamily(weights, posterior(encoder(self._unit * self.pseudo_inputs)))

    @property
    def _unit(self) -> Any:
        """What the encoder divides by: pseudo-inputs are learned in its units."""
        return getattr(self.guide[0], "input_unit", 1.0)
