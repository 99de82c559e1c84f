"""Batch sizes that keep memory bounded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pyro_vae.vae import VAE

__all__ = ["chunk_sizes", "data_at_once", "elements_per_code"]

BUDGET = {"cpu": 2**21, "cuda": 2**26}  # elements of the largest tensor
PROBES = (3, 5)  # numbers of codes; the difference is what grows with them


class _Sizes(TorchDispatchMode):
    """The number of elements that each operation returns, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.seen.append(max((t.numel() for t in tree_leaves(out) if isinstance(t, Tensor)),
                             default=0))  # fmt: skip
        return out


@torch.no_grad()
def elements_per_code(vae: VAE, x: Tensor) -> int:
    """Size per code of the largest tensor in log p(x, z) - log q(z|x), as measured.

    Args:
        vae: The model.
        x: Data, ``(N, *event_shape)``; the first is used.

    Example:
        >>> elements_per_code(
        ...     VAE((30,), 2, decoder={"kind": "mlp", "hidden": [50]}), torch.zeros(1, 30)
        ... )
        50
    """
    with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
        first = vae.at(slice(1))
        seen = [_sizes(first, x[:1], count) for count in PROBES]
    step = PROBES[1] - PROBES[0]
    grown = ((many - few) // step for few, many in zip(*seen, strict=False))
    return max(*grown, torch.Size(vae.event_shape).numel(), vae.latent_dim)


def _sizes(vae: VAE, x: Tensor, count: int) -> list[int]:
    q = vae.encode(x)
    with _Sizes() as sizes:
        z = q.rsample(torch.Size([count]))
        q.log_prob(z), vae.prior().log_prob(z), vae.decode(z, x).log_prob(x)
    return sizes.seen


def chunk_sizes(vae: VAE, x: Tensor, samples: int, share: int = 1) -> tuple[int, int]:
    """How many data, and how many codes of each, to evaluate at a time.

    Args:
        vae: The model.
        x: Data, ``(N, *event_shape)``, on the device of the computation.
        samples: Codes for each datum.
        share: How many such tensors are alive at a time: more than 1 for gradients.
    """
    room = BUDGET.get(x.device.type, BUDGET["cpu"]) // elements_per_code(vae, x) // share
    data = min(max(room // min(samples, 64), 1), len(x))
    return data, min(max(room // data, 1), samples)


def data_at_once(vae: VAE, x: Tensor, samples: int) -> int:
    """How many data to evaluate at a time, with all ``samples`` codes of each: at least 1."""
    room = BUDGET.get(x.device.type, BUDGET["cpu"])
    return max(room // elements_per_code(vae, x) // samples, 1)
