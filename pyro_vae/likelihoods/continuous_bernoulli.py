"""The continuous Bernoulli likelihood, for gray values in [0, 1]."""

from __future__ import annotations

from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_vae import distributions as dist
from pyro_vae.core.likelihood import Likelihood

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(Likelihood):
    r"""Independent continuous Bernoullis over [0, 1]; the decoder returns their logits.

    .. math:: p(x \mid z) = \prod_d C(\pi_d)\, \pi_d^{x_d} (1 - \pi_d)^{1 - x_d}, \quad
              C(\pi) = \frac{2 \tanh^{-1}(1 - 2 \pi)}{1 - 2 \pi}

    with pi = sigmoid(f(z)) and C = 2 at one half, the normalizer that cross-entropy on gray pixels
    lacks. Its value is a density, so it cannot be compared with a Bernoulli's; for pixels that are
    always exactly 0 or 1 it grows without bound, as the logarithm of the logit.

    Shapes:
        maps ``(*, *event_shape)`` to batch_shape ``(*,)`` and event_shape ``event_shape``;
        ``log_prob`` is in nats, summed over the event.

    Args:
        event_shape: Shape of one datum.

    References:
        | The continuous Bernoulli: fixing a pervasive error in variational autoencoders
        | (Loaiza-Ganem and Cunningham, 2019) https://arxiv.org/abs/1907.06845

    Example:
        >>> import torch
        >>> ContinuousBernoulli(event_shape=(1, 8, 8))(torch.zeros(5, 1, 8, 8)).mean.unique()
        tensor([0.5000])
    """

    support = constraints.unit_interval
    remedies = (
        "scale the data to [0, 1], or choose a likelihood for real values "
        "(model.likelihood: gaussian)"
    )

    def forward(self, parameters: Tensor, x: Tensor | None = None) -> TorchDistribution:
        """Independent continuous Bernoullis with these logits."""
        return dist.ContinuousBernoulli(parameters).to_event(len(self.event_shape))
