"""``pyro-vae audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyro_vae.cli.common import Imports, RunPath, console, import_components

__all__ = ["audit"]


def audit(
    run: RunPath,
    particles: Annotated[
        int, typer.Option(min=100, help="Draws for each datum and method.")
    ] = 1000,
    data: Annotated[
        int, typer.Option(min=1, help="Number of data, from the split that scores use.")
    ] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every draw.")] = 0,
    html: Annotated[Path | None, typer.Option(help="Also write the table as HTML.")] = None,
    per_datum: Annotated[
        bool, typer.Option("--per-datum", help="Also print the ELBO of each datum by each method.")
    ] = False,
    root: Annotated[
        str | None, typer.Option(help="Folder of the data, if it has moved (data.root).")
    ] = None,
    imports: Imports = None,
) -> int:
    """Check the ELBO of a run by independent methods; exit status 1 if they disagree.

    Writes audit.json and pictures/audit.png into the run's folder.
    """
    import_components(imports)
    from pyro_vae.cli.runs import open_run
    from pyro_vae.experiment.run import audit_of, write_picture
    from pyro_vae.experiment.run_folder import RunFolder

    opened = open_run(run, root)
    objective = opened.experiment.objective.build()
    audited = audit_of(
        opened.vae, opened.data, objective, count=data, particles=particles, seed=seed
    )
    screen = console()
    screen.print(f"Data: {opened.data.identity}", markup=False)
    screen.print(audited.table())
    if per_datum:
        screen.print(audited.per_datum_table())
    folder = RunFolder(run)
    folder.write_json("audit.json", audited.to_dict())
    picture = write_picture(folder, "audit", audited.figure())
    if html is not None:
        with folder.writing(html):
            html.write_text(audited._repr_html_(), encoding="utf-8")
    screen.print(f"Audit {audited.verdict}", markup=False)
    screen.print(f"Picture: {picture}", markup=False)
    return 0 if audited.passed else 1
