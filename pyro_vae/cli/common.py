"""What the commands share: overrides, components of one's own, the console."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyro_vae.core.errors import DeclarationError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Imports", "RunPath", "assignments", "console", "import_components"]

Imports = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="FILE|MODULE",
        help="Python file or module that defines components of your own. Repeatable.",
    ),
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")]


def console() -> Console:
    """The console for results; wide where it is not a terminal, so that no table is cut."""
    from rich.console import Console

    found = Console(highlight=False, soft_wrap=False)
    return found if found.is_terminal else Console(highlight=False, width=200)


def assignments(arguments: Sequence[str]) -> list[str]:
    """Overrides in any spelling: ``path=value``, ``--path=value`` or ``--path value``.

    Raises:
        DeclarationError: naming what is none of these.

    Example:
        >>> assignments(["train.lr=1e-3", "--data.root", "data", "--train.epochs=2"])
        ['train.lr=1e-3', 'data.root=data', 'train.epochs=2']
    """
    found: list[str] = []
    problems: list[str] = []
    left = iter(arguments)
    for argument in left:
        path = argument.removeprefix("--")
        if "=" in path and not path.startswith(("-", "=")):
            found.append(path)
        elif argument.startswith("--") and "." in path:
            found.append(f"{path}={next(left, '')}")
        elif argument.startswith("-"):
            problems.append(
                f"{argument}: unknown option; a setting is given with its path, such as "
                f"train.{path.strip('-') or 'epochs'}=VALUE"
            )
        elif not problems:
            problems.append(f"{argument}: expected path=value, such as train.epochs=10")
    if problems:
        raise DeclarationError(problems, "The command line")
    return found


def import_components(names: Sequence[str] | None) -> None:
    """Define a user's own components, so that their names work.

    Raises:
        DeclarationError: if a file or module cannot be imported.
    """
    for name in names or ():
        try:
            _import(name)
        except DeclarationError:
            raise
        except Exception as error:
            raise DeclarationError(
                f"{name}: expected an importable file or module, got {type(error).__name__}: "
                f"{error}",
                "--import",
            ) from None


def _import(name: str) -> None:
    path = Path(name)
    if path.suffix != ".py":
        importlib.import_module(name)
        return
    if not path.is_file():
        raise DeclarationError(f"{name}: there is no such file", "--import")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
