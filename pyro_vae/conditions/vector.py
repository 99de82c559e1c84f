"""A condition of several numbers."""

from __future__ import annotations

from torch import Tensor

from pyro_vae.core.bounds import Size
from pyro_vae.core.condition import Condition

__all__ = ["Vector"]


class Vector(Condition):
    """Numbers such as covariates, which the networks see as they are.

    Bring them to a scale of about 1, as for any network.

    Shapes:
        maps ``(N, size)`` to ``(N, size)``.

    Args:
        size: How many numbers.

    References:
        | Learning structured output representation using deep conditional generative models
        | (Sohn, Lee and Yan, 2015)
        | https://papers.nips.cc/paper/2015/hash/8d55a249e6baa5c06772297520da2051-Abstract.html

    Example:
        >>> import torch
        >>> Vector(size=2)(torch.ones(3, 2)).shape
        torch.Size([3, 2])
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.shape, self.size = (size,), size

    def forward(self, c: Tensor) -> Tensor:
        """The numbers themselves."""
        return c
