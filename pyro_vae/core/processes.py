"""The processes that share the work, as ``torchrun`` starts them."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from pyro_vae.core.errors import DeclarationError, ProcessError, PyroVAEError

__all__ = ["Processes", "check_restarts", "joined", "restarted"]

T = TypeVar("T")


class Processes:
    """One of the processes that share the work: of a batch in training, of the data in scores.

    Args:
        rank: The number of this one, from 0.
        size: How many there are.

    Attributes:
        stopping: Whether any of them was asked to stop, as agreed on in the last step.
        asked: Whether this one was.

    Example:
        >>> [Processes(rank, 3).rows(10) for rank in range(3)]
        [slice(0, 3, None), slice(3, 6, None), slice(6, 10, None)]
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self.asked = self.stopping = False

    @property
    def first(self) -> bool:
        """Whether this one writes and prints."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """This one's share of ``count`` rows."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def stop(self, asked: bool) -> bool:
        """Whether to stop after this step; all processes stop after the same one."""
        self.asked = asked
        return asked if self.size == 1 else self.stopping

    def of_first(self, make: Callable[[], T]) -> T:
        """What ``make`` gives in the first process, for all; its error is raised in all.

        Raises:
            ProcessError: in the others, with the message of the first one's error.
        """
        if self.size == 1:
            return make()
        parcel: list[Any] = [None, None]
        if self.first:
            try:
                parcel[0] = make()
            except PyroVAEError as error:
                self._broadcast([None, str(error)])
                raise
        self._broadcast(parcel)
        if parcel[1] is not None:
            there = ProcessError(f"In the first process: {parcel[1]}")
            there.is_printed = True
            raise there
        made: T = parcel[0]
        return made

    def _broadcast(self, parcel: list[Any]) -> None:
        with self._together():
            dist.broadcast_object_list(parcel, 0)

    def all_of(self, value: T) -> list[T]:
        """Every process's value, in the order of their ranks."""
        found: list[Any] = [value] * self.size
        if self.size > 1:
            with self._together():
                dist.all_gather_object(found, value)
        return found

    def copy_first(self, tensors: dict[str, Tensor]) -> None:
        """Give every process's tensors the first one's values, in place."""
        if self.size > 1:
            with self._together():
                for tensor in tensors.values():
                    dist.broadcast(tensor, 0)

    def add(self, tensor: Tensor) -> Tensor:
        """The sum of all processes' tensors, in place, the same to the bit in each."""
        if self.size > 1:
            with self._together():
                dist.all_reduce(tensor)
        return tensor

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Name what happened where another process does not take part."""
        try:
            yield
        except RuntimeError as error:
            raise ProcessError(
                f"Process {self.rank} of {self.size} (from 0) waited for the others, but one of "
                f"them has ended, or its machine cannot be reached; its own output says why. "
                f"Start a training again with --resume RUN (fit: resume=), or by torchrun "
                f"--max-restarts; start scores anew. ({str(error).split('. ')[0]})"
            ) from None


def joined() -> Processes:
    """The processes that this one was started with by ``torchrun``; itself alone without.

    A script that has called ``torch.distributed.init_process_group`` keeps its group.

    Raises:
        ProcessError: if the others cannot be reached.
    """
    if not dist.is_available():
        return Processes()
    if not dist.is_initialized():
        if int(os.environ.get("WORLD_SIZE") or 1) < 2:
            return Processes()
        from torch.distributed.distributed_c10d import PrefixStore
        from torch.distributed.rendezvous import rendezvous

        try:
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            store, rank, size = next(rendezvous("env://"))
            attempt = PrefixStore(f"attempt {_restarts()}", store)  # not the former addresses
            dist.init_process_group(backend, store=attempt, rank=rank, world_size=size)
        except (RuntimeError, ValueError) as error:
            raise ProcessError(
                f"Expected to share work with the {os.environ['WORLD_SIZE']} processes of "
                f"WORLD_SIZE, but they cannot be reached: {error}; start them by torchrun, or "
                f"unset WORLD_SIZE"
            ) from None
        atexit.register(_leave)
    return Processes(dist.get_rank(), dist.get_world_size())


def restarted() -> bool:
    """Whether ``torchrun --max-restarts`` has started the processes again."""
    return _restarts() > 0


def _restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT") or 0)


def check_restarts(folder: Path | None) -> None:
    """Refuse restarts without a run's folder, which they would not find again.

    Raises:
        DeclarationError: saying so.
    """
    if folder is None and int(os.environ.get("TORCHELASTIC_MAX_RESTARTS") or 0) > 0:
        raise DeclarationError(
            "--out: must be given with torchrun --max-restarts, whose restarts go on in that "
            "folder, got none",
            "The command line",
        )


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
