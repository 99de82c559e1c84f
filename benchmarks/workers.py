"""The processes that contenders run in: one for each group and thread count."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from benchmarks.contenders import Contender
from benchmarks.contenders.training import Unavailable

__all__ = ["Workers", "thread_counts"]

ROOT = Path(__file__).parents[1]
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
        self.running: dict[tuple[str, int], subprocess.Popen[str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def ask(self, contender: Contender, threads: int, do: str, **request: Any) -> dict[str, Any]:
        """The answer of a contender's worker.

        Raises:
            Unavailable: if the contender cannot be timed here, with the reason.
        """
        if contender.package and find_spec(contender.package) is None:
            raise Unavailable("not installed: pip install 'pyro-vae[bench]'")
        worker = self._running(contender.group, threads)
        try:
            _pipe(worker.stdin).write(json.dumps({"do": do, **request}) + "\n")
            _pipe(worker.stdin).flush()
            line = _pipe(worker.stdout).readline()
        except BrokenPipeError:
            line = ""
        if not line:
            del self.running[contender.group, threads]
            code = _ended(worker)
            raise Unavailable(f"failed: its process ended with {code}; {self._last_words(worker)}")
        answer: dict[str, Any] = json.loads(line)
        if "unavailable" in answer:
            raise Unavailable(answer["unavailable"])
        return answer

    def forget(self) -> None:
        """Free the contenders of every running worker."""
        for group, threads in list(self.running):
            with suppress(Unavailable):  # a group that failed to import has none
                self.ask(Contender("", group, ""), threads, "forget")

    def end(self) -> None:
        """End every worker."""
        for worker in self.running.values():
            with suppress(BrokenPipeError):
                _pipe(worker.stdin).close()
        for worker in self.running.values():
            _ended(worker)
        self.running.clear()

    def _running(self, group: str, threads: int) -> subprocess.Popen[str]:
        if (group, threads) not in self.running:
            with (self.folder / f"{group}-{threads}.log").open("a") as log:
                self.running[group, threads] = subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.worker", group, self.device, str(threads)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                    cwd=ROOT, env=os.environ | _threads(threads) | self.environment,
                )  # fmt: skip
        return self.running[group, threads]

    def _last_words(self, worker: subprocess.Popen[str]) -> str:
        group = worker.args[-3]  # type: ignore[index]
        logs = sorted(self.folder.glob(f"{group}-*.log"))
        lines = [line for log in logs for line in log.read_text().splitlines()]
        return (lines or ["it said nothing"])[-1][:120]


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _ended(worker: subprocess.Popen[str]) -> int:
    """The exit code of a worker whose input was closed; it is killed if it does not exit."""
    try:
        worker.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        worker.kill()
    for pipe in (worker.stdin, worker.stdout):
        with suppress(BrokenPipeError):
            _pipe(pipe).close()
    return worker.wait()


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
