"""The negative binomial likelihood, for counts that vary more than a Poisson's."""

from __future__ import annotations

from typing import Literal

import pyro.distributions as dist
from pydantic import PositiveFloat
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_vae.distributions.bounds import learned_scale, raw_scale
from pyro_vae.likelihoods.data_mean import CountMean, Offset

__all__ = ["NegativeBinomial"]


class NegativeBinomial(CountMean):
    r"""Independent overdispersed counts; the decoder returns the logarithm of their means.

    .. math:: p(x \mid z) = \prod_d \frac{\Gamma(x_d + r)}{\Gamma(r)\, x_d!}
              \left(\frac{r}{r + m_d}\right)^{r} \left(\frac{m_d}{r + m_d}\right)^{x_d},
              \quad \log m = f(z), \quad r = 1 / \alpha

    The variance is m + alpha m^2; the limit of alpha = 0 is a Poisson. The dispersion alpha is a
    number, ``learned`` (one), or ``per_dimension`` (one for each dimension, such as a gene or a
    neuron). If learned, it is 1 initially, and bounded to [1e-3, 1e3]. Means are in units of the
    data's own (:class:`~pyro_vae.likelihoods.own_units.OwnUnits`), and smoothly bounded to
    [1e-6, 1e6] units.

    Shapes:
        maps ``(*, *event_shape)`` to batch_shape ``(*,)`` and event_shape ``event_shape``;
        ``log_prob`` is in nats, summed over the event.

    Args:
        event_shape: Shape of one datum.
        dispersion: A number above 0, learned or per_dimension.
        offset: Where the decoder returns 0: zero (one unit), or the data_mean.

    References:
        | Deep generative modeling for single-cell transcriptomics (Lopez et al., 2018)
        | https://doi.org/10.1038/s41592-018-0229-2

    Example:
        >>> import torch
        >>> d = NegativeBinomial(event_shape=(3,), dispersion=2.0)(torch.zeros(5, 3))
        >>> d.mean.unique(), d.variance.unique()
        (tensor([1.]), tensor([3.]))
    """

    support = constraints.nonnegative_integer
    remedies = (
        "give whole counts, neither scaled nor normalized, or choose a likelihood for real values "
        "(model.likelihood: gaussian)"
    )

    def __init__(
        self,
        event_shape: tuple[int, ...],
        dispersion: PositiveFloat | Literal["learned", "per_dimension"] = "per_dimension",
        offset: Offset = "zero",
    ) -> None:
        super().__init__(event_shape, offset)
        self.dispersion = dispersion
        if isinstance(dispersion, str):
            shape = self.event_shape if dispersion == "per_dimension" else ()
            self.raw_dispersion = raw_scale(shape)

    def forward(self, parameters: Tensor, x: Tensor | None = None) -> TorchDistribution:
        """Independent negative binomial counts with these log-means."""
        mean = self.mean_of(parameters)
        if isinstance(self.dispersion, str):
            dispersion = learned_scale(self.raw_dispersion)
        else:
            dispersion = mean.new_tensor(self.dispersion)
        odds = (mean * dispersion).log()
        return dist.NegativeBinomial(1 / dispersion, logits=odds).to_event(len(self.event_shape))
