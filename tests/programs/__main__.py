"""Print the table of programs by planted mistakes: ``python -m tests.programs``."""

from __future__ import annotations

import time

import pyro

from pyro_vae import audit
from pyro_vae.report.table import Table
from tests.programs.mistakes import MISTAKES
from tests.programs.programs import CASES


def audited(make, plant=None, **options):
    """The audit of a program with a mistake, or the sentence that says why it cannot have it."""
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    case = make()
    if plant is not None:
        case = plant(case)
    if isinstance(case, str):
        return case
    return audit(case.model, case.guide, *case.args, data_size=case.data_size, **options)


def by_mistake() -> Table:
    """For each mistake: in how many programs it is caught, by which rows, and where not."""
    table = Table("Planted mistakes", ["mistake", "caught in", "by the row", "not caught"])
    for plant in MISTAKES:
        rows: dict[str, int] = {}
        left, caught = [], 0
        for make in CASES:
            found = audited(make, plant, particles=100, gradients=0)
            if isinstance(found, str):
                left.append(f"{make.__name__}: {found}")
            elif found.passed:
                left.append(f"{make.__name__}: NOT CAUGHT")
            else:
                caught += 1
                kind = found.failures[0].quantity.split(" of ")[0]
                rows[kind] = rows.get(kind, 0) + 1
        table.add(plant.__name__.replace("_", " "), f"{caught} of {len(CASES)}",
                  ", ".join(rows), "; ".join(left) or "-")  # fmt: skip
    return table


def by_program() -> Table:
    """Each program without a mistake: its verdict, its rows, and the time that it took."""
    table = Table("Programs without a mistake", ["program", "verdict", "rows", "tests", "seconds"])
    for make in CASES:
        start = time.perf_counter()
        found = audited(make)
        table.add(make.__name__.replace("_", " "), "passes" if found.passed else "FAILS",
                  len(found.checks), sum(check.tests for check in found.checks),
                  round(time.perf_counter() - start))  # fmt: skip
    return table


if __name__ == "__main__":
    print(by_program().markdown(), end="\n\n")
    print(by_mistake().markdown())
