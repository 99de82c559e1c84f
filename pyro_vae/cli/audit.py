"""``pyro-vae audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyro_vae.cli import options
from pyro_vae.cli.common import import_components, say, show


def audit(
    run: options.RunPath,
    particles: Annotated[
        int, typer.Option(min=100, max=10**7, help="Draws for each datum and method.")
    ] = 1000,
    data: Annotated[
        int, typer.Option(min=1, max=10**6, help="Number of data, from the scored split.")
    ] = 64,
    seed: options.Seed = 0,
    html: Annotated[Path | None, typer.Option(help="Also write the table as HTML.")] = None,
    per_datum: Annotated[
        bool, typer.Option("--per-datum", help="Also print each datum's ELBO by each method.")
    ] = False,
    root: options.Root = None,
    imports: options.Imports = None,
) -> int:
    """Compare the ELBO of a run by independent methods; exit status 1 if they disagree.

    Writes audit.json and pictures/audit.png into the run's folder.
    """
    import_components(imports)
    from pyro_vae.cli.runs import open_run
    from pyro_vae.experiment.run import audit_of

    opened = open_run(run, root)
    objective = opened.experiment.objective.build()
    audited = audit_of(
        opened.vae, opened.data, objective, count=data, particles=particles, seed=seed
    )
    say(f"Data: {opened.data.identity}")
    show(audited.table())
    if per_datum:
        show(audited.per_datum_table())
    opened.folder.write_json("audit.json", audited.to_dict())
    picture = opened.folder.write_picture("pictures/audit.png", audited.figure())
    if html is not None:
        with opened.folder.writing(html):
            html.write_text(audited._repr_html_(), encoding="utf-8")
    say(f"Audit {audited.verdict}")
    say(f"Picture: {picture}")
    return 0 if audited.passed else 1
