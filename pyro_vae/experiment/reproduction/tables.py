"""Tables of the rows that can be reproduced, and of the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyro_vae.diagnostics.comparison import Comparison, compare
from pyro_vae.experiment.reproduction.reproduce import Reproduced
from pyro_vae.experiment.reproduction.rows import Row, changed
from pyro_vae.report.numbers import MISSING, duration, nats, number
from pyro_vae.report.table import Cell, Table

__all__ = ["comparisons", "listing", "reproduced"]

NOT_RUN = Cell("not run", "muted")
UNITS = {"nll": "Negative log-likelihood, nats per datum", "perplexity": "Perplexity per word"}
COLUMNS = ["row", "schedule", "ours ± s.e.", "seeds: spread", "paper", "difference",
           "active units: ours, paper", "scored on", "training, scoring"]  # fmt: skip


def listing(rows: Mapping[str, Row]) -> list[Table]:
    """A table for each paper: its rows, their figures, and the length of each schedule."""
    tables: dict[str, Table] = {}
    for row in rows.values():
        preset = row.preset
        title = UNITS[preset.quantity]
        columns = ["row", "paper", "active units", *(f"--schedule {n}" for n in preset.schedules)]
        table = tables.setdefault(row.source, Table(title, columns, caption=row.source))
        lengths = (row.length(name) for name in preset.schedules)
        table.add(row.name, f"{row.figure:g}", row.active_units, *lengths)
    return list(tables.values())


def reproduced(results: Sequence[Reproduced]) -> Table:
    """Our figures beside the paper's, and a line for each schedule that was not run."""
    changes = dict.fromkeys(text for result in results for text in changed(result.overrides))
    caption = (
        "Ours: -log p(x) in nats per datum by K importance samples, or perplexity; s.e. over "
        "data; spread: standard deviation over seeds; difference: ours less the paper's."
    )
    if changes:
        caption += f" Changed on the command line, so no row of the paper: {', '.join(changes)}."
    table = Table("Reproduced", COLUMNS, caption=caption)
    for result in results:
        for schedule in result.row.preset.schedules:
            if schedule == result.schedule:
                table.add(result.row.name, *_cells(result))
            else:
                units = f"{MISSING}, {result.row.active_units or MISSING}"
                table.add(result.row.name, schedule, NOT_RUN, "", f"{result.row.figure:g}", "",
                          units, "", "")  # fmt: skip
    return table


def comparisons(results: Sequence[Reproduced]) -> list[Comparison]:
    """Each row compared with the one that its preset names, if both were run; first seed."""
    by_name = {result.row.name: result for result in results}
    pairs = [(by_name.get(r.row.own.against or ""), r) for r in results]
    return [
        compare({one.row.name: one.runs[0].scores, other.row.name: other.runs[0].scores})
        for one, other in pairs
        if one is not None and one.row.preset.quantity == "nll"
    ]


def _cells(result: Reproduced) -> list[str]:
    score, first = result.score, result.runs[0]
    ended = "" if not first.result.interrupted else ", interrupted"
    spread = "1" if result.spread is None else f"{len(result.runs)}: {number(result.spread, 2)}"
    gap = "" if result.difference is None else f"{result.difference:+.2f}"
    estimate = first.scores.estimates.get("importance_sampling")
    how = "" if estimate is None else f", K = {estimate.samples:,}"
    train, scoring = (duration(seconds) for seconds in result.seconds)
    return [
        result.schedule + ended, nats(score.value, score.stderr), spread,
        f"{result.row.figure:g}", gap,
        f"{result.active_units}, {result.row.active_units or MISSING}",
        f"{first.scores.count:,} test data{how}", f"{train}, {scoring}",
    ]  # fmt: skip
