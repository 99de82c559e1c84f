"""A base class of results that print as a table."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from pyro_vae.report.table import Table

if TYPE_CHECKING:
    import rich.table

__all__ = ["ShownAsTable"]


class ShownAsTable:
    """Shown as its :meth:`table` by ``print``, by rich and at the end of a notebook cell.

    A dataclass must set ``repr=False``; its own repr would list the fields.

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
