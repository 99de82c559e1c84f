"""What every process of a run does, and all that those after the first do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyro

from pyro_vae.core.modes import alone
from pyro_vae.data.dataset import DataSet
from pyro_vae.data.support import check_support
from pyro_vae.experiment.declaration import Experiment
from pyro_vae.experiment.run_folder import CHECKPOINTS
from pyro_vae.networks.lookup import Lookup
from pyro_vae.objectives.objective import Objective
from pyro_vae.training.amortization import check_amortization
from pyro_vae.training.fit import fit
from pyro_vae.training.result import FitResult
from pyro_vae.vae import VAE

__all__ = ["built", "take_part"]


def built(experiment: Experiment, say: Callable[[str], None]) -> tuple[Experiment, VAE, DataSet]:
    """The declaration completed by its data, the untrained model, and the data.

    Raises:
        PyroVAEError: if they cannot be read or built, or do not fit together.
    """
    data = experiment.load_data()
    experiment = experiment.for_data(data)
    say(f"Data: {data.identity}")
    pyro.set_rng_seed(experiment.train.seed)
    vae = experiment.build()
    check_support(vae.likelihood, data, vae.on_missing)
    check_amortization(vae, data)
    table = vae.given(data.train.condition).encoder
    if isinstance(table, Lookup):
        table.initialize(data.train.x)  # now, so that disk space is reserved for its rows
        say(f"No encoder: {vae.posterior.kind} has free parameters for each training datum.")
    vae.standardization = data.standardization
    return experiment, vae, data


@alone()
def take_part(experiment: Experiment, out: Path) -> FitResult:
    """Train with the first process, which alone writes the run's folder ``out``.

    Raises:
        PyroVAEError: as in the first process, or if that has ended.
    """
    experiment, vae, data = built(experiment, lambda text: None)
    objective: Objective = experiment.objective.build()
    settings = experiment.train.model_dump(exclude={"log"})
    return fit(vae, data, objective=objective, show_progress=False,
               checkpoints=out / CHECKPOINTS, **settings)  # fmt: skip
