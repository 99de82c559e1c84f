"""The Bernoulli likelihood, for binary data."""

from __future__ import annotations

import pyro.distributions as dist
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_vae.core.likelihood import Likelihood

__all__ = ["Bernoulli"]


class Bernoulli(Likelihood):
    r"""Independent coin flips, one for each pixel; the decoder puts out their logits.

    .. math:: p(x \mid z) = \prod_d \pi_d^{x_d} (1 - \pi_d)^{1 - x_d},
              \quad \pi = \mathrm{sigmoid}(f(z))

    It is a distribution over 0 and 1 only: on grey values it has no normaliser, so it refuses
    them.

    Shapes:
        maps ``(*, *event_shape)`` to batch_shape ``(*,)`` and event_shape ``event_shape``;
        ``log_prob`` is in nats, summed over the event.

    Args:
        event_shape: Shape of one datum.

    References:
        | Auto-encoding variational Bayes (Kingma and Welling, 2013), appendix C.1
        | https://arxiv.org/abs/1312.6114
        | The continuous Bernoulli: fixing a pervasive error in variational autoencoders
        | (Loaiza-Ganem and Cunningham, 2019), on grey pixels under a Bernoulli
        | https://arxiv.org/abs/1907.06845

    Example:
        >>> import torch
        >>> Bernoulli(event_shape=(1, 8, 8))(torch.zeros(5, 1, 8, 8)).batch_shape
        torch.Size([5])
    """

    support = constraints.boolean
    remedies = (
        "make the pixels binary (data.binarization: dynamic, static or threshold), or choose a "
        "likelihood for real values (model.likelihood: gaussian)"
    )

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """One logit for each dimension of the event."""
        return self.event_shape

    def forward(self, parameters: Tensor, x: Tensor | None = None) -> TorchDistribution:
        """Independent Bernoullis with these logits."""
        return dist.Bernoulli(logits=parameters).to_event(len(self.event_shape))
