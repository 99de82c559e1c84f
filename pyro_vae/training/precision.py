"""The precision of matrix products while a model trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
from torch import nn

from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.modes import multiplying
from pyro_vae.vae import VAE

__all__ = ["Precision", "check_precision", "trained_in"]

Precision = Literal["float32", "tf32", "bfloat16"]
"""How a network's matrix products and convolutions are rounded while it trains.

- ``float32``: as everything else;
- ``tf32``: with 10 bits of mantissa inside the product, on an NVIDIA GPU;
- ``bfloat16``: autocast, with 7 bits; what a network gives is float32 again, and so are the
  densities, the loss and the weights.
"""


def check_precision(precision: Precision, device: torch.device) -> None:
    """Refuse what the device does not have.

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
    """Train in a precision within the block; what is scored after it is in float32."""
    with multiplying(tf32=precision == "tf32"), ExitStack() as stack:
        if precision == "bfloat16":
            for network in (vae.encoder, vae.decoder):
                stack.enter_context(_autocast(network))
        yield


@contextmanager
def _autocast(network: nn.Module) -> Iterator[None]:
    """Run one network under autocast, by hooks that go with the block."""
    casts: list[Any] = []

    def begin(module: nn.Module, inputs: Any) -> None:
        casts.append(torch.autocast(inputs[0].device.type, torch.bfloat16))
        casts[-1].__enter__()

    def end(module: nn.Module, inputs: Any, output: Any) -> Any:
        casts.pop().__exit__(None, None, None)
        return output if output is None else output.float()

    hooks = (
        network.register_forward_pre_hook(begin),
        network.register_forward_hook(end, always_call=True),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
