"""``pyro-vae reproduce``."""

from __future__ import annotations

import json
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyro_vae.cli.common import Imports, assignments, console, import_components
from pyro_vae.cli.train import new_folder

if TYPE_CHECKING:
    from pyro_vae.experiment.reproduction.reproduce import Reproduced

__all__ = ["reproduce"]


def reproduce(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ROW ...] [PATH=VALUE ...]", help="Rows by name, and overrides; none lists."
        ),
    ] = None,
    schedule: Annotated[
        str, typer.Option(help="short (two cores, minutes) or paper (the paper's own).")
    ] = "short",
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds: 0, 1, ...")] = 1,
    samples: Annotated[
        int | None, typer.Option(min=2, metavar="K", help="Importance samples, for the NLL.")
    ] = None,
    data_count: Annotated[
        int | None, typer.Option(min=2, help="Score only so many test data, evenly spaced.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the runs; a new one in runs/ by default.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    imports: Imports = None,
) -> int:
    """Run rows of papers' tables again, and print ours beside the paper's.

    Without ROW: lists the rows, with the paper's figure, its source and the schedules' lengths.
    Each run is a run folder. Rows that are run together are also compared, datum by datum.

    Examples:
      pyro-vae reproduce
      pyro-vae reproduce iwae-l1-vae-k1 iwae-l1-iwae-k50 data.root=DIR
      pyro-vae reproduce vamp-dynamic-standard vamp-dynamic-vamp --schedule paper --seeds 3
    """
    arguments = [*(names or ()), *context.args]
    chosen = list(takewhile(lambda text: "=" not in text and text[0] != "-", arguments))
    overrides = assignments(arguments[len(chosen) :])
    import_components(imports)
    from pyro_vae.experiment.reproduction import reproduce as runs
    from pyro_vae.experiment.reproduction import tables
    from pyro_vae.experiment.reproduction.rows import chosen_rows, rows
    from pyro_vae.experiment.run_folder import RunFolder
    from pyro_vae.training.settings import resolve_device

    screen = console()
    if not chosen:
        for table in tables.listing(rows()):
            typer.echo(table.markdown() + "\n") if markdown else screen.print(table)
        return 0
    asked = chosen_rows(chosen)
    for row in asked:  # everything is checked before anything is trained
        row.scoring(schedule, samples, data_count)
        resolve_device(row.experiment(schedule, overrides).train.device)
    folder = out or new_folder("reproduce")
    RunFolder.check_new(folder)
    done: list[Reproduced] = []
    for row in asked:
        done.append(
            runs.reproduce(
                row, schedule, folder, seeds=seeds, overrides=overrides, samples=samples,
                data_count=data_count, show_progress=not quiet,
                say=lambda text: screen.print(text, markup=False),
            )
        )  # fmt: skip
        if done[-1].runs[-1].result.interrupted:
            break
    RunFolder(folder).write("reproduced.json", json.dumps([d.to_dict() for d in done]).encode())
    for shown in (tables.reproduced(done), *(c.table() for c in tables.comparisons(done))):
        typer.echo(shown.markdown() + "\n") if markdown else screen.print(shown)
    screen.print(f"Runs: {folder}/", markup=False)
    return 130 if done[-1].runs[-1].result.interrupted else 0
