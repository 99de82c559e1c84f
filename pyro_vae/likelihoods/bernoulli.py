"""The Bernoulli likelihood, for binary data."""

from __future__ import annotations

import pyro.distributions as dist
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_vae.core.missing import seen_mean
from pyro_vae.likelihoods.data_mean import DataMean

__all__ = ["Bernoulli"]

LEAST_MEAN = 1e-3


class Bernoulli(DataMean):
    r"""Independent coin flips, one for each pixel; the decoder returns their logits.

    .. math:: p(x \mid z) = \prod_d \pi_d^{x_d} (1 - \pi_d)^{1 - x_d},
              \quad \pi = \mathrm{sigmoid}(f(z))

    Only 0 and 1 are accepted: over gray values it would not be normalized.

    With ``offset: data_mean`` the logits of the training data's mean are added to the decoder's
    output, which is equivalent to initializing the bias of the decoder's last layer with them.
    ``fit`` sets them; until then they are 0. Means are clamped to [0.001, 0.999], so that
    dimensions that never change have a finite logit.

    Shapes:
        maps ``(*, *event_shape)`` to batch_shape ``(*,)`` and event_shape ``event_shape``;
        ``log_prob`` is in nats, summed over the event.

    Args:
        event_shape: Shape of one datum.
        offset: Added to the decoder's output: zero, or the logits of the data_mean.

    References:
        | Auto-encoding variational Bayes (Kingma and Welling, 2013), appendix C.1
        | https://arxiv.org/abs/1312.6114
        | The continuous Bernoulli: fixing a pervasive error in variational autoencoders
        | (Loaiza-Ganem and Cunningham, 2019), on gray pixels under a Bernoulli
        | https://arxiv.org/abs/1907.06845
        | Importance weighted autoencoders (Burda et al., 2016), section 5, on the data's mean
        | https://arxiv.org/abs/1509.00519

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

    def at_mean(self, x: Tensor) -> Tensor:
        """The logits of the mean."""
        return seen_mean(x, 0).clamp(LEAST_MEAN, 1 - LEAST_MEAN).logit()

    def forward(self, parameters: Tensor, x: Tensor | None = None) -> TorchDistribution:
        """Independent Bernoullis with these logits plus the offset."""
        return dist.Bernoulli(logits=self.with_offset(parameters)).to_event(len(self.event_shape))
