"""The Householder flow as a posterior."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from pydantic import PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.distributions.transforms.householder import ConditionedHouseholder
from torch import Tensor

from pyro_vae.core.bounds import Layers
from pyro_vae.distributions.bounds import bounded_scale
from pyro_vae.distributions.flow import Flow
from pyro_vae.posteriors.flow_posterior import FlowPosterior

__all__ = ["Householder"]


class Householder(FlowPosterior):
    r"""A diagonal normal, reflected at planes that the encoder gives.

    .. math:: z = H_T \cdots H_1 z_0, \quad H_t = I - 2 \frac{v_t v_t^\top}{\|v_t\|^2}, \quad
              z_0 \sim N(\mu(x), \mathrm{diag}(\sigma(x)^2))

    A normal again, its covariance diagonal in other axes: with M - 1 reflections any covariance.
    Its KL to a normal prior has a closed form. Since v and -v are one reflection, the first
    number of v is kept positive, so that v is never 0.

    Shapes:
        maps ``(*, (2 + transforms) * latent_dim)`` to batch_shape ``(*,)`` and event_shape
        ``(latent_dim,)``; ``log_prob`` is in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        transforms: Number T of reflections, at least 1.

    References:
        | Improving variational auto-encoders using Householder flow (Tomczak and Welling, 2016)
        | https://arxiv.org/abs/1611.09630

    Example:
        >>> Householder(latent_dim=3, transforms=2)(torch.zeros(5, 12)).batch_shape
        torch.Size([5])
    """

    def __init__(self, latent_dim: PositiveInt, transforms: Layers = 1) -> None:
        super().__init__()
        self.latent_dim, self.transforms = latent_dim, transforms
        self.context_size = transforms * latent_dim

    def flow(self, loc: Tensor, scale: Tensor, context: Tensor) -> TorchDistribution:
        """The flow; the context is v of each reflection."""
        raw = context.unflatten(-1, (self.transforms, self.latent_dim))
        v = torch.cat([bounded_scale(raw[..., :1]), raw[..., 1:]], -1)
        return Flow(dist.Normal(loc, scale).to_event(1), [ConditionedHouseholder(v)])
