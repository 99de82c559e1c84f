"""A sweep: a declaration is trained at many points of a search space."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pyro_vae.core.errors import DeclarationError, PyroVAEError, RunFolderError
from pyro_vae.core.files import write_file
from pyro_vae.data.dataset import DataSet
from pyro_vae.experiment.declaration import DEFAULTS, Experiment
from pyro_vae.experiment.presets import read_declaration
from pyro_vae.experiment.run_folder import DECLARATION, runs_of_seeds
from pyro_vae.experiment.seeds import numbers_of_run, run_seeds
from pyro_vae.experiment.sweeps.result import SweepResult, result_of
from pyro_vae.experiment.sweeps.space import Point, Space, in_words
from pyro_vae.experiment.sweeps.study import Queue, optuna
from pyro_vae.experiment.yaml_file import dump, override, read_yaml
from pyro_vae.training.result import FitResult
from pyro_vae.training.resuming import changes

__all__ = ["prepared", "sweep", "work"]

FILE = "sweep.yaml"


def sweep(
    declaration: Mapping[str, Any] | str | Path,
    out: str | Path,
    *,
    storage: str | None = None,
    top: int = 10,
    show_progress: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> SweepResult:
    """Train a declaration at each point of its ``sweep`` section, and compare the best.

    Everything is checked before the first training. The same call goes on with a sweep that was
    stopped or killed; several processes may make it at once. Each training is an ordinary run
    folder, ``out/trial-N/seed-N``.

    Args:
        declaration: A mapping, or the name of a YAML file: a declaration as of ``pyro-vae train``
            with the section ``sweep``, and ``seeds`` for several trainings of each point.
        out: The sweep's folder.
        storage: URL of Optuna's storage, for several machines; a file in the folder without.
        top: How many trials are compared by their paired differences from the best.
        show_progress: Whether to show progress bars.
        say: Called with a sentence at each stage.

    Raises:
        DeclarationError: with every problem of the search space at once, or if the folder is that
            of another sweep.
        DataError: if Optuna is not installed.
    """
    if isinstance(declaration, str | Path):
        declaration = read_declaration(str(declaration))
    queue, data = prepared(declaration, Path(out), storage)
    if not work(queue, show_progress=show_progress, say=say):
        raise KeyboardInterrupt
    return result_of(queue, data, top, show_progress)


def prepared(
    mapping: Mapping[str, Any], out: Path, storage: str | None = None
) -> tuple[Queue, DataSet]:
    """Check everything, make the folder and queue the trials; with the data."""
    optuna()
    whole = override(dict(mapping), [], DEFAULTS)
    plain = json.loads(json.dumps(whole, default=str))  # so that no part is shared
    space = Space.read(plain)
    model = space.base.get("model")
    gaps = (
        {"missing": model["missing"]} if isinstance(model, Mapping) and "missing" in model else {}
    )
    data = Experiment.read({"data": space.base.get("data", "digits"), "model": gaps}).load_data()
    space.check(data)
    _take(out, plain, space)
    queue = Queue(space, out, storage)
    queue.fill()
    return queue, data


def _take(out: Path, mapping: dict[str, Any], space: Space) -> None:
    """Make the folder of this sweep, or go on in it.

    Raises:
        DeclarationError: if it is another sweep's, saying what differs.
        RunFolderError: if it holds something else, or cannot be made.
    """
    file = out / FILE
    if file.exists():
        before = read_yaml(file)
        if Space.read(before).name != space.name:
            found = [line for line in changes(before, mapping) if "sweep.trials" not in line]
            raise DeclarationError(
                [*found, f"({out} is another sweep's folder; choose another with --out)"],
                "Going on with a sweep",
            )
    elif out.exists() and any(out.iterdir()):
        raise RunFolderError(f"{out}: expected a new folder, or a sweep's; choose another: --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_file(file, dump(mapping).encode())
    except OSError as error:
        raise RunFolderError(f"{file}: cannot be written: {error.strerror}") from None


def work(
    queue: Queue,
    *,
    audit: bool = False,
    show_progress: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> bool:
    """Train trials until none is left; False after an interrupt, from which a sweep goes on."""
    while True:
        with queue.claimed() as trial:
            if trial is None:
                return True
            point = queue.point(trial)
            say(f"Trial {trial.number} of {queue.space.trials}: {in_words(point)}")
            try:
                value = _train(queue, trial, point, audit, show_progress)
            except RunFolderError:  # the next would have no room either
                raise
            except (PyroVAEError, RuntimeError, MemoryError) as error:
                trial.set_user_attr("error", str(error)[:2000])
                queue.study.tell(trial, state=optuna().trial.TrialState.FAIL)
                say(f"Trial {trial.number} failed: {error}")
            else:
                if value is None:
                    return False
                if math.isnan(value):
                    queue.study.tell(trial, state=optuna().trial.TrialState.PRUNED)
                    say(f"Trial {trial.number} was pruned: others were better at that epoch")
                else:
                    queue.study.tell(trial, value)
                    say(f"Trial {trial.number}: validation ELBO {value:.3f}")
            queue.finish(trial.number)


def _train(
    queue: Queue, trial: Any, point: Point, audit: bool, show_progress: bool
) -> float | None:
    """The mean validation ELBO over the seeds; NaN if it was pruned, None if interrupted."""
    experiment = Experiment.read(queue.space.declared(point))
    out = queue.folder / f"trial-{trial.number:04d}"
    frozen = queue.study.get_trials(deepcopy=False)[trial.number]
    reported, pruned = set(frozen.intermediate_values), False

    def on_epoch(seed: int, result: FitResult) -> None:
        nonlocal pruned
        epoch = int(result.history[-1]["epoch"])
        if seed == experiment.train.seed and epoch not in reported:
            reported.add(epoch)
            trial.report(result.history[-1]["validation_elbo"], epoch)
            if queue.space.prune is not None and trial.should_prune():
                pruned = True
                raise KeyboardInterrupt  # which ends the training, and keeps its folder

    runs = run_seeds(
        experiment, out, audit=audit, show_progress=show_progress, on_epoch=on_epoch,
        resume=(out / DECLARATION).exists(),
    )  # fmt: skip
    if pruned:
        return math.nan
    if runs and runs[-1].result.interrupted:
        return None
    trained = runs_of_seeds(out).values()
    return sum(numbers_of_run(run)["validation ELBO"] for run in trained) / len(trained)
