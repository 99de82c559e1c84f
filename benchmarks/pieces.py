"""What the two quickest steps are made of: pieces timed alone, and each product in each way."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

from pyro_vae.compiled.products import LEAST

from benchmarks.contenders import CONTENDERS, FLOORS, Contender
from benchmarks.sizes import Size
from benchmarks.timing import Result
from benchmarks.workers import Workers
from pyro_vae.report.numbers import MISSING, number
from pyro_vae.report.table import Table

__all__ = ["PIECES", "table", "ways", "ways_table"]

(OURS,) = (c for c in CONTENDERS if c.variant == "compiled exact")
(SCAN,) = (c for c in CONTENDERS if c.variant == "scan")
(PRODUCTS,) = (c for c in FLOORS if c.variant == "products")
FUNCTION = Contender("what pyro_vae compiles, called without CompiledSVI", "ours", "function")
BY_XLA = Contender("NumPyro's matrix products alone", "numpyro_svi", "products", "numpyro")
PIECES = (OURS, FUNCTION, PRODUCTS, SCAN, BY_XLA)


def table(size: Size, measured: Mapping[int, Sequence[Result]]) -> Table:
    """A row for each of the two steps at each thread count, and one of their difference.

    Args:
        size: The model.
        measured: By thread count, the results of :data:`PIECES`.
    """
    made = Table(
        size.name,
        ["ms a step", "threads", "all", "matrix products", "Python", "the rest"],
        caption="Medians. Python: the step, less what it compiles, turn by turn; a scan is called "
        "once a chunk. The rest: all, less the others; it is too small where products take longer "
        "alone than beside other work.",
    )
    for threads, results in measured.items():
        runs = {run.contender: run for run in results if not run.note}
        rows: dict[str, list[float]] = {}
        if runs.keys() >= {OURS, FUNCTION, PRODUCTS}:
            pairs = zip(runs[OURS].times, runs[FUNCTION].times, strict=True)
            python = statistics.median(whole - compiled for whole, compiled in pairs)
            rows[OURS.name] = [runs[OURS].median, runs[PRODUCTS].median, python]
        if runs.keys() >= {SCAN, BY_XLA}:
            rows[SCAN.name] = [runs[SCAN].median, runs[BY_XLA].median, 0.0]
        if len(rows) == 2:
            ours, scan = rows.values()
            rows["the first, less the second"] = [a - b for a, b in zip(ours, scan, strict=True)]
        for name, (whole, *parts) in rows.items():
            shown = [whole, *parts, whole - sum(parts)]
            made.add(name, str(threads), *(number(1000 * part, 3) for part in shown))
    return made


def ways(size: Size, workers: Workers) -> list[dict[str, float]]:
    """The seconds that each product of a step takes in each way, by a worker on a CPU."""
    found: list[dict[str, float]] = workers.ask(
        PRODUCTS, max(workers.threads), "ways", size=size.json()
    )["products"]
    return found


def ways_table(size: Size, threads: int, found: Sequence[Mapping[str, float]]) -> Table:
    """A row for each product that is large enough to be timed, a column for each way.

    Args:
        size: The model.
        threads: How many there were.
        found: By :func:`ways`.
    """
    times_of = {
        product: times
        for product, times in zip(size.products(), found, strict=True)
        if product.m * product.k * product.n >= LEAST
    }
    columns = sorted({*chain(*times_of.values())}, key=lambda way: (way != "blas", way))
    made = Table(
        f"{size.name}: its products in each way",
        ["µs", "a step", *columns, "quickest / blas"],
        caption=f"By the step's clock, on {threads} threads: the best of some runs, which begin "
        f"with cold caches. Products of under {LEAST:,} multiplications are the BLAS's.",
    )
    counts = Counter(size.products())
    for product, times in times_of.items():
        name = f"{product.of}: {product.m} x {product.k} by {product.k} x {product.n}"
        shown = [number(1e6 * times[way], 3) if way in times else MISSING for way in columns]
        best = number(min(times.values()) / times["blas"], 2)
        made.add(name, str(counts[product]), *shown, best)
    return made
