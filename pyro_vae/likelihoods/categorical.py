"""The categorical likelihood, for dimensions with K categories each."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_vae import distributions as dist
from pyro_vae.core.likelihood import Likelihood

__all__ = ["Categorical"]


class Categorical(Likelihood):
    r"""Independent categories, 0 to K - 1; the decoder returns K logits for each dimension.

    .. math:: p(x \mid z) = \prod_d \pi_{x_d, d}, \quad
              \pi_{\cdot, d} = \mathrm{softmax}(f_{\cdot, d}(z))

    A reconstruction is the mean, as for every likelihood: the expected number of the category. If
    the categories are not ordered, use ``vae.decode(z).base_dist.mode`` or
    ``vae.generate(sample=True)`` instead.

    Shapes:
        maps ``(*, K, *event_shape)`` to batch_shape ``(*,)`` and event_shape ``event_shape``;
        ``log_prob`` is in nats, summed over the event.

    Args:
        event_shape: Shape of one datum.
        categories: Number of categories K, at least 2; the data have the values 0 to K - 1.

    References:
        | Pixel recurrent neural networks (van den Oord et al., 2016), section 2.2, on a softmax
        | for each value https://arxiv.org/abs/1601.06759

    Example:
        >>> import torch
        >>> Categorical(event_shape=(7,), categories=4)(torch.zeros(5, 4, 7)).mean.unique()
        tensor([1.5000])
    """

    remedies = (
        "number the categories from 0 and declare how many there are "
        "(model.likelihood.categories), or choose a likelihood for counts without a limit "
        "(model.likelihood: poisson) or for real values (model.likelihood: gaussian)"
    )

    def __init__(
        self, event_shape: tuple[int, ...], categories: Annotated[int, Field(ge=2)] = 2
    ) -> None:
        super().__init__(event_shape)
        self.categories = categories
        self.support = constraints.integer_interval(0, categories - 1)

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """K logits for each dimension of the event."""
        return (self.categories, *self.event_shape)

    def forward(self, parameters: Tensor, x: Tensor | None = None) -> TorchDistribution:
        """Independent categoricals with these logits."""
        event_dims = len(self.event_shape)
        logits = parameters.movedim(-event_dims - 1, -1)
        return dist.Categorical(logits=logits).to_event(event_dims)
