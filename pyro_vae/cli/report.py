"""``pyro-vae report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyro_vae.cli import options
from pyro_vae.cli.common import import_components, say


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN [RUN ...]", help="Folders of runs; the first is the baseline."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    codes: Annotated[
        bool,
        typer.Option("--map", help="Add an interactive map of the codes (needs Bokeh)."),
    ] = False,
    nll: options.Samples = None,
    data_count: options.DataCount = None,
    quiet: options.Quiet = False,
    device: options.Device = "auto",
    root: options.Root = None,
    imports: options.Imports = None,
) -> None:
    """Write one HTML file about a run, or about several runs and their paired differences.

    The file needs nothing else, and makes no request. One run's page needs its folder alone; a
    comparison (with --nll and --data-count) and a map load the models and the data.
    """
    import_components(imports)
    from pyro_vae.cli.compare import compared, named
    from pyro_vae.cli.runs import check_suffix, open_run
    from pyro_vae.experiment.report import report as page
    from pyro_vae.experiment.run_folder import RunFolder

    check_suffix("--out", out, ".html")
    folders = named(runs, least=1)
    maps = {}
    if codes:
        from pyro_vae.experiment.codes_map import check_bokeh, codes_map

        check_bokeh()
        for name, folder in folders.items():
            run = open_run(folder, root)
            maps[name] = codes_map(run.vae, run.data)
    comparison = None
    if len(folders) > 1:
        comparison = compared(
            folders, root, device, nll=nll or False, data_count=data_count,
            show_progress=not quiet,
        )  # fmt: skip
    text = page(folders, comparison, maps)
    say(f"Report: {RunFolder(out.parent).write(out.name, text.encode())}")
