"""``pyro-vae audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyro_vae.cli import options
from pyro_vae.cli.common import import_components, say, show


def audit(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FILE.py:MODEL,GUIDE",
            help="Folder of a run; or a Python file that defines a Pyro model, its guide, and "
            "args, the tuple of their arguments (and, if you like, kwargs and loss).",
        ),
    ],
    particles: Annotated[
        int | None,
        typer.Option(
            min=100,
            max=10**7,
            help="Draws for each method: by default 1000 for a run's data, 200 for a program.",
        ),
    ] = None,
    data: Annotated[
        int, typer.Option(min=1, max=10**6, help="Number of data, from a run's scored split.")
    ] = 64,
    data_size: Annotated[
        int | None,
        typer.Option(min=1, help="Size of the full data set, if a program has a part of it."),
    ] = None,
    seed: options.Seed = 0,
    html: Annotated[Path | None, typer.Option(help="Also write the table as HTML.")] = None,
    per_datum: Annotated[
        bool, typer.Option("--per-datum", help="Also print each datum's ELBO by each method.")
    ] = False,
    root: options.Root = None,
    imports: options.Imports = None,
) -> int:
    """Compare an ELBO by independent methods; exit status 1 if they disagree.

    For a run, writes audit.json and pictures/audit.png into its folder.
    """
    import_components(imports)
    if ".py:" in run or run.endswith(".py"):
        from pyro_vae.cli.programs import audit_of_program

        audited = audit_of_program(run, particles or 200, data_size, seed)
        show(audited.table(verdict=False))
        if html is not None:
            html.write_text(audited._repr_html_(), encoding="utf-8")
        say(f"Audit {audited.verdict}")
        return 0 if audited.passed else 1
    from pyro_vae.cli.runs import open_run
    from pyro_vae.experiment.run import audit_of

    opened = open_run(Path(run), root)
    objective = opened.experiment.objective.build()
    found = audit_of(
        opened.vae, opened.data, objective, count=data, particles=particles or 1000, seed=seed
    )
    say(f"Data: {opened.data.identity}")
    show(found.table(verdict=False))
    if per_datum and found.estimates:
        show(found.per_datum_table())
    opened.folder.write_json("audit.json", found.to_dict())
    if html is not None:
        with opened.folder.writing(html):
            html.write_text(found._repr_html_(), encoding="utf-8")
    say(f"Audit {found.verdict}")
    if found.draws:
        say(f"Picture: {opened.folder.write_picture('pictures/audit.png', found.figure())}")
    return 0 if found.passed else 1
