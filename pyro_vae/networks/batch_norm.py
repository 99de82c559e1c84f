"""Batch normalization whose shift is learned and whose scale is not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_vae.core.errors import IncompatibleComponents

__all__ = ["ShiftedBatchNorm"]


class ShiftedBatchNorm(nn.Module):
    """Standardizes each feature over the batch, and adds a learned shift.

    While training, a datum's output depends on the others in its batch; in evaluation mode it
    does not, since running means and variances stand in.

    Shapes:
        maps ``(B, features)`` to ``(B, features)``.

    Args:
        features: How many there are.

    Raises:
        IncompatibleComponents: while training, for a batch of a single row.

    References:
        | Batch normalization (Ioffe and Szegedy, 2015) https://arxiv.org/abs/1502.03167

    Example:
        >>> norm = ShiftedBatchNorm(2)
        >>> norm(torch.tensor([[1.0, 9.0], [3.0, 5.0]])).round().tolist()
        [[-1.0, 1.0], [1.0, -1.0]]
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.standardize = nn.BatchNorm1d(features, affine=False)
        self.shift = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        """The standardized features, shifted."""
        if self.training and len(x) < 2:
            raise IncompatibleComponents(
                f"Batch normalization: expected at least 2 data in a training batch, got "
                f"{len(x)}; choose a batch size that leaves no last batch of one "
                f"(train.batch_size)"
            )
        y: Tensor = self.standardize(x) + self.shift
        return y
