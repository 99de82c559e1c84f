"""Data in chunks: of a size that keeps memory bounded, and shared by several processes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pyro_vae.core.errors import NonFiniteLoss, ProcessError
from pyro_vae.core.modes import seeded
from pyro_vae.core.processes import Processes, joined
from pyro_vae.vae import VAE

__all__ = ["chunk_sizes", "data_at_once", "elements_per_code", "of_chunks", "share_of_chunks"]

T = TypeVar("T")

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


def of_chunks(
    vae: VAE,
    x: Tensor,
    size: int,
    seed: int,
    work: Callable[[VAE, Tensor, int], T],
    processes: bool = False,
) -> list[T]:
    """What ``work(model, chunk, start)`` returns for each chunk of the data, in their order.

    A chunk's draws depend on the seed and its number alone, so that processes which take turns at
    the chunks have, to the bit, what one process has.

    Args:
        vae: The model.
        x: Data, ``(N, *event_shape)``.
        size: How many data a chunk has.
        seed: Seed of the draws; the first chunk's.
        work: Is given a chunk, its model, and the number of its first datum; what it returns goes
            to the other processes, so that it is on the CPU.
        processes: Whether those that torchrun started share the chunks.

    Raises:
        NonFiniteLoss: in each process, if ``work`` raises it in one.
        ProcessError: if another process has ended, or has other data or settings.

    Example:
        >>> of_chunks(VAE((3,), 2), torch.zeros(5, 3), 2, 0, lambda model, x, start: len(x))
        [2, 2, 1]
    """
    group = joined() if processes else Processes()
    made: dict[int, T] = {}
    failure = None
    try:
        for number, (model, chunk) in enumerate(vae.split(x, size)):
            if number % group.size == group.rank:
                with seeded(_seed_of(seed, number), x.device):
                    made[number] = work(model, chunk, number * size)
    except NonFiniteLoss as error:
        failure = str(error)
    every = group.all_of(((len(x), size, seed), made, failure))
    if len({facts for facts, *_ in every}) > 1:
        raise ProcessError(
            f"Expected processes that share the same work, got different (data, data in a chunk, "
            f"seed): {', '.join(str(facts) for facts, *_ in every)}; give each the same model, "
            "data, settings and kind of device"
        )
    if failed := [text for *_, text in every if text is not None]:
        raise NonFiniteLoss(failed[0])
    together = {number: found for _, each, _ in every for number, found in each.items()}
    return [together[number] for number in sorted(together)]


def share_of_chunks(count: int, size: int, processes: bool) -> tuple[int, int, bool]:
    """How many chunks and data this process has, and whether it is the first.

    Example:
        >>> share_of_chunks(5, 2, False)
        (3, 5, True)
    """
    group = joined() if processes else Processes()
    starts = range(group.rank * size, count, group.size * size)
    return len(starts), sum(min(size, count - start) for start in starts), group.first


def _seed_of(seed: int, number: int) -> int:
    """The seed of a chunk's draws; the first one's is that of all."""
    if number == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed}/chunk {number}".encode()).digest()[:4], "big")
