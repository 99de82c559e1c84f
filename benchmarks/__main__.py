"""Run the benchmark, print it, and write benchmarks/RESULTS.md: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import datetime
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path

import pyro
import torch

from benchmarks.contenders import CONTENDERS, SIZES, Size, Step
from pyro_vae.report.table import Table

REFERENCE = "Pyro SVI.step, Trace_ELBO"
RESULTS = Path(__file__).with_name("RESULTS.md")


def timed(step: Step, x: torch.Tensor, steps: int) -> float:
    """Milliseconds of a step, over a run of some."""
    began = time.perf_counter()
    for _ in range(steps):
        step(x)
    if x.is_cuda:
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - began) / steps


def measure(size: Size, device: torch.device, rounds: int, steps: int) -> dict[str, list[float]]:
    """Milliseconds a step of each contender, in turn so that drift strikes all alike."""
    pyro.set_rng_seed(0)
    x = torch.rand(size.batch, size.data, device=device).round()
    contenders = {name: make(size, device) for name, make in CONTENDERS.items()}
    for step in contenders.values():
        timed(step, x, steps)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, step in contenders.items():
            times[name].append(timed(step, x, steps))
    return times


def table(size: Size, times: dict[str, list[float]]) -> Table:
    """Medians, and the median of the ratios to Pyro's step, round by round."""
    result = Table(size.name, ["step", "ms, median", "min to max", "Pyro's time / its time"])
    for name, values in times.items():
        pairs = zip(times[REFERENCE], values, strict=True)
        ratio = statistics.median(reference / value for reference, value in pairs)
        span = f"{min(values):.2f} to {max(values):.2f}"
        result.add(name, f"{statistics.median(values):.2f}", span, f"{ratio:.2f}")
    return result


def machine(device: torch.device) -> str:
    """What it ran on."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "pyro-ppl"))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU only"
    threads = torch.get_num_threads()
    return (
        f"{datetime.date.today()}; {name}; {platform.machine()}, {threads} threads; "
        f"Python {platform.python_version()}, {packages}"
    )


def main() -> None:
    """Time every contender at every size."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--steps", type=int, default=40)
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    chosen = options.parse_args()
    device = torch.device(chosen.device)
    parts = ["# Benchmark results", "", "Written by `make bench`.", "", machine(device), ""]
    with pyro.validation_enabled(False):
        for size in SIZES:
            result = table(size, measure(size, device, chosen.rounds, chosen.steps))
            print(result, end="\n\n")
            parts += [result.markdown(), ""]
    RESULTS.write_text("\n".join(parts))
    print(f"Written to {RESULTS}")


if __name__ == "__main__":
    main()
