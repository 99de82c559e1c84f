"""What the arguments of two steps of one graph have in common: layouts and plain values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyro_vae.compiled.private import pytree
from pyro_vae.compiled.reach import PLAIN

__all__ = ["placed", "signature"]

ONLY_TENSORS = frozenset((Tensor,))


def signature(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, list[Tensor]]:
    """A key that steps of one graph share, and the tensors among the arguments, in order."""
    if not kwargs and ONLY_TENSORS.issuperset(map(type, args)):
        return tuple(_layout(leaf) for leaf in args), list(args)
    leaves, spec = pytree.tree_flatten((args, kwargs))
    parts = [_layout(leaf) if isinstance(leaf, Tensor) else _plain(leaf) for leaf in leaves]
    return (spec, *parts), [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def placed(arguments: Any, device: torch.device) -> Any:
    """Arguments whose tensors on the CPU are copied to a GPU: a CUDA graph reads nothing else."""

    def place(leaf: Any) -> Any:
        moves = isinstance(leaf, Tensor) and leaf.device.type == "cpu" != device.type
        return leaf.to(device) if moves else leaf

    return pytree.tree_map(place, arguments)


def _layout(leaf: Tensor) -> Any:
    return leaf.shape, leaf.stride(), leaf.dtype, leaf.device


def _plain(leaf: Any) -> Any:
    return leaf if type(leaf) in PLAIN else (type(leaf), id(leaf))
