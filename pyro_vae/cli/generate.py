"""``pyro-vae generate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyro_vae.cli import options
from pyro_vae.cli.common import import_components, say
from pyro_vae.core.errors import DataError


def generate(
    run: options.RunPath,
    out: Annotated[
        Path, typer.Option(help="Output file: a picture (.png) or an array (.npy).")
    ] = Path("samples.png"),
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, max=10**7, help="Number of samples.")
    ] = 60,
    sample: Annotated[
        bool, typer.Option("--sample", help="Draw x ~ p(x|z), not the mean of p(x|z).")
    ] = False,
    condition: Annotated[
        str | None,
        typer.Option(help="Of a conditional model: a class, or its numbers between commas."),
    ] = None,
    seed: options.Seed = 0,
    imports: options.Imports = None,
) -> None:
    """Draw new data from a run's model: z from the prior, then x, in the data's own units."""
    import_components(imports)
    import io

    import numpy as np
    import torch

    from pyro_vae.cli.runs import check_suffix, say_unfinished
    from pyro_vae.experiment.checkpoint import load
    from pyro_vae.experiment.run_folder import RunFolder
    from pyro_vae.plots import plot_samples
    from pyro_vae.plots.style import panels

    check_suffix("--out", out, ".png", ".npy")
    say_unfinished(run)
    vae = load(run)
    torch.manual_seed(seed)
    if vae.condition is not None and not vae.condition.latent and condition is None:
        raise DataError(
            f"--condition: expected one, since the run's model depends on it "
            f"({vae.condition.declaration}), got none"
        )
    given = vae.given(_numbers(condition), count)
    x = np.asarray(vae.inverse(given.generate(count, sample=sample, standardized=True)))
    folder = RunFolder(out.parent)
    if out.suffix == ".npy":
        stream = io.BytesIO()
        np.save(stream, x, allow_pickle=False)
        path = folder.write(out.name, stream.getvalue())
    else:
        what = "x ~ p(x|z)" if sample else "mean of p(x|z)"
        picture, (ax,) = panels()
        plot_samples(x, title=f"Samples: {what}, z ~ p(z)", ax=ax)
        path = folder.write_picture(out.name, picture)
    say(f"{count} samples of shape {x.shape[1:]}: {path}")


def _numbers(text: str | None) -> float | list[float] | None:
    """A condition as it is typed, such as 3 or 0.5,-1."""
    if text is None:
        return None
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise DataError(
            f"--condition: expected a class, such as 3, or numbers between commas, got {text!r}"
        ) from None
    return found if "," in text else found[0]
