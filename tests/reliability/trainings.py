"""Trainings in processes of their own, which can be killed, and what came of them."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from pathlib import Path

SMALL = (
    "model.latent_dim=2", "model.decoder.hidden=[16]", "guide.encoder={kind: mlp, hidden: [16], "
    "batch_norm: true}", "train.checkpoint={every: 2, after: 0.0, minutes: 0.001, keep: 2}",
    "--no-audit", "-q",
)  # fmt: skip


def start(*arguments, prepare=lambda: None):
    """Run a command in a fork of this process, which has imported everything; give its id."""
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler if number == 2 else signal.SIG_DFL)
        log = os.open(os.environ["RELIABILITY_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(log, 1), os.dup2(log, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        from pyro_vae.cli.app import app, guarded

        prepare()
        status = guarded(lambda: app([str(a) for a in arguments], standalone_mode=False))
        sys.stdout.flush(), sys.stderr.flush()
    finally:
        os._exit(status)


def wait(child):
    """The exit status; a signal's number is negative."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def train(folder, *settings, **options):
    return start("train", *SMALL, *settings, "--out", folder, **options)


def resume(folder, **options):
    return start("train", "--resume", folder, "--no-audit", "-q", **options)


def train_to(epoch, folder, *settings, moment=0.0, checkpoints=0):
    """A training that has stopped itself some seconds of its own time after an epoch's end.

    However busy the machine is, it is amid its training when a fault strikes; see ``goes_on``. It
    is a later epoch's end if there are too few checkpoints yet.
    """

    def pause(*_):
        os.kill(os.getpid(), signal.SIGSTOP)

    def prepare():
        from pyro_vae.experiment.run_folder import RunFolder

        append, ended, struck = RunFolder.append_history, [], []

        def counted(run_folder, record):
            append(run_folder, record)
            ended.append(record)
            if len(ended) < epoch - 1 or struck:  # the first epoch is not appended
                return
            if not checkpoints or len(whole_checkpoints(folder)) >= checkpoints:
                struck.append(epoch)
                signal.signal(signal.SIGVTALRM, pause)
                signal.setitimer(signal.ITIMER_VIRTUAL, moment or 1e-6)

        RunFolder.append_history = counted

    child = train(folder, *settings, prepare=prepare)
    status = os.waitpid(child, os.WUNTRACED)[1]
    assert os.WIFSTOPPED(status), f"the training ended before epoch {epoch}: {status}"
    return child


def goes_on(child):
    """Let a training that has stopped itself go on."""
    os.kill(child, signal.SIGCONT)


def is_prepared(folder):
    """Whether the run's folder was made, so that there is something to resume."""
    return (folder / "state.json").exists()


def fingerprint(folder):
    """Of a finished run's weights, and of its history without the times."""
    history = [line.rpartition(",")[0] for line in (folder / "history.csv").read_text().split()]
    total = hashlib.sha256((folder / "weights.safetensors").read_bytes())
    total.update("\n".join(history).encode())
    return total.hexdigest()


def whole_checkpoints(folder):
    """The oldest first."""
    return sorted(p for p in (folder / "checkpoints").iterdir() if p.name.isdigit())


def lines(text):
    """How often the log of all processes says something."""
    return Path(os.environ["RELIABILITY_LOG"]).read_text().replace("\n", " ").count(text)
