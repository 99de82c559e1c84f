"""The style of every picture, the parts that pictures share, and a figure without pyplot."""

from __future__ import annotations

import functools
import io
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar, cast

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from pyro_vae.core.errors import DataError

__all__ = [
    "BAD",
    "BLUE",
    "DPI",
    "GREY",
    "INK",
    "ORANGE",
    "Picture",
    "as_array",
    "axes_or_new",
    "heading",
    "joint_legend",
    "minus",
    "name_rows",
    "note",
    "panels",
    "plain_ticks",
    "same_shape",
    "styled",
]

P = ParamSpec("P")
T = TypeVar("T")

BLUE, ORANGE, GREY, INK, BAD = "#2f6db3", "#d9772b", "#8a8f98", "#2b2f36", "#cc2f3a"

DPI = 120

# On top of matplotlib's own defaults, whatever the user's settings:
_STYLE: Any = {
    "figure.dpi": DPI,
    "figure.titlesize": 11,
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
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
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
}


class Picture(Figure):
    """A matplotlib figure without pyplot: no backend, no window, nothing global.

    A notebook shows it where a cell ends in it, once, with or without ``%matplotlib inline``;
    ``savefig`` writes PNG, PDF or SVG.

    Args:
        width: In inches, at 120 dots an inch.
        height: In inches.
    """

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()

    def savefig(self, *args: Any, **kwargs: Any) -> None:
        """Write the picture; see ``matplotlib.figure.Figure.savefig``."""
        with matplotlib.style.context(["default", _STYLE]):
            super().savefig(*args, **kwargs)


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Draw in this style, whatever the user's matplotlib settings."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        with matplotlib.style.context(["default", _STYLE]):
            return draw(*args, **kwargs)

    return drawn


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


def note(picture: Figure, text: str) -> None:
    """Print a remark in small grey type at the foot of the figure."""
    engine = picture.get_layout_engine()
    strip = 0.2 / picture.get_figheight()
    if text and isinstance(engine, ConstrainedLayoutEngine):
        engine.set(rect=(0, strip, 1, 1 - strip))
    if text:
        picture.text(0.01, strip / 4, text, fontsize=7.5, color=GREY)


def same_shape(one: Any, other: Any, names: str, shape: str) -> list[NDArray[np.float64]]:
    """Convert two arrays that must have one shape, such as ``(N, M)``."""
    arrays = [as_array(values, names) for values in (one, other)]
    first, second = (array.shape for array in arrays)
    if first != second or len(first) != len(shape.split(",")):
        raise DataError(
            f"{names}: expected two arrays of one shape ({shape}), got {first} and {second}"
        )
    return arrays


def axes_or_new(ax: Axes | None, width: float, height: float) -> tuple[Figure, Axes]:
    """The given axes, or those of a new figure of this size in inches; and their figure."""
    axes = Picture(width, height).subplots() if ax is None else ax
    return cast("Figure", axes.figure), axes


def panels(count: int, ncols: int, width: float, height: float, **options: Any) -> Any:
    """A figure with ``count`` axes in a grid, and a list of them; a row's height is in inches."""
    nrows = math.ceil(count / ncols)
    picture = Picture(width, height * nrows + 0.8)
    grid = picture.subplots(nrows, ncols, squeeze=False, **options).ravel()
    for spare in grid[count:]:
        spare.remove()
    return picture, list(grid[:count])


def heading(picture: Figure, title: str) -> None:
    """Print a title at the top left of the figure."""
    if title:
        picture.suptitle(title, x=0.01, ha="left", fontsize=10)


def joint_legend(picture: Figure, axes: Axes, loc: Any = "outside upper right") -> None:
    """One legend for the figure, in one row, from the entries of one axes."""
    handles, names = axes.get_legend_handles_labels()
    if len(handles) > 1:
        legend = picture.legend(handles, names, loc=loc, ncols=len(handles))
        for handle in legend.legend_handles:
            if handle is not None:
                handle.set_alpha(1.0)


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
