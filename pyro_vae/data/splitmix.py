"""Uniform random numbers, each computed from its position, which a compiled step does fast."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["splitmix64", "uniform_like"]

GAMMA = 0x9E3779B97F4A7C15
SEEDS = 2**62


def splitmix64(seed: Tensor, count: int) -> Tensor:
    """The first ``count`` outputs of the generator SplitMix64, ``(count,)`` int64.

    Each is a function of the seed and its position, in integer arithmetic modulo 2**64, so that a
    compiled step computes them in parallel, fused with what uses them. PyTorch's own generator on
    a CPU is sequential.

    Args:
        seed: 64 bits, an int64 scalar.
        count: How many numbers.

    References:
        Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014, figure 16.

    Example:
        >>> outputs = splitmix64(torch.tensor(1234567), 2)
        >>> outputs.tolist()
        [6457827717110365317, 3203168211198807973]
    """
    # seed + place * GAMMA, ordered so that the compiler folds no constants.
    places = torch.arange(1, count + 1, device=seed.device)
    z = (places + seed * _signed(pow(GAMMA, -1, 2**64))) * _signed(GAMMA)
    z = (z ^ _shifted(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shifted(z, 27)) * _signed(0x94D049BB133111EB)
    return z ^ _shifted(z, 31)


def uniform_like(x: Tensor) -> Tensor:
    """Multiples of 2**-24 in [0, 1), shaped like ``x``; PyTorch's generator draws the seed."""
    seed = torch.randint(SEEDS, (), device=x.device)
    bits = _shifted(splitmix64(seed, x.numel()), 40).view(x.shape)
    return bits.to(x.dtype) * 2.0**-24


def _shifted(z: Tensor, places: int) -> Tensor:
    """Logical right shift; that of int64 is arithmetic, and repeats the sign."""
    return (z >> places) & (2 ** (64 - places) - 1)


def _signed(bits: int) -> int:
    return bits - 2**64 if bits >= 2**63 else bits
