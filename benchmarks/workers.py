"""The processes that contenders run in: one for each group and thread count."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Self

from benchmarks.contenders import Contender
from benchmarks.contenders.training import Unavailable
from benchmarks.worker import serve

__all__ = ["Workers", "thread_counts"]

PATIENCE = 5  # seconds for a worker to exit by itself


def thread_counts(device: str) -> tuple[int, ...]:
    """One thread and all of them; with a GPU only all, since the GPU does the work."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    every = count or 1
    return (every,) if device == "cuda" or every == 1 else (1, every)


class Workers:
    """Starts a worker on its first request, and ends all of them on exit.

    Args:
        device: ``cpu`` or ``cuda``.
        threads: The thread counts to time each contender with.
        folder: For their logs.
        environment: Variables to add to theirs.
    """

    def __init__(
        self,
        device: str,
        threads: tuple[int, ...],
        folder: Path,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.device, self.threads, self.folder = device, threads, folder
        self.environment = environment or {}
        self.running: dict[tuple[str, int], tuple[SpawnProcess, Connection]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process, connection in self.running.values():
            connection.close()
            _ended(process)
        self.running.clear()

    def ask(self, contender: Contender, threads: int, method: str, *arguments: Any) -> Any:
        """Call a method of the contender's worker.

        Raises:
            Unavailable: if the contender cannot be timed here, with the reason.
        """
        if contender.package and find_spec(contender.package) is None:
            raise Unavailable("not installed: pip install 'pyro-vae[bench]'")
        process, connection = self._running(contender.group, threads)
        try:
            connection.send((method, arguments))
            answer = connection.recv()
        except (EOFError, ConnectionError):
            del self.running[contender.group, threads]
            log = self._log(contender.group, threads).read_text().splitlines()
            raise Unavailable(
                f"failed: its process ended with {_ended(process)}; {(log or [''])[-1][:120]}"
            ) from None
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    def forget(self) -> None:
        """Free the contenders of every running worker."""
        for group, threads in list(self.running):
            with suppress(Unavailable):  # a group that failed to import has none
                self.ask(Contender("", group, ""), threads, "forget")

    def _running(self, group: str, threads: int) -> tuple[SpawnProcess, Connection]:
        if (group, threads) not in self.running:
            spawn = get_context("spawn")
            ours, theirs = spawn.Pipe()
            log = self._log(group, threads)
            process = spawn.Process(target=serve, args=(theirs, group, self.device, threads, log))
            with _environment(_threads(threads) | self.environment):
                process.start()
            theirs.close()
            self.running[group, threads] = process, ours
        return self.running[group, threads]

    def _log(self, group: str, threads: int) -> Path:
        return self.folder / f"{group}-{threads}.log"


def _ended(process: SpawnProcess) -> int | None:
    """The exit code of a worker whose pipe is closed; it is killed if it does not exit."""
    process.join(PATIENCE)
    process.kill()
    process.join()
    return process.exitcode


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set the variables for processes that start here."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _threads(threads: int) -> dict[str, str]:
    """An environment in which every library uses this many threads."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC")  # NPROC: XLA
    flags = os.environ.get("XLA_FLAGS", "")
    if threads == 1:
        flags = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    return dict.fromkeys(names, str(threads)) | {
        "XLA_FLAGS": flags,
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # leave GPU memory to the others
        "TQDM_DISABLE": "1",  # pythae's trainer always shows a bar
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no compiler processes
    }
