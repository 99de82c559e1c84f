"""Train a VAE with Pyro's SVI."""

from __future__ import annotations

import copy
import secrets
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pyro_vae.core.declaration import parse
from pyro_vae.core.errors import DeclarationError, IncompatibleComponents, ProcessError
from pyro_vae.core.modes import alone, seeded
from pyro_vae.core.processes import Processes, joined
from pyro_vae.data.conditions import conditioned
from pyro_vae.data.dataset import DataSet
from pyro_vae.data.loading import load_data
from pyro_vae.data.source import Source
from pyro_vae.data.support import check_support, warn_of_raw_counts
from pyro_vae.objectives.objective import Objective
from pyro_vae.training.amortization import check_amortization, check_classes, starting_data
from pyro_vae.training.callbacks import Callback, Callbacks
from pyro_vae.training.loop import Loop
from pyro_vae.training.nonfinite import OnNonFinite
from pyro_vae.training.precision import Precision, check_precision
from pyro_vae.training.result import FitResult
from pyro_vae.training.resuming import changes, check_resumable, facts_of, opened, snapshot_of
from pyro_vae.training.schedules.schedule import Schedule
from pyro_vae.training.settings import TrainSettings, resolve_device
from pyro_vae.training.snapshot import Snapshot
from pyro_vae.training.stepper import StepMethod
from pyro_vae.training.threads import threads_for
from pyro_vae.vae import VAE

__all__ = ["check_fits", "fit"]

DEFAULT: dict[str, Any] = {}
AGAIN = (
    "The model was trained or loaded before. It keeps its weights; Adam, epochs, schedules and "
    "patience start anew, which may cost nats. To go on from a fit's result, give resume=RESULT"
)


@alone()
def fit(
    vae: VAE,
    data: DataSet | Source | str | Mapping[str, Any] | Tensor | Any,
    *,
    objective: str | Mapping[str, Any] | Objective = "elbo",
    epochs: int = 50,
    batch_size: int = 128,
    lr: float = 1e-3,
    schedule: str | Mapping[str, Any] | Schedule = "constant",
    adam_eps: float = 1e-8,
    adam_betas: tuple[float, float] = (0.9, 0.999),
    patience: int | None = None,
    step: StepMethod = "auto",
    precision: Precision = "float32",
    device: str = "auto",
    on_nonfinite: OnNonFinite = "stop",
    max_rollbacks: int = 5,
    seed: int | None = 0,
    show_progress: bool = True,
    on_epoch: Callable[[FitResult], None] | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoints: str | Path | None = None,
    checkpoint: Mapping[str, Any] | None = DEFAULT,
    resume: FitResult | Snapshot | str | Path | None = None,
) -> FitResult:
    """Train a VAE in place with Pyro's ``SVI``.

    Everything is checked before the first step. After Ctrl-C, or the notebook's stop button, the
    result so far is returned, with the weights of the last step (of the best epoch, with
    patience; of before the first step, while the step is captured). One interrupt ends one fit:
    in a loop of fits write ``if result.interrupted: break``. With ``checkpoints``, SIGTERM and
    SIGHUP end it likewise. A model that was trained or loaded
    keeps its weights, and a warning says what starts anew. Threads take turns
    (:func:`~pyro_vae.alone`).

    In a script that ``torchrun`` started, the processes share each batch, and make the steps of
    one process, to rounding. Each calls ``fit`` with the same arguments and gets the same model;
    the first one's weights are copied before the first step.

    Args:
        vae: The model.
        data: A data set; its declaration, such as ``"digits"``; or an array or tensor
            ``(N, *event_shape)``, which is then split. The model keeps the data's
            standardization, if they have one.
        objective: What to maximize, as a name, a mapping with ``kind``, or an Objective.
        epochs: Passes over the training data.
        batch_size: Data in one step; the last batch of an epoch may be smaller.
        lr: Adam's learning rate. The loss is summed over the batch, as in Pyro.
        schedule: Learning-rate schedule, as a name (``constant``, ``cosine``), a mapping with
            ``kind``, or a Schedule.
        adam_eps: Adam's epsilon, added to the root of its second moment.
        adam_betas: Adam's decay rates of its first and second moment.
        patience: Stop after this many epochs without a better validation ELBO, and keep the
            best epoch's weights.
        step: ``compiled`` captures the whole step once and replays it
            (:class:`~pyro_vae.CompiledSVI`), ``pyro`` uses Pyro's own, and ``auto``
            times the first steps of Pyro's and compiles if that saves time. The steps are equal
            up to rounding; the result's ``step`` says which was used and why.
        precision: Of the networks' matrix products: ``float32``, ``tf32`` or ``bfloat16``.
        device: ``auto`` uses CUDA if available.
        on_nonfinite: At a step whose loss, gradient or weights are NaN or infinite: ``stop`` with
            an error; ``skip`` the step, unless an epoch has no other; or ``rollback``: go on from
            the last checkpoint, which is kept in memory too, with half the learning rate. The
            history counts ``skipped`` steps, and ``rollbacks`` so far.
        max_rollbacks: How many there may be before training stops.
        seed: Seed of the order of the data and of every draw; None takes a random one, and the
            result's ``settings`` record it. The caller's random generators are left as they were.
        show_progress: Whether to show a progress bar, with curves of the ELBO and its terms and
            the KL of each dimension: as a picture in a notebook, as characters in a terminal.
        on_epoch: Called with the result so far after each epoch; of several processes, in the
            first.
        callbacks: Called at the start, after each epoch and at the end: a
            :class:`~pyro_vae.Callback` each, such as :class:`~pyro_vae.TensorBoard`; of several
            processes, in the first.
        checkpoints: Folder for checkpoints, from which a training that was killed can go on; none
            are written without.
        checkpoint: When to write them, as a mapping of ``every`` (epochs), ``minutes``,
            ``after`` (minutes before the first) and ``keep``.
        resume: The result of a training, its ``snapshot``, or the folder of its checkpoints, to
            go on from. The model gets its weights. Every setting but ``epochs``, ``device``,
            ``checkpoint``, ``on_nonfinite`` and ``max_rollbacks`` must be the same. With the same
            device, PyTorch and number of threads the result is, to the bit, that of a training
            that never stopped.

    Raises:
        DeclarationError: if a setting is not valid, a warm-up is longer than the run, or a
            training is resumed with other settings.
        CheckpointError: if ``resume`` holds nothing to go on from.
        RunFolderError: if ``checkpoints`` cannot be written, or holds another training's.
        IncompatibleComponents: if the data do not match the model.
        NotCapturable: if ``step`` is ``compiled`` and a component has no static graph.
        NonFiniteLoss: if a loss, a gradient or a weight becomes NaN or infinite, naming the
            site or the parameters, the epoch and the batch, and ``on_nonfinite`` does not help;
            the weights are those before that step.
        ProcessError: if the processes of ``torchrun`` have not the same training, or one of them
            has ended.

    Example:
        >>> vae = VAE(event_shape=(3,), latent_dim=2)
        >>> result = fit(vae, torch.randn(200, 3), epochs=2, show_progress=False)
        >>> sorted(result.history[0])[:3]
        ['elbo', 'epoch', 'kl']
    """
    processes = joined()
    snapshot = processes.of_first(lambda: snapshot_of(resume))
    if seed is None:
        drawn = processes.of_first(lambda: secrets.randbelow(2**32))
        seed = snapshot.facts["run"]["train"]["seed"] if snapshot else drawn
    settings = TrainSettings.checked(
        epochs=epochs, batch_size=batch_size, lr=lr, adam_eps=adam_eps, adam_betas=adam_betas,
        patience=patience,
        schedule=schedule.declaration if isinstance(schedule, Schedule) else schedule,
        step=step, precision=precision, device=device,
        seed=seed, checkpoint=checkpoint, on_nonfinite=on_nonfinite, max_rollbacks=max_rollbacks,
    )  # fmt: skip
    where = resolve_device(settings.device)
    check_precision(settings.precision, where)
    maximized = _objective(objective)
    maximized.check(settings.epochs)
    maximized.loss_for(vae.condition)
    calls = Callbacks(callbacks, on_epoch, settings.seed, where)
    data = conditioned(load_data(data, vae.standardization, vae.on_missing), vae.condition)
    check_fits(vae, data, settings, processes.size)
    vae.standardization = data.standardization
    if processes.size > 1 and where.type == "cuda":
        torch.cuda.set_device(where)
    vae.to(data.train.x.device)  # where it is initialized: data may not fit on a GPU
    data = data.to(data.train.x.device, next(vae.parameters(), data.train.x).dtype)
    last = _last_batch(data, settings)
    result = FitResult(vae, settings, maximized.declaration, data.identity, str(where))
    facts = facts_of(result, threads_for(vae, settings.batch_size), processes.size)
    _check_processes(processes, settings, last, facts)
    if snapshot is not None:
        check_resumable(snapshot, facts, settings)
    elif vae._trained:
        warnings.warn(AGAIN, stacklevel=3)
    batch = checkpoints is not None
    if not processes.first:
        checkpoints, show_progress = None, False
        calls = Callbacks((), None, settings.seed, where)
    with opened(checkpoints, settings, snapshot) as store, seeded(settings.seed, where):
        trained, vae._trained = vae._trained, True
        start = _initialized(*starting_data(vae, data.train))
        vae.to(where)
        processes.copy_first(vae.state_dict())
        loop = Loop(data, maximized, result, where, calls, start, facts, processes, store,
                    snapshot, batch)  # fmt: skip
        with calls.to_the_end(result):
            loop.run(show_progress)
            vae._trained = trained or loop.start is None
            vae.eval()
    return result


def _initialized(vae: VAE, x: Tensor) -> dict[str, Tensor]:
    """Initialize from the data; the state before, but for a table that they made."""
    before = copy.deepcopy(vae.state_dict())
    vae.initialize(x)
    for name, value in vae.state_dict().items():
        if value.shape != before[name].shape:
            before[name] = value.clone()
    return before


def _objective(given: str | Mapping[str, Any] | Objective) -> Objective:
    if isinstance(given, Objective):
        return given
    built: Objective = parse(Objective, given, "objective").build()
    return built


def _check_last_batch(vae: VAE, size: int, processes: int) -> None:
    """Refuse a last batch of one datum, of which batch normalization has no variance."""
    normalized = any(isinstance(module, nn.BatchNorm1d) for module in vae.modules())
    if size // processes == 1 and normalized:
        share = "a " if processes == 1 else f"{processes} processes with a "
        raise IncompatibleComponents(
            f"Batch normalization: expected at least 2 data in each training batch, got {share}"
            f"last batch of {size}; choose another batch size (train.batch_size)"
        )


def _check_processes(
    processes: Processes, settings: TrainSettings, last: int, facts: dict[str, Any]
) -> None:
    """Refuse what several processes cannot share."""
    if processes.size == 1:
        return
    number = f"{processes.size} processes"
    for name, allowed in {"step": ("pyro", "auto"), "on_nonfinite": ("stop",)}.items():
        if (value := getattr(settings, name)) not in allowed:
            raise DeclarationError(
                f"train.{name}: must be {' or '.join(allowed)} where {number} share each batch, "
                f"got {value}; or train in one process, without torchrun",
                "How to train",
            )
    if last < processes.size:
        raise IncompatibleComponents(
            f"Expected a datum of each batch for each of {number}, got a last batch of {last}; "
            f"choose another batch size (train.batch_size), or fewer processes"
        )
    every = processes.all_of(facts | {"epochs": settings.epochs})
    for rank, theirs in enumerate(every):
        if unlike := [change.split(":")[0] for change in changes(every[0], theirs)]:
            raise ProcessError(
                f"Expected one training, shared by {number}, but that of process {rank} differs "
                f"from that of process 0 in {', '.join(unlike)}; to train several models, start "
                f"each without torchrun"
            )


def _last_batch(data: DataSet, settings: TrainSettings) -> int:
    count = len(data.train)
    return min(count, count % settings.batch_size or settings.batch_size)


def check_fits(vae: VAE, data: DataSet, settings: TrainSettings, processes: int = 1) -> None:
    """Refuse data, or settings, that a model cannot be trained with.

    Raises:
        IncompatibleComponents: saying what does not fit.
    """
    if tuple(data.event_shape) != tuple(vae.event_shape):
        raise IncompatibleComponents(
            f"Expected data of event shape {tuple(vae.event_shape)}, as the model was built for, "
            f"got {tuple(data.event_shape)} from {data.identity.name}"
        )
    check_support(vae.likelihood, data, vae.on_missing)
    warn_of_raw_counts(vae.likelihood, vae.encoder, data)
    check_amortization(vae, data)
    check_classes(vae, data, processes)
    _check_last_batch(vae, _last_batch(data, settings), processes)
    if settings.patience is not None and not len(data.validation):
        raise IncompatibleComponents(
            "Expected a validation split, since train.patience watches its ELBO, got none; set "
            "data.validation, or leave patience out"
        )
