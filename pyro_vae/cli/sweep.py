"""``pyro-vae sweep``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyro_vae.cli import options
from pyro_vae.cli.common import assignments, import_components, say, show, show_json

if TYPE_CHECKING:
    from pyro_vae.experiment.sweeps.study import Queue


def sweep(
    context: typer.Context,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE [PATH=VALUE ...]",
            help="A YAML file: a declaration with the section sweep.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the sweep; by default runs/sweep-FILE.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, max=1000, help="Processes that train side by side.")
    ] = 1,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Optuna's storage, for several machines; by default a file in the folder.",
        ),
    ] = None,
    top: Annotated[
        int, typer.Option(min=0, max=10_000, help="Compare this many of the best.")
    ] = 10,
    audit: Annotated[bool, typer.Option(help="Audit each ELBO after training.")] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    imports: options.Imports = None,
    worker: Annotated[bool, typer.Option(hidden=True)] = False,
) -> int:
    """Train a declaration at many points of a search space, and compare the best.

    The same command goes on with a sweep that was stopped or killed. On several machines, give
    each the same FILE and --storage.

    Examples:
      pyro-vae sweep sweep.yaml
      pyro-vae sweep sweep.yaml --jobs 4 train.epochs=50
      pyro-vae sweep sweep.yaml --storage mysql://user@host/trials
    """
    overrides = assignments(context.args)
    import_components(imports)
    from pyro_vae.experiment.declaration import DEFAULTS
    from pyro_vae.experiment.presets import read_declaration
    from pyro_vae.experiment.sweeps.result import result_of
    from pyro_vae.experiment.sweeps.sweep import prepared, work
    from pyro_vae.experiment.yaml_file import override

    mapping = override(read_declaration(file), overrides, DEFAULTS)
    folder = out or Path("runs", f"sweep-{Path(file).stem}")
    queue, data = prepared(mapping, folder, storage)
    if jobs > 1:
        again = [file, *overrides, "--out", str(folder), "--worker", "-q"]
        again += ["--storage", storage] if storage else []
        again += ["--audit"] if audit else []
        again += [text for name in imports or () for text in ("--import", name)]
        finished = _side_by_side(queue, jobs, again, show_progress=not (quiet or as_json))
    else:
        told = say if not as_json else _nothing
        finished = work(queue, audit=audit, show_progress=not (quiet or as_json), say=told)
    if not finished:
        say("Go on with the same command")
        return 130
    if worker:
        return 0
    result = result_of(queue, data, top, not (quiet or as_json))
    if as_json:
        show_json(result.to_dict())
    else:
        show(result.table())
    return int(any(trial.state == "failed" for trial in result.trials))


def _nothing(text: str) -> None:
    """Say nothing."""


def _side_by_side(queue: Queue, jobs: int, again: Sequence[str], show_progress: bool) -> bool:
    """Run the same command in several processes; False if they were interrupted.

    Raises:
        RunFolderError: if one ended by an error, with the end of what it said.
    """
    from pyro_vae.core.errors import RunFolderError
    from pyro_vae.report.progress import progress

    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    command = [sys.executable, "-m", "pyro_vae", "sweep", *again]
    logs = [queue.folder / f"process-{number}.log" for number in range(jobs)]
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for log in logs:
            with log.open("wb") as stream:
                processes.append(subprocess.Popen(
                    command, stdout=stream, stderr=stream, start_new_session=True,
                    env={"OMP_NUM_THREADS": threads, **os.environ},
                ))  # fmt: skip
        with progress(queue.space.trials, "Trials", unit="trials", enabled=show_progress) as bar:
            while any(process.poll() is None for process in processes):
                time.sleep(0.2)
                bar.advance(_ended(queue) - bar.n)
            bar.advance(_ended(queue) - bar.n)
    except KeyboardInterrupt:
        return False
    finally:
        for process in processes:
            process.terminate()  # if it has not ended; it keeps what it has trained
        for process in processes:
            process.wait()
        signal.signal(signal.SIGTERM, before)
    for process, log in zip(processes, logs, strict=True):
        if process.returncode == 130:
            return False
        if process.returncode:
            end = log.read_text(errors="replace").strip()[-2000:]
            raise RunFolderError(f"{log}: a process ended with status {process.returncode}: {end}")
    return True


def _ended(queue: Queue) -> int:
    trials: list[Any] = queue.study.get_trials(deepcopy=False)
    return sum(trial.state.is_finished() for trial in trials)
