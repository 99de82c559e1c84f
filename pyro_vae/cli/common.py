"""What the commands share: overrides, importing a user's components, printing."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.messages import printable

if TYPE_CHECKING:
    from rich.console import Console


IMPORTED: set[str] = set()  # modules that came from files of the user's


def console() -> Console:
    """The console for results; 200 columns unless it is a terminal, so that no table is cut."""
    from rich.console import Console

    found = Console(highlight=False, soft_wrap=False)
    return found if found.is_terminal else Console(highlight=False, width=200)


def say(text: str) -> None:
    """Print a sentence without markup."""
    console().print(printable(text), markup=False)


def show(table: Any, *, markdown: bool = False) -> None:
    """Print a table."""
    if markdown:
        typer.echo(table.markdown() + "\n")
    else:
        console().print(table)


def show_json(content: Any) -> None:
    """Print JSON."""
    typer.echo(json.dumps(content, indent=2))


def assignments(arguments: Sequence[str]) -> list[str]:
    """Overrides in any spelling: ``path=value``, ``--path=value`` or ``--path value``.

    Raises:
        DeclarationError: listing every argument of another form.

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


def import_components(names: Sequence[str] | None, what: str = "--import") -> None:
    """Import the files and modules that define a user's own components.

    Args:
        names: The files and modules.
        what: What they are called in an error.

    Raises:
        DeclarationError: if a file or module cannot be imported.
    """
    for name in names or ():
        if name.endswith(".py") and not Path(name).is_file():
            raise DeclarationError(f"{name}: there is no such file", what)
        try:
            _import(name)
        except DeclarationError:
            raise
        except (Exception, SystemExit) as error:
            raise DeclarationError(
                f"{name}: expected an importable file or module, got {type(error).__name__}: "
                f"{error}",
                what,
            ) from None


def _import(name: str) -> None:
    path = Path(name)
    if path.suffix != ".py":
        importlib.import_module(name)
        return
    if path.stem not in IMPORTED and _is_taken(path.stem):
        raise DeclarationError(
            f"{name}: expected a name of its own, got that of Python's or a package's module "
            f"{path.stem}, which it would replace; rename the file",
            "--import",
        )
    IMPORTED.add(path.stem)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)


def _is_taken(name: str) -> bool:
    """Whether a module of this name is loaded, or found anywhere but in the current folder."""
    places = [place for place in sys.path if Path(place).resolve() != Path.cwd()]
    found = importlib.machinery.PathFinder.find_spec(name, places)
    return name in sys.stdlib_module_names or name in sys.modules or found is not None
