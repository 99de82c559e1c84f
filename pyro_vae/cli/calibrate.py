"""``pyro-vae calibrate``."""

from __future__ import annotations

from typing import Annotated

import typer

from pyro_vae.cli import options
from pyro_vae.cli.common import import_components, say, show


def calibrate(
    run: options.RunPath,
    simulations: Annotated[
        int, typer.Option(min=100, max=10**7, help="Number of simulated data.")
    ] = 5000,
    draws: Annotated[
        int, typer.Option(min=25, max=10**6, help="Draws from q(z|x) for each datum.")
    ] = 200,
    data: Annotated[
        int, typer.Option(min=1, max=10**6, help="Number of data, from the scored split.")
    ] = 1000,
    seed: options.Seed = 0,
    quiet: options.Quiet = False,
    root: options.Root = None,
    imports: options.Imports = None,
) -> int:
    """Test on simulated data whether a run's q(z|x) is p(z|x); exit status 1 if it is not.

    Writes calibration.json and pictures/calibration.png into the run's folder.
    """
    import_components(imports)
    from pyro_vae.cli.runs import open_run
    from pyro_vae.diagnostics.calibration import calibrate as calibrated
    from pyro_vae.experiment.run import scored_data

    opened = open_run(run, root)
    vae, x = scored_data(opened.vae, opened.data, data, seed)
    found = calibrated(
        vae, x, simulations=simulations, draws=draws, seed=seed, show_progress=not quiet
    )
    say(f"Data: {opened.data.identity}")
    show(found.table())
    opened.folder.write_json("calibration.json", found.to_dict())
    picture = opened.folder.write_picture("pictures/calibration.png", found.figure())
    say(f"Calibration {found.verdict}")
    say(f"Picture: {picture}")
    return 0 if found.passed else 1
