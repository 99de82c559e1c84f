"""``pyro-vae compare``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pyro_vae.cli import options
from pyro_vae.cli.common import import_components, show, show_json


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN RUN ...", help="Folders of runs; the first is the baseline."),
    ],
    split: options.Split = "test",
    particles: options.Particles = 1,
    nll: options.Samples = None,
    data_count: options.DataCount = None,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.9999, help="Confidence level of each interval.")
    ] = 0.95,
    seed: options.Seed = 0,
    picture: Annotated[Path | None, typer.Option(help="PNG file for the differences.")] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    device: options.Device = "auto",
    root: options.Root = None,
    imports: options.Imports = None,
) -> None:
    """Compare runs on the same data: paired differences from the first, with intervals.

    Runs on different data, or with another binarization, are refused before anything is computed.
    """
    import_components(imports)
    from pyro_vae.cli.runs import check_suffix, open_run
    from pyro_vae.diagnostics import comparison
    from pyro_vae.diagnostics.evaluate import evaluate
    from pyro_vae.experiment.run_folder import RunFolder
    from pyro_vae.training.settings import resolve_device

    if picture is not None:
        check_suffix("--picture", picture, ".png")
    where = resolve_device(device)
    opened = {name: open_run(run, root) for name, run in _named(runs).items()}
    comparison.check_same_data({name: run.data.identity for name, run in opened.items()})
    found = comparison.compare(
        {
            name: evaluate(
                run.vae.to(where), run.data, split=split, particles=particles,
                nll=nll or False, data_count=data_count, seed=seed,
                show_progress=not (quiet or as_json),
            )
            for name, run in opened.items()
        },
        confidence=confidence,
    )  # fmt: skip
    if as_json:
        show_json(found.to_dict())
    else:
        show(found.table())
    if picture is not None:
        RunFolder(picture.parent).write_picture(picture.name, found.figure())


def _named(runs: Sequence[Path]) -> dict[str, Path]:
    """Each run by its folder's name, or by its path where two folders have the same name.

    Raises:
        IncompatibleScores: if a run is given twice, or there are fewer than two.
    """
    from pyro_vae.core.errors import IncompatibleScores

    paths = [run.resolve() for run in runs]
    if len(paths) < 2 or len(set(paths)) < len(paths):
        raise IncompatibleScores(
            f"Expected two runs or more, each once, got {', '.join(map(str, runs)) or 'none'}"
        )
    names = [path.name for path in paths]
    return {
        path.name if names.count(path.name) == 1 else str(run): run
        for run, path in zip(runs, paths, strict=True)
    }
