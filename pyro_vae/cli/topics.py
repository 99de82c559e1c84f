"""``pyro-vae topics``."""

from __future__ import annotations

from typing import Annotated

import typer

from pyro_vae.cli import options
from pyro_vae.cli.common import import_components, say, show, show_json
from pyro_vae.core.bounds import LARGEST_SIZE


def topics(
    run: options.RunPath,
    words: Annotated[
        int, typer.Option(min=2, max=LARGEST_SIZE, help="Top words of each topic.")
    ] = 10,
    split: options.Split = "test",
    as_json: options.Json = False,
    device: options.Device = "auto",
    root: options.Root = None,
    imports: options.Imports = None,
) -> None:
    """Print a run's topics: their top words, coherence (NPMI) and shares.

    Writes pictures/topics.png into the run's folder.
    """
    import_components(imports)
    from pyro_vae.cli.runs import open_run
    from pyro_vae.diagnostics.topics import topics as found_in
    from pyro_vae.training.settings import resolve_device

    where = resolve_device(device)
    opened = open_run(run, root)
    found = found_in(opened.vae.to(where), opened.data, words, split=split)
    picture = opened.folder.write_picture("pictures/topics.png", found.figure())
    if as_json:
        show_json(found.to_dict())
        return
    show(found.table())
    say(f"Picture: {picture}")
