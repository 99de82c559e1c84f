"""``pyro-vae encode`` and ``pyro-vae score``: new data through a run's model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

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
    anomaly: Annotated[
        Literal["elbo", "typicality", "likelihood_ratio", "complexity"] | None,
        typer.Option(help="Write anomaly scores instead, by this method."),
    ] = None,
    background: Annotated[
        Path | None, typer.Option(metavar="RUN", help="For likelihood_ratio: another run.")
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    root: options.Root = None,
    imports: options.Imports = None,
) -> None:
    """Write log p(x) in nats for each row of new data, by importance sampling.

    Values are raw: the run's standardization or binarization is applied, and the density is that
    of values in the file's own units. With --anomaly: how unlike the training data each row is,
    in nats, the higher the more anomalous; typicality reads the run's data (--root, if moved).
    """
    import torch

    from pyro_vae.cli.runs import open_run
    from pyro_vae.core.errors import DataError
    from pyro_vae.core.modes import device_of
    from pyro_vae.diagnostics.anomalies import anomaly_scores
    from pyro_vae.diagnostics.new_data import score_samples
    from pyro_vae.experiment.checkpoint import load
    from pyro_vae.report.estimate import Estimate

    if anomaly != "likelihood_ratio" and background is not None:
        raise DataError("--background: expected --anomaly likelihood_ratio beside it")
    if anomaly == "likelihood_ratio" and background is None:
        raise DataError(
            "--anomaly likelihood_ratio: expected --background RUN beside it, got none"
        )
    vae, x = _opened(run, data, out, device, imports)
    if anomaly is not None:
        other = None
        if background is not None:
            other = load(background, str(device_of(vae)))
            other = other.given(vae.conditions if vae.batch else None)
        scores = anomaly_scores(
            vae, x, anomaly, samples=nll, seed=seed, background=other,
            data=open_run(run, root).data if anomaly == "typicality" else None,
        )  # fmt: skip
        path = _written(out, scores[:, None], [anomaly])
        mean = Estimate.of(torch.as_tensor(scores))
        say(f"anomaly scores of {len(scores)} data by {anomaly}, K = {nll}: {mean} nats: {path}")
        return
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
