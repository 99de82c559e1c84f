"""Where a picture is drawn, in which style, and the parts that pictures share."""

from __future__ import annotations

import contextlib
import functools
import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, TypeVar, cast

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from pyro_vae.core.errors import DataError
from pyro_vae.core.messages import listed

__all__ = [
    "BAD",
    "BLUE",
    "DPI",
    "GREY",
    "ORANGE",
    "STYLES",
    "Picture",
    "as_array",
    "axes_of",
    "choice",
    "ink",
    "minus",
    "name_rows",
    "note",
    "panels",
    "part_of",
    "plain_ticks",
    "same_shape",
    "styled",
]

P = ParamSpec("P")
T = TypeVar("T")

# Apart for color-blind readers, and by their lightness too; each is seen on white and on black.
BLUE, ORANGE, GREY, BAD = "#2f6db3", "#e08a3c", "#8a8f98", "#cc2f3a"
_INK = "#2b2f36"
STYLES = tuple(
    zip((BLUE, ORANGE, "#3b9a5d", "#8d5fb0", "#a8633b", "#4aa3a8"), "osD^vP", strict=True)
)

DPI = 120

# On top of matplotlib's own defaults, whatever the user's settings:
_STYLE: Any = {
    "figure.dpi": DPI,
    "figure.titlesize": 11,
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": _INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e8eb",
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.labelcolor": _INK,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
}


def _look() -> contextlib.AbstractContextManager[None]:
    return matplotlib.style.context(["default", _STYLE])


class Picture(Figure):
    """A matplotlib figure without pyplot, in the package's style, whatever the user's settings.

    A notebook shows it where a cell ends in it, once, with or without ``%matplotlib inline``;
    ``savefig`` writes PNG, PDF or SVG.

    Args:
        width: In inches, at 120 dots an inch; without it what is drawn sets the size.
        height: In inches.
    """

    def __init__(self, width: float | None = None, height: float = 4.8) -> None:
        super().__init__(figsize=(width or 6.4, height), layout="constrained")
        self.sized = width is not None
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()

    def savefig(self, *args: Any, **kwargs: Any) -> None:
        """Write the picture; see ``matplotlib.figure.Figure.savefig``."""
        with _look():
            super().savefig(*args, **kwargs)


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Draw in the package's style on a :class:`Picture`, in the user's on any other figure."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        figure = getattr(kwargs.get("ax"), "figure", None)
        with _look() if isinstance(figure, Picture) else contextlib.nullcontext():
            return draw(*args, **kwargs)

    return drawn


def axes_of(ax: Axes | None, width: float, height: float) -> tuple[Axes, bool]:
    """The given axes, or those of a new pyplot figure; and whether the figure's size is free.

    Raises:
        DataError: if ``ax`` is no Axes.
    """
    if ax is None:
        from matplotlib import pyplot as plt

        return plt.subplots(figsize=(width, height), layout="constrained")[1], True
    if not isinstance(ax, Axes):
        raise DataError(f"ax: expected a matplotlib Axes, got {type(ax).__name__}")
    free = isinstance(ax.figure, Picture) and not ax.figure.sized
    if free:
        cast("Figure", ax.figure).set_size_inches(width, height)
    return ax, free


def panels(
    count: int = 1, ncols: int = 1, width: float | None = None, height: float = 3.0, **options: Any
) -> tuple[Picture, list[Axes]]:
    """A :class:`Picture` with ``count`` axes in a grid, and a list of them.

    Args:
        count: Number of axes.
        ncols: In a row.
        width: Of the picture in inches; without it what is drawn sets the size.
        height: Of a row, in inches.
        **options: For ``Figure.subplots``.
    """
    nrows = math.ceil(count / ncols)
    with _look():
        picture = Picture(width, height * nrows)
        grid = picture.subplots(nrows, ncols, squeeze=False, **options).ravel()
    for spare in grid[count:]:
        spare.remove()
    return picture, list(grid[:count])


def part_of(result: Any, name: str, maker: str) -> Any:
    """An attribute of a result.

    Raises:
        DataError: if it has none, saying whose result is expected.
    """
    if not hasattr(result, name):
        raise DataError(f"Expected the result of {maker}, got {type(result).__name__}")
    return getattr(result, name)


def choice(name: str, given: object, known: Iterable[str]) -> None:
    """Refuse what is not among the known.

    Raises:
        DataError: naming them.
    """
    if given not in (names := list(known)):
        raise DataError(f"{name}: must be {listed(names)}, got {given!r}")


def as_array(values: Any, name: str) -> NDArray[np.float64]:
    """Convert numbers, or a tensor on any device, to a nonempty float array.

    Raises:
        DataError: if there are no values, or if they are not numbers.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu().double()
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"{name}: expected an array of numbers, got {type(values).__name__}"
        ) from None
    if array.size == 0 or array.ndim == 0:
        raise DataError(f"{name}: nothing to draw, its shape is {array.shape}")
    return array


def minus(text: str) -> str:
    r"""Numbers in text with a true minus sign, as matplotlib writes them on its axes.

    Example:
        >>> minus("-93.41 ± 0.05") == "\N{MINUS SIGN}93.41 ± 0.05"
        True
    """
    return re.sub(r"-(?=[\d.])", "\N{MINUS SIGN}", text)


def ink(ax: Axes) -> Any:
    """The color of text on these axes, dark or light."""
    return ax.title.get_color()


def note(ax: Axes, *remarks: str) -> None:
    """Print the remarks that are not empty in a line below the x label."""
    said = "; ".join(filter(None, remarks))
    if said:
        ax.set_xlabel("\n".join(filter(None, [ax.get_xlabel(), said])))


def same_shape(one: Any, other: Any, names: str, shape: str) -> list[NDArray[np.float64]]:
    """Convert two arrays that must have one shape, such as ``(N, M)``."""
    arrays = [as_array(values, names) for values in (one, other)]
    first, second = (array.shape for array in arrays)
    if first != second or len(first) != len(shape.split(",")):
        raise DataError(
            f"{names}: expected two arrays of one shape ({shape}), got {first} and {second}"
        )
    return arrays


def name_rows(axes: Axes, names: Sequence[str], margin: float = 0.5) -> None:
    """Make the y axis a list of names, from top to bottom."""
    axes.set_ylim(len(names) - 1 + margin, -margin)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def plain_ticks(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis: 1, 2 and 5 of each decade if there are few."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 5e3 * low else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
    axis.set_minor_locator(NullLocator())
