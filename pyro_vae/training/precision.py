"""The precision of matrix products in training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.modes import multiplying
from pyro_vae.vae import VAE

__all__ = ["Precision", "check_precision", "trained_in"]

Precision = Literal["float32", "tf32", "bfloat16"]
"""Precision of a network's matrix products and convolutions in training.

- ``float32``: full precision;
- ``tf32``: 10 bits of mantissa inside a product, on an NVIDIA GPU;
- ``bfloat16``: autocast, 7 bits; outputs, densities, the loss and the weights are float32.
"""


def check_precision(precision: Precision, device: torch.device) -> None:
    """Refuse a precision that the device does not support.

    Raises:
        DeclarationError: naming the device.
    """
    if precision == "tf32" and device.type != "cuda":
        raise DeclarationError(
            f"precision: tf32 needs an NVIDIA GPU, got the device {device}; choose float32",
            "How to train",
        )


@contextmanager
def trained_in(vae: VAE, precision: Precision) -> Iterator[None]:
    """Use a precision for training within the block; scoring is in float32."""
    with multiplying(tf32=precision == "tf32"), ExitStack() as stack:
        if precision == "bfloat16":
            for network in (vae.encoder, vae.decoder):
                stack.enter_context(_autocast(network))
        yield


@contextmanager
def _autocast(network: nn.Module) -> Iterator[None]:
    """Run one network under autocast within the block, and return float32."""
    forward = network.forward

    def cast(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            y: Tensor = forward(x)
        return y.float()

    network.forward = cast
    try:
        yield
    finally:
        del network.forward
