"""Where a step's time goes: products, random numbers, optimizer, and what lies between."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.contenders.training import Training, Unavailable
from benchmarks.sizes import Size
from benchmarks.timing import SEED
from benchmarks.workers import Workers
from pyro_vae.report.numbers import MISSING, number
from pyro_vae.report.table import Cell, Table

__all__ = ["ENVIRONMENT", "KINDS", "PROFILED", "kind_of", "profile", "table"]

ENVIRONMENT = {"TORCHINDUCTOR_CPP_ENABLE_KERNEL_PROFILE": "1"}
"""With which compiled kernels show themselves to PyTorch's profiler."""
KINDS = {
    "products": r"(^|_|:)(add|b|badd)?mm(_out)?$|_linear_pointwise|^pyro_vae|convolution|gemm",
    "random": r"uniform|normal|bernoulli|rand|philox",
    "optimizer": r"adam|lerp|addcmul.*sqrt|addcdiv",
    "other kernels": r"^aten::|aoti_torch|^mkldnn::|_fused_|^triton|^void ",
}
"""What a profiler's event is, by the first pattern that its name has."""
PROFILED = tuple(
    c for c in CONTENDERS if c.variant in {"compiled exact", "Trace_ELBO", "compile", "autotune"}
)


def kind_of(name: str) -> str | None:
    """Which of :data:`KINDS` an event is; None for one that only contains others."""
    if name.startswith("##"):
        return None
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), None)


def profile(
    training: Training, placed: Sequence[Any], steps: int, device: str
) -> dict[str, float]:
    """Seconds a step by kind of work, and the whole step's without the profiler.

    Args:
        training: What is trained, already compiled.
        placed: Batches of at least two chunks.
        steps: In a chunk.
        device: ``cpu`` or ``cuda``.
    """
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    whole = []
    for batches in placed:
        began = time.perf_counter()
        training.train(batches)
        whole.append((time.perf_counter() - began) / steps)
    activities = [ProfilerActivity.CPU]
    if device == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profiled(activities=activities) as seen:
        for batches in placed:
            training.train(batches)
    spent = dict.fromkeys(KINDS, 0.0) | {"step": sorted(whole)[len(whole) // 2]}
    for event in seen.key_averages():
        kind = kind_of(event.key)
        if kind is not None:
            own = event.self_device_time_total if device == "cuda" else event.self_cpu_time_total
            spent[kind] += 1e-6 * own / (steps * len(placed))
    return spent


def table(size: Size, contenders: Sequence[Contender], workers: Workers, data: str) -> Table:
    """A row for each contender, in microseconds a step, on one thread.

    Args:
        size: The model.
        contenders: Those that PyTorch's profiler sees.
        workers: With :data:`ENVIRONMENT`.
        data: Path of the data.
    """
    made = Table(
        size.name, ["µs a step", "all", *KINDS, "between kernels"],
        caption="One thread. All: without the profiler. Between: all, less the kernels: Python, "
        "dispatch, allocation and waiting.",
    )  # fmt: skip
    threads = min(workers.threads)
    for one in contenders:
        try:
            workers.ask(
                one, threads, "build", variant=one.variant, size=size.json(), data=data, seed=SEED
            )
            spent = workers.ask(one, threads, "profile", variant=one.variant)
        except Unavailable as reason:
            made.add(Cell(f"{one.name}: {reason}", "muted"), *[MISSING] * (len(KINDS) + 2))
            continue
        between = spent["step"] - sum(spent[kind] for kind in KINDS)
        parts = [spent["step"], *(spent[kind] for kind in KINDS), max(0.0, between)]
        made.add(one.name, *(number(1e6 * part, 3) for part in parts))
    workers.forget()
    return made
