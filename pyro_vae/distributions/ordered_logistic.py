"""A logistic variable that is seen only as the interval it lies in."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, pad
from torch.types import _size

from pyro_vae.distributions.categorical import Categorical

__all__ = ["OrderedLogistic"]


class OrderedLogistic(Categorical):
    r"""The numbers 0 to K - 1 of ordered categories, by the cumulative logit.

    .. math:: P(x \le k) = \mathrm{sigmoid}(c_k - \mu), \quad c_0 < \dots < c_{K - 2}

    Pyro's distribution of this name takes the difference of two sigmoids, which is 0 in the
    tails; here its logarithm is exact there too.

    Shapes:
        batch_shape is that of ``loc``; event_shape is ``()``. ``log_prob`` is in nats.

    Args:
        loc: Location mu, ``(*batch)``.
        cutpoints: Strictly increasing, ``(K - 1,)`` or what broadcasts to ``(*batch, K - 1)``.

    References:
        | Regression models for ordinal data (McCullagh, 1980)
        | https://doi.org/10.1111/j.2517-6161.1980.tb01109.x

    Example:
        >>> OrderedLogistic(torch.zeros(()), torch.tensor([-1.0, 1.0])).probs
        tensor([0.2689, 0.4621, 0.2689])
    """

    def __init__(self, loc: Tensor, cutpoints: Tensor, validate_args: bool | None = None) -> None:
        self.loc = loc
        self.cutpoints = cutpoints.expand(*loc.shape, cutpoints.shape[-1])
        edges = self.cutpoints - loc.unsqueeze(-1)
        below, above = logsigmoid(edges), logsigmoid(-edges)
        inner = torch.log(-torch.expm1(-self.cutpoints.diff(dim=-1)))
        logits = pad(below, (0, 1)) + pad(above, (1, 0)) + pad(inner, (1, 1))
        super().__init__(logits=logits, validate_args=validate_args)

    def expand(
        self, batch_shape: _size, _instance: OrderedLogistic | None = None
    ) -> OrderedLogistic:
        """The same distribution with a larger batch_shape."""
        batch = torch.Size(batch_shape)
        cutpoints = self.cutpoints.expand(*batch, self.cutpoints.shape[-1])
        return OrderedLogistic(self.loc.expand(batch), cutpoints, validate_args=False)
