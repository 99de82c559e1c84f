"""``pyro-vae``: its commands, and how errors are reported."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from typing import Any

import typer

from pyro_vae.cli import (
    audit,
    calibrate,
    compare,
    evaluate,
    generate,
    listing,
    new_data,
    report,
    reproduce,
    sharing,
    sweep,
    topics,
    train,
)
from pyro_vae.core.messages import printable

app = typer.Typer(
    name="pyro-vae",
    help="Variational autoencoders as Pyro programs, with an ELBO that is audited.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
SHARED = ("train", "evaluate")  # by the processes that torchrun started
EXTRA = {"allow_extra_args": True, "ignore_unknown_options": True}
app.command("train", context_settings=EXTRA)(train.train)
app.command("sweep", context_settings=EXTRA)(sweep.sweep)
app.command("audit")(audit.audit)
app.command("calibrate")(calibrate.calibrate)
app.command("evaluate")(evaluate.evaluate)
app.command("topics")(topics.topics)
app.command("compare")(compare.compare)
app.command("report")(report.report)
app.command("reproduce", context_settings=EXTRA)(reproduce.reproduce)
app.command("generate")(generate.generate)
app.command("encode")(new_data.encode)
app.command("score")(new_data.score)
app.command("share")(sharing.share)
app.command("export")(sharing.export)
app.command("list")(listing.list_components)
app.command("schema")(listing.schema)


def _version(asked: bool) -> None:
    if asked:
        from pyro_vae import __version__

        typer.echo(f"pyro-vae {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", callback=_version, is_eager=True
    ),
) -> None:
    """Variational autoencoders as Pyro programs, with an ELBO that is audited."""


def main() -> None:
    """Run a command; an error is reported by one message and an exit status, not a traceback."""
    sys.exit(guarded(run))


def run() -> Any:
    """The command of the command line; of several processes, only those that share work."""
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "train")
    if in_torchrun() and command not in SHARED:
        from pyro_vae.core.errors import ProcessError

        raise ProcessError(f"{command}: runs in one process; start it without torchrun")
    return app(standalone_mode=False)


def in_torchrun() -> bool:
    """Whether this is one of several processes."""
    return int(os.environ.get("WORLD_SIZE") or 1) > 1


def guarded(run: Callable[[], Any]) -> int:
    """The exit status of a command: 0, 1 (a check failed), 2 (bad input), 130 (interrupted)."""
    try:
        status = run()
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return fail("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        return explain(error)
    if status == 130:  # typer's status for Ctrl-C
        return fail("interrupted", 130)
    return status if isinstance(status, int) else 0


def explain(error: Exception) -> int:
    """Report an error in one message, and return the exit status."""
    usage = getattr(error, "format_message", None)  # click's, or typer's own copy of it
    if usage is not None:
        return fail(f"{usage()} (pyro-vae --help, or pyro-vae COMMAND --help)", 2)
    from pyro_vae.core.errors import PyroVAEError

    if isinstance(error, PyroVAEError):
        if error.is_printed:
            return 2
        if in_torchrun() and os.environ.get("RANK") != "0":
            time.sleep(5)  # where the first has the same to say, torchrun ends this one
        return fail(str(error), 2)
    if (limit := beyond(error)) is not None:
        return fail(limit, 2)
    if isinstance(error, OSError):
        return fail(f"{error.filename or 'a file'}: {error.strerror or error}", 2)
    if os.environ.get("PYRO_VAE_DEBUG"):
        raise error
    return fail(
        f"{type(error).__name__}: {error}\nThis is a bug in pyro_vae; PYRO_VAE_DEBUG=1 shows "
        f"the traceback",
        70,
    )


def beyond(error: Exception) -> str | None:
    """What to say where a setting asks for more than the machine, or a number, can hold."""
    text = str(error).split("\n")[0]
    memory = re.search(r"memory|allocate", text) and isinstance(error, RuntimeError)
    if memory or isinstance(error, MemoryError):
        return (
            f"expected settings that fit into memory, got too little: {text or 'none left'}; ask "
            f"for less: train.batch_size, objective.particles, the networks' sizes, the data"
        )
    if isinstance(error, RecursionError):
        return "expected a declaration of a few levels, got one nested too deeply; flatten it"
    if isinstance(error, OverflowError) or (
        isinstance(error, RuntimeError) and re.search(r"overflow|too large", text)
    ):
        return f"expected numbers that 64 bits can hold, got a larger one: {text}; lower it"
    return None


def fail(message: str, status: int) -> int:
    """Print an error, and return its exit status."""
    color = None if os.environ.get("NO_COLOR") else "red"
    typer.secho("error: ", fg=color, bold=color is not None, err=True, nl=False)
    typer.echo(printable(message), err=True)
    return status
