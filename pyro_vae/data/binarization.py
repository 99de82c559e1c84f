"""Grey intensities made binary: part of what a data set is, so part of its identity."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.data.checks import locate

__all__ = ["Binarization", "binarized", "check_intensities", "draw"]

Binarization = Literal["none", "threshold", "static", "dynamic"]
"""How grey intensities in [0, 1] become 0 or 1.

- ``none``: they stay as they are;
- ``threshold``: 1 from 0.5 upwards;
- ``static``: one Bernoulli draw, with a fixed seed, for all splits;
- ``dynamic``: the training split is drawn again for every batch, from its grey intensities;
  validation and test are drawn once with a fixed seed, so that their scores can be compared.
"""


def draw(x: Tensor, generator: torch.Generator) -> Tensor:
    """One Bernoulli draw for each intensity, of the shape, type and device of ``x``.

    The uniform numbers come from the generator's device: one on the CPU gives the same draw
    wherever ``x`` lives, one on the device of ``x`` spares the copy.

    Example:
        >>> draw(torch.tensor([[0.0, 1.0]]), torch.Generator())
        tensor([[0., 1.]])
    """
    uniform = torch.rand(x.shape, generator=generator, device=generator.device)
    return (uniform.to(x.device) < x).to(x.dtype)


def binarized(x: Tensor, binarization: Binarization, generator: torch.Generator) -> Tensor:
    """What is scored: ``x`` as validation and test hold it, drawn once where draws are made.

    Args:
        x: Grey intensities, ``(N, *event)``.
        binarization: How; ``static`` and ``dynamic`` differ only in the training split.
        generator: Where the draws come from.

    Raises:
        DataError: if there is something to make binary and it is not within [0, 1].
    """
    if binarization == "none":
        return x
    check_intensities(x, binarization)
    return (x >= 0.5).to(x.dtype) if binarization == "threshold" else draw(x, generator)


def check_intensities(x: Tensor, binarization: Binarization) -> None:
    """Raise DataError unless every value is within [0, 1]."""
    outside = (x < 0) | (x > 1)
    if outside.any():
        low, high = x.min().item(), x.max().item()
        raise DataError(
            f"binarization {binarization}: expected intensities in [0, 1], got values from "
            f"{low:g} to {high:g}: {locate(outside, x)}; scale the array to [0, 1] "
            "(x / 255 for bytes), or choose binarization none"
        )
