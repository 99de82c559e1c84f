"""Data sets and loaders of ``torch.utils.data``, read into arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate

from pyro_vae.core.errors import DataError

__all__ = ["arrays_of"]


def arrays_of(given: DataLoader[Any] | Dataset[Any]) -> tuple[Any, Any]:
    """The data of a map-style data set in its order, and its labels, or None.

    Each item is x, or (x, label). A loader stands for its data set: how it shuffles and batches
    is for training to say.

    Raises:
        DataError: if it has no length, or its items are not alike.

    Example:
        >>> import torch
        >>> arrays_of(TensorDataset(torch.zeros(3, 2), torch.arange(3)))[1]
        tensor([0, 1, 2])
    """
    data: Any = given.dataset if isinstance(given, DataLoader) else given
    name = type(data).__name__
    if isinstance(data, TensorDataset):
        return data.tensors[0], data.tensors[1] if len(data.tensors) > 1 else None
    if not hasattr(data, "__len__"):
        raise DataError(
            f"{name}: expected a data set with a length, got one that is iterated; read it into "
            "a tensor first"
        )
    items = []
    for row in range(len(data)):
        item = data[row]
        x, *rest = item if isinstance(item, tuple | list) else (item,)
        if not isinstance(x, Tensor | np.ndarray):
            raise DataError(
                f"{name}: expected items x or (x, label) with x a tensor or an array, got "
                f"{type(x).__name__} in row {row}; give it transform=ToTensor()"
            )
        items.append((x, *rest[:1]))
    try:
        x, *labels = default_collate(items)
    except (RuntimeError, TypeError, ValueError) as error:
        raise DataError(f"{name}: expected items of one shape and kind, got: {error}") from None
    return x, labels[0] if labels else None
