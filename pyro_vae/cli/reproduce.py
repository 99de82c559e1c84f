"""``pyro-vae reproduce``."""

from __future__ import annotations

import json
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyro_vae.cli import options
from pyro_vae.cli.common import assignments, import_components, say, show
from pyro_vae.cli.train import new_folder

if TYPE_CHECKING:
    from pyro_vae.experiment.reproduction.reproduce import Reproduced


def reproduce(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ROW ...] [PATH=VALUE ...]",
            help="Rows, and overrides; lists the rows if none.",
        ),
    ] = None,
    schedule: Annotated[
        str, typer.Option(help="short (two cores, minutes) or paper (the paper's own).")
    ] = "short",
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Number of seeds: 0, 1, ...")] = 1,
    samples: Annotated[
        int | None,
        typer.Option(min=2, max=10**9, metavar="K", help="Importance samples for the NLL."),
    ] = None,
    data_count: Annotated[
        int | None,
        typer.Option(min=2, max=10**9, help="Score only this many test data, evenly spaced."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the runs; by default a new one in runs/.")
    ] = None,
    markdown: options.Markdown = False,
    quiet: options.Quiet = False,
    imports: options.Imports = None,
) -> int:
    """Reproduce rows of papers' tables, and print our figures beside the paper's.

    Without ROW: lists the rows, with the paper's figure, its source and the schedules' lengths.
    Each run has a run folder. Rows that are run together are also compared, datum by datum.

    Examples:
      pyro-vae reproduce
      pyro-vae reproduce iwae-l1-vae-k1 iwae-l1-iwae-k50 data.root=DIR
      pyro-vae reproduce vamp-dynamic-standard vamp-dynamic-vamp --schedule paper --seeds 3
    """
    arguments = [*(names or ()), *context.args]
    chosen = list(takewhile(lambda text: "=" not in text and not text.startswith("-"), arguments))
    overrides = assignments(arguments[len(chosen) :])
    import_components(imports)
    from pyro_vae.experiment.reproduction import reproduce as runs
    from pyro_vae.experiment.reproduction import tables
    from pyro_vae.experiment.reproduction.rows import chosen_rows, rows
    from pyro_vae.experiment.run_folder import RunFolder
    from pyro_vae.training.settings import resolve_device

    if not chosen:
        for table in tables.listing(rows()):
            show(table, markdown=markdown)
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
                data_count=data_count, show_progress=not quiet, say=say,
            )
        )  # fmt: skip
        if done[-1].runs[-1].result.interrupted:
            break
    RunFolder(folder).write("reproduced.json", json.dumps([d.to_dict() for d in done]).encode())
    for table in (tables.reproduced(done), *(c.table() for c in tables.comparisons(done))):
        show(table, markdown=markdown)
    say(f"Runs: {folder}/")
    return 130 if done[-1].runs[-1].result.interrupted else 0
