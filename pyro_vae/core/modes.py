"""The modes that a computation runs in: training or evaluation, and how exactly it multiplies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["evaluating", "multiplying"]


@contextmanager
def multiplying(*, tf32: bool) -> Iterator[None]:
    """Let an NVIDIA GPU round inside products and convolutions to TF32's 10 bits, or forbid it.

    PyTorch forbids it for products by default, and allows it for convolutions.
    """
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions


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
