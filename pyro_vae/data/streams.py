"""Random numbers of our own: named streams that leave the global generator alone."""

from __future__ import annotations

import hashlib

import torch

__all__ = ["stream"]


def stream(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator that depends on the seed and the purpose, and on nothing else.

    Two purposes share a seed without sharing draws, so that asking for another split does not
    also change how a datum is binarized.

    Args:
        seed: A whole number, at least 0, of any size.
        purpose: What is drawn from it.

    Example:
        >>> one, again, other = stream(0, "split"), stream(0, "split"), stream(0, "pixels")
        >>> one.initial_seed() == again.initial_seed(), one.initial_seed() == other.initial_seed()
        (True, False)
    """
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
