"""Training and evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["evaluating"]


@contextmanager
def evaluating(root: nn.Module) -> Iterator[None]:
    """Evaluation mode within the block; each module's own mode comes back after it."""
    modes = {module: module.training for module in root.modules()}
    root.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
