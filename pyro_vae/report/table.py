"""A table that reads well in a terminal, in Jupyter, in Markdown and in a log."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, SupportsFloat

import numpy as np

from pyro_vae.core.messages import printable
from pyro_vae.report.numbers import MISSING, number

if TYPE_CHECKING:
    import rich.table

__all__ = ["Cell", "Justify", "Style", "Table"]

Style = Literal["plain", "strong", "muted", "good", "bad"]
Justify = Literal["left", "right", "center"]

# The colours have a contrast of at least 4 to 1 on white and on near-black alike.
_CSS: dict[Style, str] = {
    "plain": "",
    "strong": "font-weight:600;",
    "muted": "opacity:.6;",
    "good": "color:#218f50;",
    "bad": "color:#d9363e;font-weight:600;",
}
_RICH: dict[Style, str] = {
    "plain": "",
    "strong": "bold",
    "muted": "dim",
    "good": "green",
    "bad": "bold red",
}
_RULE = "1px solid rgba(128,128,128,.45)"
_MARKED = re.compile(r"([\\`*~|<\[]|(?<![^\W_])_|_(?![^\W_]))")
_NUMERIC = re.compile(r"[-+]?(\d|inf\b|\.\d)")
_UNBROKEN = 24  # longest cell, in characters, that is not wrapped: a number with its error
_GAP = 3  # between two columns of rich's
_PAD = {"left": str.ljust, "right": str.rjust, "center": str.center}
_MARKDOWN_RULE = {"left": ":{}-", "right": "-{}:", "center": ":{}:"}


@dataclass(frozen=True)
class Cell:
    """A cell's text and what it means to the reader.

    Args:
        text: What it says.
        style: ``good`` and ``bad`` judge, ``strong`` and ``muted`` weigh.
    """

    text: str
    style: Style = "plain"


class Table:
    """Rows under named columns.

    ``print(table)``, ``rich.print(table)``, a notebook cell that ends in ``table``, and
    ``table.markdown()`` all show it. A cell is text, a number, None (a dash) or a :class:`Cell`;
    its text is always literal: no markup, and no control
    character that a terminal would obey.

    Args:
        title: Above the table.
        columns: The columns' names.
        caption: Below the table: the data, the estimator, the unit.
        justify: ``left``, ``right`` or ``center`` for each column; without it, columns of
            numbers are right-aligned and the others left-aligned.

    Raises:
        ValueError: if a row or ``justify`` does not have one entry for each column.

    Example:
        >>> table = Table("Scores", ["model", "ELBO"], caption="nats per datum")
        >>> table.add("vae", Cell("-93.412 ± 0.051", "good"))
        >>> print(table)
        Scores
        model             ELBO
        ----------------------
        vae    -93.412 ± 0.051
        nats per datum
    """

    def __init__(
        self,
        title: str,
        columns: Sequence[str],
        caption: str = "",
        justify: Sequence[Justify] | None = None,
    ) -> None:
        self.title = printable(title)
        self.columns = [printable(name) for name in columns]
        self.caption = printable(caption)
        self.rows: list[list[Cell]] = []
        self._justify = None if justify is None else list(justify)
        if self._justify is not None:
            self._check("justify", len(self._justify))

    def add(self, *cells: str | SupportsFloat | Cell | None) -> None:
        """Add a row, one cell for each column."""
        self._check("a row", len(cells))
        self.rows.append([_cell(cell) for cell in cells])

    @property
    def justify(self) -> list[Justify]:
        """The alignment of each column."""
        return self._justify or [_side(column) for column in self._columns()]

    def markdown(self) -> str:
        """GitHub-flavoured Markdown, aligned so that its source reads as a table too."""
        marked = [[_marked(cell) for cell in row] for row in self.rows]
        grid = [[_escaped(name) for name in self.columns], *marked]
        widths = [max(3, width) for width in _widths(grid)]
        ends = zip(self.justify, widths, strict=True)
        rules = [_MARKDOWN_RULE[side].format("-" * (width - 2)) for side, width in ends]
        lines = list(_padded(grid, self.justify, widths))
        body = [f"| {' | '.join(line)} |" for line in (lines[0], rules, *lines[1:])]
        title = [f"**{_escaped(self.title)}**", ""] if self.title else []
        caption = ["", _escaped(self.caption)] if self.caption else []
        return "\n".join([*title, *body, *caption])

    def __str__(self) -> str:
        grid = [self.columns, *([_flat(cell.text) for cell in row] for row in self.rows)]
        lines = ["  ".join(line) for line in _padded(grid, self.justify, _widths(grid))]
        rule = "-" * max(map(len, lines))
        parts = [self.title, lines[0], rule, *lines[1:], self.caption]
        return "\n".join(line.rstrip() for line in parts if line)

    __repr__ = __str__

    def __rich_console__(self, console: Any, options: Any) -> Iterator[rich.table.Table]:
        """As a table whose words stay whole; where that is too wide, one block a row."""
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(
            title=Text(self.title, "bold") if self.title else None,
            caption=Text(self.caption, "dim") if self.caption else None,
            box=box.SIMPLE_HEAD,
            title_justify="left",
            caption_justify="left",
        )
        shown = [[Text(cell.text, _RICH[cell.style]) for cell in row] for row in self.rows]
        texts = [[n, *column] for n, column in zip(self.columns, self._columns(), strict=True)]
        widths = _shared(texts, options.max_width - _GAP * len(texts) - 1)
        if widths:
            for name, side, width in zip(self.columns, self.justify, widths, strict=True):
                table.add_column(Text(name), overflow="fold", justify=side, width=width)
            for row in shown:
                table.add_row(*row)
        else:
            table.show_header = False
            table.add_column(style="dim", no_wrap=True)
            table.add_column(overflow="fold")
            for row in shown:
                for name, text in zip(self.columns, row, strict=True):
                    if text.plain:
                        table.add_row(Text(name), text)
                table.add_section()
        yield table

    def _repr_html_(self) -> str:
        heads = zip(self.columns, self.justify, strict=True)
        head = "".join(_html("th", name, side, _CSS["strong"]) for name, side in heads)
        body = "".join(f"<tr>{self._html_row(row)}</tr>" for row in self.rows)
        return (
            '<table style="border-collapse:collapse;margin:.5em 0;">'
            f"{_html_title(self.title)}"
            f'<thead style="border-bottom:{_RULE};"><tr>{head}</tr></thead>'
            f'<tbody style="border-bottom:{_RULE};">{body}</tbody></table>'
            f"{_html_note(self.caption)}"
        )

    def _html_row(self, row: list[Cell]) -> str:
        cells = zip(row, self.justify, strict=True)
        return "".join(_html("td", cell.text, side, _CSS[cell.style]) for cell, side in cells)

    def _columns(self) -> Iterator[list[str]]:
        for index in range(len(self.columns)):
            yield [row[index].text for row in self.rows]

    def _check(self, what: str, count: int) -> None:
        if count != len(self.columns):
            names = ", ".join(self.columns)
            raise ValueError(
                f"Expected {what} to have {len(self.columns)} entries ({names}), got {count}"
            )


def _cell(value: str | SupportsFloat | Cell | None) -> Cell:
    if isinstance(value, Cell):
        return Cell(printable(value.text), value.style)
    if isinstance(value, (bool, np.bool_)):
        return Cell(str(value))
    if value is None or isinstance(value, SupportsFloat):
        return Cell(number(value))
    return Cell(printable(value))


def _side(texts: list[str]) -> Justify:
    """Right for a column of numbers, left for any other."""
    said = [text for text in texts if text not in {MISSING, ""}]
    return "right" if said and all(_NUMERIC.match(text) for text in said) else "left"


def _shared(columns: list[list[str]], room: int) -> list[int]:
    """Widths of columns whose words stay whole; none if there is too little room."""
    widths = [max(map(_unbroken, texts)) for texts in columns]
    wanted = [max(map(len, texts)) - width for texts, width in zip(columns, widths, strict=True)]
    room -= sum(widths)
    if room < 0:
        return []
    for index in sorted(range(len(widths)), key=wanted.__getitem__):
        widths[index] += min(wanted[index], room)
        room -= min(wanted[index], room)
    return widths


def _unbroken(text: str) -> int:
    """Width of a number with its error, or of the longest word of a text."""
    return len(text) if _NUMERIC.match(text) else max(map(len, text.split()), default=0)


def _flat(text: str) -> str:
    return " ".join(text.split())


def _widths(grid: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*grid, strict=True)]


def _padded(
    grid: Sequence[Sequence[str]], sides: Sequence[Justify], widths: Sequence[int]
) -> Iterator[list[str]]:
    for row in grid:
        cells = zip(row, sides, widths, strict=True)
        yield [_PAD[side](text, width) for text, side, width in cells]


def _escaped(text: str) -> str:
    return _MARKED.sub(r"\\\1", _flat(text))


def _marked(cell: Cell) -> str:
    text = _escaped(cell.text)
    return f"**{text}**" if text and cell.style in {"strong", "bad"} else text


def _html(tag: str, text: str, side: Justify, css: str) -> str:
    wrap = "white-space:nowrap;" if len(text) <= _UNBROKEN else ""
    style = f"text-align:{side};padding:.25em .8em;{wrap}{css}"
    return f'<{tag} style="{style}">{html.escape(text)}</{tag}>'


def _html_title(text: str) -> str:
    style = f"caption-side:top;text-align:left;color:inherit;padding:.25em .8em;{_CSS['strong']}"
    return f'<caption style="{style}">{html.escape(text)}</caption>' if text else ""


def _html_note(text: str) -> str:
    style = f"padding:0 .8em;font-size:.9em;{_CSS['muted']}"
    return f'<div style="{style}">{html.escape(text)}</div>' if text else ""
