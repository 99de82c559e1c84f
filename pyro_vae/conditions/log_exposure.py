"""The exposure of a count: what its mean is proportional to."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from pyro_vae.core.condition import Condition

__all__ = ["LogExposure"]


class LogExposure(Condition):
    r"""The logarithm of each datum's exposure, such as the width of its time bin.

    .. math:: \log E[x \mid z, c] = f(z) + c

    An offset of the log-means of ``poisson`` and ``negative_binomial``, which are then per unit of
    exposure. The encoder sees it, the decoder does not.

    Shapes:
        maps ``(N, 1)`` to ``(N, 1)``.

    References:
        | Generalized Linear Models (McCullagh and Nelder, 1989)

    Example:
        >>> import torch
        >>> from pyro_vae import VAE
        >>> vae = VAE((3,), 2, likelihood="poisson", condition="log_exposure")
        >>> one, two = (vae.given([[c]]).decode(torch.zeros(1, 2)).mean for c in (0.0, 0.6931472))
        >>> torch.allclose(two, 2 * one)
        True
    """

    decoded: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.shape, self.size = (1,), 1

    def forward(self, c: Tensor) -> Tensor:
        """The logarithms themselves."""
        return c
