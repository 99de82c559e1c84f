"""``pyro-vae generate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyro_vae.cli.common import Imports, RunPath, console, import_components

__all__ = ["generate"]


def generate(
    run: RunPath,
    out: Annotated[
        Path, typer.Option(help="Where to: .png draws them, .npy keeps the numbers.")
    ] = Path("samples.png"),
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many.")] = 60,
    sample: Annotated[
        bool, typer.Option("--sample", help="Draw x ~ p(x|z), not the mean of p(x|z).")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    imports: Imports = None,
) -> None:
    """Draw new data from a run's model: z from the prior, then x."""
    import_components(imports)
    import io

    import numpy as np
    import torch

    from pyro_vae.core.errors import RunFolderError
    from pyro_vae.experiment.checkpoint import load
    from pyro_vae.experiment.run_folder import RunFolder
    from pyro_vae.plots import samples

    if out.suffix not in (".png", ".npy"):
        raise RunFolderError(f"--out: expected a name that ends in .png or .npy, got {out}")
    vae = load(run)
    torch.manual_seed(seed)
    x = vae.generate(count, sample=sample).numpy()
    stream = io.BytesIO()
    if out.suffix == ".npy":
        np.save(stream, x, allow_pickle=False)
    else:
        what = "x ~ p(x|z)" if sample else "mean of p(x|z)"
        samples(x, title=f"Samples: {what}, z ~ p(z)").savefig(stream, format="png")
    path = RunFolder(out.parent).write(out.name, stream.getvalue())
    console().print(f"{count} samples of shape {x.shape[1:]}: {path}", markup=False)
