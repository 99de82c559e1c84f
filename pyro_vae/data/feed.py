"""How training data reach the device: they live there, or stream to it when they do not fit."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from pyro_vae.data.dataset import Split
from pyro_vae.data.sparse_rows import SparseRows
from pyro_vae.data.splitmix import uniform_like

__all__ = ["Densified", "Resident", "Streamed", "binarized", "feed"]

SHARE = 0.5  # of a GPU's free memory that data may take


class Resident:
    """Data that live on the device; a batch is gathered, and drawn, there.

    Args:
        split: The training data, anywhere.
        device: Where they shall live.

    Example:
        >>> source = Resident(Split(torch.arange(10.0).reshape(5, 2)), torch.device("cpu"))
        >>> source.batch(torch.tensor([4, 0]))
        tensor([[8., 9.],
                [0., 1.]])
    """

    def __init__(self, split: Split, device: torch.device) -> None:
        self.split = split.to(device)

    def epoch(self, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
        """What :meth:`batch` takes, for one shuffled pass: indices, each ``(B,)``."""
        order = torch.randperm(len(self.split), generator=generator)
        return iter(order.to(self.split.x.device).split(batch_size))

    def batch(self, index: Tensor) -> Tensor:
        """The data at an index; a dynamic split's are drawn, by :func:`binarized`."""
        x = self.split.x[index]
        return binarized(x) if self.split.dynamic else x

    def arguments(self, index: Tensor) -> tuple[Tensor, ...]:
        """What a model's programs take at an index: the data and, if there are, conditions."""
        condition = self.split.condition
        x = self.batch(index)
        return (x,) if condition is None else (x, condition[index])


class Streamed:
    """Data that stay in the host's memory; the next batch is on its way while one is used.

    Args:
        split: The training data.
        device: Where batches go.

    Example:
        >>> source = Streamed(Split(torch.arange(10.0).reshape(5, 2)), torch.device("cpu"))
        >>> [len(source.batch(x)) for x in source.epoch(2, torch.Generator())]
        [2, 2, 1]
    """

    def __init__(self, split: Split, device: torch.device) -> None:
        self.split, self.device = split.to("cpu"), device
        self.copies = torch.cuda.Stream(device) if device.type == "cuda" else None

    def epoch(self, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
        """What :meth:`batch` takes, for one shuffled pass: values on the device, ``(B, ...)``."""
        order = torch.randperm(len(self.split), generator=generator)
        with ThreadPoolExecutor(1) as worker:
            parts = iter(order.split(batch_size))
            coming = worker.submit(self._sent, next(parts))
            for part in parts:
                arrived, coming = coming.result(), worker.submit(self._sent, part)
                yield self._arrived(*arrived)
            yield self._arrived(*coming.result())

    def batch(self, x: Tensor) -> Tensor:
        """A batch, drawn by :func:`binarized` where the split is dynamic."""
        return binarized(x) if self.split.dynamic else x

    def arguments(self, given: Tensor) -> tuple[Tensor, ...]:
        """What a model's programs take: the data and, if there are, conditions."""
        condition, shape = self.split.condition, self.split.x.shape[1:]
        if condition is None:
            return (self.batch(given),)
        x, c = given.split([shape.numel(), given.shape[1] - shape.numel()], 1)
        return self.batch(x.reshape(-1, *shape)), c.reshape(-1, *condition.shape[1:])

    def _sent(self, index: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        """Start a batch's copy beside the steps: from pinned memory, on a stream of its own."""
        x = self.split.x[index]
        c = self.split.conditions(index)
        if c is not None:  # they travel as further columns
            x = torch.cat([x.flatten(1), c.reshape(len(c), -1).to(x)], 1)
        if self.copies is None:
            return x.to(self.device), None
        with torch.cuda.stream(self.copies):
            return x.pin_memory().to(self.device, non_blocking=True), self.copies.record_event()

    def _arrived(self, x: Tensor, copied: torch.cuda.Event | None) -> Tensor:
        """A batch, for whose copy the stream of the steps waits."""
        if copied is not None:
            steps = torch.cuda.current_stream(self.device)
            steps.wait_event(copied)
            x.record_stream(steps)
        return x


class Densified(Streamed):
    """Data that live on the device in compressed rows; a batch of them is made dense there.

    Args:
        split: The training data, whose x are :class:`~pyro_vae.data.sparse_rows.SparseRows`.
        device: Where they shall live.
    """

    def __init__(self, split: Split, device: torch.device) -> None:
        self.split, self.device, self.copies = split.to(device), device, None

    def epoch(self, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
        """What :meth:`batch` takes, for one shuffled pass: values on the device, ``(B, ...)``."""
        order = torch.randperm(len(self.split), generator=generator).to(self.device)
        return (self._sent(part)[0] for part in order.split(batch_size))


def binarized(x: Tensor) -> Tensor:
    """0 or 1 for each intensity, which is the chance of a 1, by PyTorch's global generator.

    A chance is met to within 2**-24, and 0 and 1 exactly. On a CPU the generator draws a seed
    alone, from which each number is computed by its place: that takes half the time of
    ``torch.bernoulli``, and within a compiled step a twentieth.

    Args:
        x: Intensities in [0, 1], of any shape.

    Example:
        >>> binarized(torch.tensor([0.0, 1.0]))
        tensor([0., 1.])
    """
    uniform = uniform_like(x) if x.device.type == "cpu" else torch.rand_like(x)
    return (uniform < x).to(x.dtype)


def feed(split: Split, device: torch.device) -> Resident | Streamed:
    """The training data as they reach the device, whichever way they fit."""
    if isinstance(split.x, SparseRows):
        return Densified(split, device)
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        if split.x.nbytes > SHARE * (free + cached):
            return Streamed(split, device)
    return Resident(split, device)
