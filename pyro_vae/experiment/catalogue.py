"""Tables of every known component, with its description and arguments."""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticUndefined

from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.messages import listed, nearest
from pyro_vae.core.schema import arguments_model
from pyro_vae.experiment.declaration import FAMILIES
from pyro_vae.report.table import Table

__all__ = ["catalogue"]


def catalogue(family: str | None = None) -> list[Table]:
    """A table for each family, including your own components.

    Args:
        family: Only this family.

    Raises:
        DeclarationError: if there is no such family.

    Example:
        >>> [table.title for table in catalogue("prior")]
        ['prior']
    """
    if family is not None and family not in FAMILIES:
        raise DeclarationError(
            f"family: must be {listed(FAMILIES)}, got {family!r}{nearest(family, FAMILIES)}",
            "The command line",
        )
    chosen = FAMILIES if family is None else {family: FAMILIES[family]}
    return [_table(name, cls.kinds()) for name, cls in chosen.items()]


def _table(name: str, kinds: dict[str, Any]) -> Table:
    table = Table(name, ["kind", "what it is", "arguments"])
    for kind, cls in kinds.items():
        table.add(kind, cls.summary(), ", ".join(_arguments(cls)) or "—")
    return table


def _arguments(cls: type) -> list[str]:
    fields = arguments_model(cls).model_fields
    return [
        name if field.default is PydanticUndefined else f"{name}={_plain(field.default)}"
        for name, field in fields.items()
    ]


def _plain(value: Any) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)
