"""A base class of results, which print as a table and convert to JSON."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from pyro_vae.report.table import Table

__all__ = ["ShownAsTable", "as_json"]


class ShownAsTable:
    """A result: a dataclass that is shown as its :meth:`table`, and written as JSON.

    ``print``, rich and the end of a notebook cell show the table. Set ``repr=False``, since the
    dataclass's own repr would list the fields. JSON has the fields by name, without those in
    ``omitted``, and the properties in ``derived``.

    Example:
        >>> @dataclasses.dataclass(repr=False)
        ... class Pair(ShownAsTable):
        ...     size: float = math.inf
        ...
        ...     def table(self):
        ...         table = Table("Pair", ["a", "b"])
        ...         table.add(1, 2)
        ...         return table
        >>> Pair()
        Pair
        a  b
        ----
        1  2
        >>> Pair().to_dict()
        {'size': None}
    """

    omitted: ClassVar[tuple[str, ...]] = ()
    derived: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def table(self) -> Table:
        """What is shown."""

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def __rich__(self) -> Table:
        return self.table()

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON, which has neither tensors nor NaN."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        names = [field.name for field in fields if field.name not in self.omitted]
        return {name: as_json(getattr(self, name)) for name in (*names, *self.derived)}


def as_json(value: Any) -> Any:
    """Convert to JSON's types: tensors to lists, objects to their fields, NaN and inf to None."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if hasattr(value, "tolist"):
        return as_json(value.tolist())
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
