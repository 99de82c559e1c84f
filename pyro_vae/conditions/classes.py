"""A condition that is one of several classes."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_vae.core.bounds import Size
from pyro_vae.core.condition import Condition

__all__ = ["Classes"]


class Classes(Condition):
    """One of several classes, such as a label; the networks see it one-hot.

    Shapes:
        maps ``(N,)`` to ``(N, count)``.

    Args:
        count: Number of classes, which are numbered from 0.

    References:
        | Semi-supervised learning with deep generative models (Kingma et al., 2014)
        | https://arxiv.org/abs/1406.5298

    Example:
        >>> Classes(count=3)(torch.tensor([0, 2]))
        tensor([[1., 0., 0.],
                [0., 0., 1.]])
    """

    def __init__(self, count: Size) -> None:
        super().__init__()
        self.shape, self.size = (), count

    def forward(self, c: Tensor) -> Tensor:
        """1 at the class, and 0 elsewhere."""
        return (c.unsqueeze(-1) == torch.arange(self.size, device=c.device)).float()

    def problem(self, c: Tensor) -> str:
        """Whether each is a class."""
        valid = (c >= 0) & (c < self.size) & (c == c.round() if c.is_floating_point() else True)
        if bool(valid.all()):
            return ""
        gaps = bool((c.isnan() | (c == -1)).any())
        remedy = " (of missing ones, -1, condition: semi_supervised takes account)" if gaps else ""
        return f"classes, whole numbers from 0 to {self.size - 1}{remedy}"
