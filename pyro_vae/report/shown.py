"""What shows itself as its table."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from pyro_vae.report.table import Table

if TYPE_CHECKING:
    import rich.table

__all__ = ["ShownAsTable"]


class ShownAsTable:
    """Printed, by rich, and at the end of a notebook's cell, it is its :meth:`table`.

    A dataclass says ``repr=False``, or it would be shown field by field.

    Example:
        >>> class Pair(ShownAsTable):
        ...     def table(self):
        ...         table = Table("Pair", ["a", "b"])
        ...         table.add(1, 2)
        ...         return table
        >>> Pair()
        Pair
        a  b
        ----
        1  2
    """

    @abstractmethod
    def table(self) -> Table:
        """What is shown."""

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def __rich__(self) -> rich.table.Table:
        return self.table().__rich__()

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()
