"""The results as tables, and the file that holds them."""

from __future__ import annotations

import datetime
import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.contenders import FLOORS, REFERENCE
from benchmarks.contenders.floor import adam_bytes
from benchmarks.sizes import Size
from benchmarks.timing import TOLERANCE, Effort, Result
from pyro_vae.report.numbers import MISSING, number
from pyro_vae.report.table import Cell, Table

__all__ = ["disagreements", "epochs_table", "growth_tables", "how", "machine", "size_table"]

PACKAGES = ("torch", "pyro-ppl", "numpyro", "jax", "pythae", "torchvision", "numpy")


def size_table(size: Size, results: Sequence[Result], device: str) -> Table:
    """A row for each contender, and the floor's below; without a GPU, one that says so."""
    reference = _of(results, REFERENCE)
    table = Table(
        size.name,
        ["step", "threads", "ms, median", "min to max", "Pyro's time / its time",
         "loss, nats per datum", "first chunk, s"],
        caption=_floor_in_words(size, results),
    )  # fmt: skip
    for result in results:
        table.add(*_row(result, reference, 1000))
    _add_gpu(table, device)
    return table


def epochs_table(name: str, results: Sequence[Result], device: str) -> Table:
    """A row for each way to run an epoch; ratios to the tutorial's loop."""
    reference = results[0] if results else None
    table = Table(
        f"Whole epochs: {name}",
        ["epoch", "threads", "s, median", "min to max", "tutorial's time / its time",
         "loss, nats per datum", "first epoch, s"],
        caption="The loss is the mean over the first epoch; the first epoch's time includes what "
        "is built and compiled before it.",
    )  # fmt: skip
    for result in results:
        table.add(*_row(result, reference, 1))
    _add_gpu(table, device)
    return table


def growth_tables(grown: Mapping[str, Sequence[tuple[int, Sequence[Result]]]]) -> list[Table]:
    """For each axis a table of times and one of peak memory, a row for each contender."""
    tables = []
    for axis, points in grown.items():
        for what in ("ms a step", "peak MB"):
            table = Table(f"Growth in {axis}: {what}", [what, *(str(n) for n, _ in points)])
            for place, first in enumerate(points[0][1]):
                if what == "peak MB" and first.contender in FLOORS:
                    continue
                runs = [results[place] for _, results in points]
                cells = [_time(run) if what == "ms a step" else _megabytes(run) for run in runs]
                table.add(first.contender.name, *cells)
            tables.append(table)
    return tables


def disagreements(results: Sequence[Result]) -> list[str]:
    """A sentence for each contender that does not train the same model."""
    return [
        f"{r.contender.name}: learns {r.parameters:,} numbers, loss {r.loss:.2f}: not the model "
        "that the others train, so its time says nothing"
        for r in results
        if not r.note and not r.agrees
    ]


def machine(device: str) -> str:
    """What it ran on, and when."""
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return (
        f"{datetime.date.today()}; {_processor()}, {os.cpu_count()} cores{_accelerator(device)}; "
        f"{platform.system()}, Python {platform.python_version()}; {versions}."
    )


def how(part: str, effort: Effort) -> str:
    """How a part is measured, in words.

    Args:
        part: Key of a size, ``growth``, ``epochs``, ``profile`` or ``pieces``.
        effort: How much was done.
    """
    if part == "profile":
        return (
            "PyTorch's profiler over ten chunks of steps, on one thread; Inductor's kernels by "
            "the names of the operations that it fused. NumPyro's kernels do not show there."
        )
    if part == "pieces":
        return (
            "Two steps, and pieces of them by themselves, in "
            f"{effort.rounds} turns of about {effort.seconds:g} s each, one after the other: the "
            "matrix products of a step, each in the fastest of our step's ways, or as XLA makes "
            "them in a lax.scan, one after the other; and what CompiledSVI calls. No profiler is "
            "at work: XLA's makes a step of the digits two and a half times as long."
        )
    same = "Every contender trains the same model with Adam at 1e-3, on the same data"
    better = (
        "a row gives the better of one thread and all of them, the median over the turns, and the "
        "median of the ratios turn by turn."
    )
    if part == "epochs":
        return (
            f"{same}, its own way of loading and binarizing them included: {effort.rounds} epochs "
            f"each, one after the other, after a first that is not timed; {better}"
        )
    said = (
        f"{same}, which are on the device; a step takes its batch by row numbers. It must learn "
        "exactly as many numbers as the model has, and its mean loss over the first "
        f"{effort.check} steps, from the same weights on the same batches, must be within "
        f"{100 * TOLERANCE:.0f}% of the median of all, or its row says so. Each then takes "
        f"{effort.rounds} turns of about {effort.seconds:g} s, one after the other; {better}"
    )
    if part == "growth":
        return f"{said} Memory is the peak while training, less what the imported libraries hold."
    flow = " A flow has no KL in closed form: both compiled steps sample it."
    return (
        f"{said} The floor is what no step can be faster than: its matrix products, forward and "
        "backward, at the model's own shapes, each in the fastest of our step's ways, or as many "
        "operations in one square product of any numbers where that is faster still; and the "
        "bytes that Adam must move; each run alone in the same turns. pythae has no step of its "
        f"own: its time is that of its trainer's pass over a DataLoader.{flow * (part == 'flow')}"
    )


def _row(result: Result, reference: Result | None, unit: float) -> list[str | Cell]:
    name = result.contender.name
    if result.note:
        return [Cell(f"{name}: {result.note}", "muted"), *[MISSING] * 6]
    low, high = unit * min(result.times), unit * max(result.times)
    loss = MISSING if math.isnan(result.loss) else f"{result.loss:.2f}"
    return [
        name,
        str(result.threads),
        number(unit * result.median, 3),
        f"{number(low, 3)} to {number(high, 3)}",
        _ratio(reference, result) if result.agrees else Cell("not comparable", "bad"),
        loss if result.agrees else Cell(loss, "bad"),
        number(result.start, 2),
    ]


def _add_gpu(table: Table, device: str) -> None:
    """A row that says what a run on a CPU has not measured."""
    if device != "cuda":
        table.add(Cell("on a GPU: not measured in this run", "muted"), *[MISSING] * 6)


def _ratio(reference: Result | None, result: Result) -> str:
    if reference is None or reference.note or not reference.times:
        return MISSING
    pairs = zip(reference.times, result.times, strict=False)
    return number(statistics.median(theirs / its for theirs, its in pairs), 3)


def _floor_in_words(size: Size, results: Sequence[Result]) -> str:
    products, square, copies = (_of(results, floor.name) for floor in FLOORS)
    said = f"{size.parameters:,} parameters; {size.flops / 1e9:.3g} GFLOP a step"
    if products is None or square is None or copies is None:
        return said
    moved = adam_bytes(size)
    bound = 1000 * max(min(products.median, square.median), copies.median)
    return (
        f"{said}, at {size.flops / products.median / 1e9:.0f} GFLOP/s in the model's own products "
        f"and {size.flops / square.median / 1e9:.0f} in a square one; {moved / 1e6:.3g} MB of "
        f"Adam's, at {moved / copies.median / 1e9:.0f} GB/s; floor: {bound:.3g} ms"
    )


def _of(results: Sequence[Result], name: str) -> Result | None:
    return next((result for result in results if result.contender.name == name), None)


def _time(result: Result) -> str:
    return MISSING if result.note else number(1000 * result.median, 3)


def _megabytes(result: Result) -> str:
    return MISSING if result.megabytes is None else f"{result.megabytes:,.0f}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (names or [platform.machine()])[0]


def _accelerator(device: str) -> str:
    if device != "cuda":
        return ", no GPU used"
    import torch

    return f", {torch.cuda.get_device_name()}"
