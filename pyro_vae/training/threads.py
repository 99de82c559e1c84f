"""How many threads a training uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pyro_vae.vae import VAE

__all__ = ["threads", "threads_for"]

ONE_THREAD = 10_000_000


def threads_for(vae: VAE, batch_size: int) -> int:
    """One thread for a small network, where more would only wait for each other."""
    work = batch_size * sum(parameter.numel() for parameter in vae.parameters())
    return 1 if work < ONE_THREAD else torch.get_num_threads()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Use so many threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
