"""Values shifted and scaled by the statistics of what is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from pyro_vae.core.errors import DataError
from pyro_vae.data.dataset import Split

__all__ = ["Standardize", "standardized"]

Standardize = Literal["none", "zscore"]
"""``zscore``: each position of the event minus its mean, over its standard deviation (both of the
training split, which divides by N); where the training data do not vary, the mean is taken off
and nothing is divided."""


def standardized(
    splits: Mapping[str, Split], standardize: Standardize, binarization: str
) -> tuple[dict[str, Split], str]:
    """The splits on the training data's scale, and in words what was done to them.

    Args:
        splits: By name, ``train`` among them.
        standardize: How.
        binarization: Of the same data: what is 0 or 1 is not standardized as well.

    Raises:
        DataError: if the data are also to be made binary.

    Example:
        >>> import torch
        >>> splits, words = standardized(
        ...     {
        ...         "train": Split(torch.tensor([[1.0], [3.0]])),
        ...         "test": Split(torch.tensor([[4.0]])),
        ...     },
        ...     "zscore",
        ...     "none",
        ... )
        >>> splits["train"].x.flatten(), splits["test"].x.flatten(), words
        (tensor([-1.,  1.]), tensor([2.]), 'z-scores by the training data')
    """
    if standardize == "none":
        return dict(splits), ""
    if binarization != "none":
        raise DataError(
            f"standardize {standardize}: expected binarization none, got {binarization}; data "
            "are standardized or made binary, not both"
        )
    x = splits["train"].x.double()
    mean, scale = x.mean(0), x.std(0, correction=0)
    scale[(x == x[0]).all(0)] = 1.0
    scaled = {
        name: replace(split, x=((split.x.double() - mean) / scale).float())
        for name, split in splits.items()
    }
    return scaled, "z-scores by the training data"
