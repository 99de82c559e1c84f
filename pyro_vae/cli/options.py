"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pyro_vae.core.bounds import LARGEST_SEED, LARGEST_SIZE

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]
Imports = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="FILE|MODULE",
        help="Python file or module that defines components of your own. Repeatable.",
    ),
]
Split = Annotated[Literal["train", "validation", "test"], typer.Option(help="The split to score.")]
Particles = Annotated[
    int, typer.Option(min=1, max=10**6, help="Draws from q(z|x) for each datum.")
]
Samples = Annotated[
    int | None,
    typer.Option(
        min=2, max=10**9, metavar="K", help="Also -log p(x), by K importance samples (5000)."
    ),
]
DataCount = Annotated[
    int | None,
    typer.Option(min=1, max=LARGEST_SIZE, help="Score only this many data, evenly spaced."),
]
Seed = Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of every draw.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Root = Annotated[
    str | None, typer.Option(help="Where the data are, if moved: their folder, or the file.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
