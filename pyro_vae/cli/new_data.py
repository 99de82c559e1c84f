"""``pyro-vae encode`` and ``pyro-vae score``: new data through a run's model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pyro_vae.cli import options
from pyro_vae.cli.common import import_components, say

DataPath = Annotated[
    Path, typer.Argument(metavar="DATA", help="New data: .csv, .parquet, .npy or .npz.")
]
HELP = "Output file: a table (.csv) or an array (.npy)."


def encode(
    run: options.RunPath,
    data: DataPath,
    out: Annotated[Path, typer.Option(help=HELP)] = Path("z.csv"),
    device: options.Device = "auto",
    imports: options.Imports = None,
) -> None:
    """Write a code for each row of new data: the mean of q(z|x), where it is known.

    Values are raw: the run's standardization or binarization is applied.
    """
    from pyro_vae.diagnostics.new_data import embed

    vae, x = _opened(run, data, out, device, imports)
    z = embed(vae, x)
    path = _written(out, z, [f"z{m}" for m in range(z.shape[1])])
    say(f"{len(z)} codes of {z.shape[1]} numbers: {path}")


def score(
    run: options.RunPath,
    data: DataPath,
    out: Annotated[Path, typer.Option(help=HELP)] = Path("scores.csv"),
    nll: Annotated[
        int, typer.Option(min=2, max=10**9, metavar="K", help="Importance samples for each datum.")
    ] = 50,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    imports: options.Imports = None,
) -> None:
    """Write log p(x) in nats for each row of new data, by importance sampling.

    Values are raw: the run's standardization or binarization is applied, and the density is that
    of values in the file's own units.
    """
    import torch

    from pyro_vae.diagnostics.new_data import score_samples
    from pyro_vae.report.estimate import Estimate

    vae, x = _opened(run, data, out, device, imports)
    scores = score_samples(vae, x, nll, seed=seed)
    path = _written(out, scores[:, None], ["log_p"])
    mean = Estimate.of(torch.as_tensor(scores))
    units = "" if vae.standardization is None else ", in the file's own units"
    say(f"log p(x) of {len(scores)} data, K = {nll}: {mean} nats per datum{units}: {path}")


def _opened(run: Path, data: Path, out: Path, device: str, imports: Any) -> tuple[Any, Any]:
    """The model, given conditions if it takes any, and the new data, once OUT can be written."""
    import_components(imports)
    from pyro_vae.cli.runs import check_suffix
    from pyro_vae.experiment.checkpoint import load, load_experiment
    from pyro_vae.experiment.new_data import read_new_data
    from pyro_vae.training.settings import resolve_device

    check_suffix("--out", out, ".csv", ".npy")
    vae = load(run, str(resolve_device(device)))
    x, c = read_new_data(data, load_experiment(run), vae)
    return vae.given(c), x


def _written(out: Path, values: Any, names: list[str]) -> Path:
    import io

    import numpy as np
    import pandas

    from pyro_vae.experiment.run_folder import RunFolder

    stream = io.BytesIO()
    if out.suffix == ".npy":
        np.save(stream, values, allow_pickle=False)
    else:
        pandas.DataFrame(values, columns=names).to_csv(stream, index=False)
    return RunFolder(out.parent).write(out.name, stream.getvalue())
