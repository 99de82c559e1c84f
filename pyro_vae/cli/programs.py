"""A Pyro program of the user's, from a Python file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_vae.cli.common import import_components
from pyro_vae.core.errors import DeclarationError

if TYPE_CHECKING:
    from pyro_vae.auditing.result import Audit

FORM = "FILE.py:MODEL,GUIDE, such as regression.py:model,guide"


def audit_of_program(named: str, particles: int, data_size: int | None, seed: int) -> Audit:
    """Audit the model and guide that a file defines, with its ``args``, ``kwargs`` and ``loss``.

    Raises:
        DeclarationError: if the file cannot be imported, or does not define them.
    """
    from pyro_vae.auditing.programs import audit

    file, _, names = named.rpartition(":")
    wanted = [name.strip() for name in names.split(",")]
    if not file or len(wanted) != 2:
        raise DeclarationError(f"{named}: expected {FORM}", "The program")
    import_components([file], what="The program")
    module = sys.modules[Path(file).stem]
    model, guide = (_defined(file, module, name) for name in wanted)
    args, kwargs = getattr(module, "args", ()), getattr(module, "kwargs", {})
    if not isinstance(args, (tuple, list)) or not isinstance(kwargs, dict):
        raise DeclarationError(
            f"{file}: expected args, a tuple, and kwargs, a dict, got {type(args).__name__} and "
            f"{type(kwargs).__name__}; for one argument write args = (x,)",
            "The program",
        )
    loss = getattr(module, "loss", None)
    return audit(model, guide, *args, particles=particles, data_size=data_size, seed=seed,
                 loss=loss, **kwargs)  # fmt: skip


def _defined(file: str, module: Any, name: str) -> Any:
    found = getattr(module, name, None)
    if not callable(found):
        known = ", ".join(n for n, v in vars(module).items() if callable(v) and n[0] != "_")
        raise DeclarationError(
            f"{file}: expected a function or module {name}, got {type(found).__name__}; it "
            f"defines {known or 'none'}",
            "The program",
        )
    return found
