"""What makes two steps the same graph: layouts, modes and plain values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

__all__ = ["roots_of", "signature", "tensors_of"]

PLAIN = (int, float, str, bool, type(None))


def signature(args: tuple[Any, ...], kwargs: dict[str, Any], roots: list[Any], loss: Any) -> Any:
    """A key: steps of one key have one graph.

    Args:
        args: What the step is given.
        kwargs: Likewise.
        roots: The modules of the program, whose training mode matters.
        loss: The loss, whose plain numbers matter.
    """
    leaves: Any = args
    spec: Any = len(args)
    if kwargs or not all(type(leaf) is Tensor for leaf in args):
        leaves, spec = pytree.tree_flatten((args, kwargs))
    parts = tuple(_layout(leaf) if isinstance(leaf, Tensor) else _plain(leaf) for leaf in leaves)
    modes = tuple(root.training for root in roots)
    numbers = tuple(value for value in vars(loss).values() if type(value) in PLAIN)
    return parts, spec, modes, numbers


def tensors_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors among a step's arguments, in order."""
    if not kwargs and all(type(leaf) is Tensor for leaf in args):
        return list(args)
    return [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]


def roots_of(*programs: Callable[..., Any]) -> list[nn.Module]:
    """The modules that programs are, or are methods of."""
    owners = [getattr(program, "__self__", program) for program in programs]
    return [owner for owner in owners if isinstance(owner, nn.Module)]


def _layout(leaf: Tensor) -> Any:
    return leaf.shape, leaf.stride(), leaf.dtype, leaf.device


def _plain(leaf: Any) -> Any:
    return leaf if type(leaf) in PLAIN else (type(leaf), id(leaf))
