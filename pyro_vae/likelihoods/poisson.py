"""The Poisson likelihood, for counts."""

from __future__ import annotations

import pyro.distributions as dist
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_vae.likelihoods.data_mean import CountMean

__all__ = ["Poisson"]


class Poisson(CountMean):
    r"""Independent counts, such as spikes in a time bin; the decoder returns their log-rates.

    .. math:: p(x \mid z) = \prod_d \frac{\lambda_d^{x_d} e^{-\lambda_d}}{x_d!},
              \quad \log\lambda = f(z)

    Rates are in units of the data's own (:class:`~pyro_vae.likelihoods.own_units.OwnUnits`), and
    smoothly bounded to [1e-6, 1e6] units.

    Shapes:
        maps ``(*, *event_shape)`` to batch_shape ``(*,)`` and event_shape ``event_shape``;
        ``log_prob`` is in nats, summed over the event.

    Args:
        event_shape: Shape of one datum.
        offset: Where the decoder returns 0: zero (one unit), or the data_mean.

    References:
        | LFADS: latent factor analysis via dynamical systems (Sussillo et al., 2016), on spike
        | counts in a VAE https://arxiv.org/abs/1608.06315

    Example:
        >>> import torch
        >>> Poisson(event_shape=(30,))(torch.zeros(5, 30)).mean.unique()
        tensor([1.])
    """

    support = constraints.nonnegative_integer
    remedies = (
        "give whole counts, neither scaled nor normalized, or choose a likelihood for real values "
        "(model.likelihood: gaussian)"
    )

    def forward(self, parameters: Tensor, x: Tensor | None = None) -> TorchDistribution:
        """Independent Poisson counts with these log-rates."""
        return dist.Poisson(self.mean_of(parameters)).to_event(len(self.event_shape))
