"""``pyro-vae compare``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pyro_vae.cli.common import Imports, console, import_components
from pyro_vae.cli.evaluate import Split

__all__ = ["compare"]


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN ...", help="Folders; the first is held still.")
    ],
    split: Annotated[Split, typer.Option(help="Which data.")] = Split.test,
    particles: Annotated[int, typer.Option(min=1, help="Draws from q(z|x) for each datum.")] = 1,
    nll: Annotated[
        int | None,
        typer.Option(min=2, metavar="K", help="Also -log p(x), by K importance samples (5000)."),
    ] = None,
    data_count: Annotated[
        int | None, typer.Option(min=1, help="Score only so many data, evenly spaced.")
    ] = None,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.9999, help="Of each interval.")
    ] = 0.95,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    picture: Annotated[Path | None, typer.Option(help="Draw the differences into a PNG.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    root: Annotated[str | None, typer.Option(help="Where the data are now (data.root).")] = None,
    imports: Imports = None,
) -> None:
    """Compare runs on the same data: paired differences from the first, with intervals.

    Runs on unlike data, or with another binarization, are refused before anything is computed.
    """
    import_components(imports)
    from pyro_vae.cli.runs import open_run
    from pyro_vae.diagnostics import comparison
    from pyro_vae.diagnostics.evaluate import evaluate
    from pyro_vae.training.settings import resolve_device

    _check_picture(picture)
    where = resolve_device(device)
    opened = {name: open_run(run, root) for name, run in _named(runs).items()}
    comparison.check_same_data({name: run.data.identity for name, run in opened.items()})
    found = comparison.compare(
        {
            name: evaluate(
                run.vae.to(where), run.data, split=split.value, particles=particles,
                nll=nll or False, data_count=data_count, seed=seed,
                show_progress=not (quiet or as_json),
            )
            for name, run in opened.items()
        },
        confidence=confidence,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
    else:
        console().print(found.table())
    if picture is not None:
        import io

        from pyro_vae.experiment.run_folder import RunFolder

        stream = io.BytesIO()
        found.figure().savefig(stream, format="png")
        RunFolder(picture.parent).write(picture.name, stream.getvalue())


def _check_picture(picture: Path | None) -> None:
    from pyro_vae.core.errors import RunFolderError

    if picture is not None and picture.suffix != ".png":
        raise RunFolderError(f"--picture: expected a name that ends in .png, got {picture}")


def _named(runs: Sequence[Path]) -> dict[str, Path]:
    """Each run by the shortest name that no other has: its folder's, or its path.

    Raises:
        IncompatibleScores: if a run is named twice, or there are fewer than two.
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
