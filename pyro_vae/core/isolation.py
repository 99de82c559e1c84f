"""A copy of a model to measure, with everything else left as it was."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pyro
import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)

__all__ = ["device_of", "isolated_copy"]


def device_of(module: nn.Module) -> torch.device:
    """Where a model is; the CPU for one without any parameter or buffer."""
    return next(iter([*module.parameters(), *module.buffers()]), torch.empty(0)).device


@contextmanager
def isolated_copy(
    module: M, dtype: torch.dtype, seed: int, *, validate: bool = True
) -> Iterator[M]:
    """A copy of the model in evaluation mode, seeded, with every other state kept as it was.

    Args:
        module: The model.
        dtype: Precision of the copy.
        seed: Seed of the draws within; the generators go on afterwards from where they were.
        validate: Whether Pyro checks what it computes within.
    """
    device = device_of(module)
    devices = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=devices),
        pyro.validation_enabled(validate),
        torch.no_grad(),
    ):
        torch.manual_seed(seed)
        yield copy.deepcopy(module).to(dtype).eval()
