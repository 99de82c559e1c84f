"""``pyro-vae compare``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyro_vae.cli import options
from pyro_vae.cli.common import import_components, show, show_json

if TYPE_CHECKING:
    from pyro_vae.diagnostics.comparison import Comparison


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

    The folder of several seeds' runs (seeds=N) counts as one: its interval is over the seeds, too.

    Runs on different data, or with another binarization, are refused before anything is computed.
    """
    import_components(imports)
    from pyro_vae.cli.runs import check_suffix
    from pyro_vae.experiment.run_folder import RunFolder

    if picture is not None:
        check_suffix("--picture", picture, ".png")
    found = compared(
        named(runs), root, device, confidence, split=split, particles=particles,
        nll=nll or False, data_count=data_count, seed=seed, show_progress=not (quiet or as_json),
    )  # fmt: skip
    if as_json:
        show_json(found.to_dict())
    else:
        show(found.table())
    if picture is not None:
        RunFolder(picture.parent).write_picture(picture.name, found.figure())


def compared(
    runs: Mapping[str, Path],
    root: str | None,
    device: str,
    confidence: float = 0.95,
    **settings: Any,
) -> Comparison:
    """Score runs alike and compare them, once their data are known to be the same.

    Args:
        runs: Folders by name; the first is the baseline.
        root: Where the data are, if moved.
        device: On which to score.
        confidence: Of each interval.
        settings: Of :func:`~pyro_vae.evaluate`.
    """
    from pyro_vae.cli.runs import open_seeds, over
    from pyro_vae.diagnostics import comparison
    from pyro_vae.diagnostics.evaluate import evaluate
    from pyro_vae.training.settings import resolve_device

    where = resolve_device(device)
    opened = {name: open_seeds(run, root) for name, run in runs.items()}
    comparison.check_same_data({
        name if seed is None else f"{name}, seed {seed}": run.data.identity
        for name, found in opened.items()
        for seed, run in found.items()
    })  # fmt: skip
    scores = {
        name: over(
            {s: evaluate(run.vae.to(where), run.data, **settings) for s, run in found.items()}
        )
        for name, found in opened.items()
    }
    return comparison.compare(scores, confidence=confidence)


def named(runs: Sequence[Path], least: int = 2) -> dict[str, Path]:
    """Each run by its folder's name, or by its path where two folders have the same name.

    Raises:
        IncompatibleScores: if a run is given twice, or there are fewer than ``least``.
    """
    from pyro_vae.core.errors import IncompatibleScores

    paths = [run.resolve() for run in runs]
    if len(paths) < least or len(set(paths)) < len(paths):
        count = "two runs" if least == 2 else "one run"
        raise IncompatibleScores(
            f"Expected {count} or more, each once, got {', '.join(map(str, runs)) or 'none'}"
        )
    names = [path.name for path in paths]
    return {
        path.name if names.count(path.name) == 1 else str(run): run
        for run, path in zip(runs, paths, strict=True)
    }
