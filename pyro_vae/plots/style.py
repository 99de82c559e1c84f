"""The look of every picture, in one place, and the figure that needs no pyplot."""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
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
    "minus",
    "note",
    "styled",
]

P = ParamSpec("P")
T = TypeVar("T")

BLUE, ORANGE, GREY, INK, BAD = "#2f6db3", "#d9772b", "#8a8f98", "#2b2f36", "#cc2f3a"

DPI = 120

_STYLE: Any = {
    "figure.facecolor": "white",
    "figure.dpi": DPI,
    "figure.titlesize": 11,
    "savefig.dpi": "figure",
    "savefig.facecolor": "auto",
    "savefig.bbox": None,
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "mathtext.fontset": "dejavusans",
    "text.usetex": False,
    "text.color": INK,
    "axes.facecolor": "white",
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e8eb",
    "grid.linewidth": 0.8,
    "grid.linestyle": "-",
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
        with matplotlib.rc_context(_STYLE):
            super().savefig(*args, **kwargs)


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Draw in this style, whatever the reader's own matplotlib settings are."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn


def as_array(values: Any, name: str) -> NDArray[np.float64]:
    """Convert numbers, or a tensor on any device, to a float array that is not empty.

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
