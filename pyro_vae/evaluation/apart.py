"""A copy of a model to measure, with everything else left as it was."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pyro
import torch

from pyro_vae.vae import VAE

__all__ = ["apart", "device_of"]


def device_of(vae: VAE) -> torch.device:
    """Where a model is; the CPU for one without any parameter or buffer."""
    return next(iter([*vae.parameters(), *vae.buffers()]), torch.empty(0)).device


@contextmanager
def apart(vae: VAE, dtype: torch.dtype, seed: int, *, validate: bool = True) -> Iterator[VAE]:
    """A copy of the model in evaluation mode, seeded, with every other state kept as it was.

    Args:
        vae: The model.
        dtype: Precision of the copy.
        seed: Seed of the draws within; the generators go on afterwards from where they were.
        validate: Whether Pyro checks what it computes within.
    """
    device = device_of(vae)
    devices = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=devices),
        pyro.validation_enabled(validate),
        torch.no_grad(),
    ):
        torch.manual_seed(seed)
        yield copy.deepcopy(vae).to(dtype).eval()
