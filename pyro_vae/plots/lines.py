"""Events that are not images, as lines: a panel for each datum."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pyro_vae.plots.style import BLUE, ORANGE, Picture

__all__ = ["MOST_LINES", "line_panels"]

MOST_LINES = 24
_FEW = 40  # values, each of which is shown as a dot


def line_panels(
    lines: Mapping[str, NDArray[np.float64]],
    *,
    titles: Sequence[str] | None = None,
    heading: str = "",
) -> Picture:
    """A panel for each datum, on common axes, with a line for each of ``lines``.

    Args:
        lines: Arrays ``(N, D)`` by name, all of one shape.
        titles: One for each datum.
        heading: Above the panels.
    """
    count, size = next(iter(lines.values())).shape
    drawn = min(count, MOST_LINES)
    ncols = min(4 if drawn <= 8 else 6, drawn)
    nrows = math.ceil(drawn / ncols)
    picture = Picture(max(9.6 * ncols / max(ncols, 4), 4.4), 1.3 * nrows + 0.9)
    panels = picture.subplots(nrows, ncols, sharex=True, sharey=True, squeeze=False).ravel()
    for spare in panels[drawn:]:
        spare.remove()
    for index, axes in enumerate(panels[:drawn]):
        for (name, values), colour in zip(lines.items(), (BLUE, ORANGE), strict=False):
            finite = np.where(np.isfinite(values[index]), values[index], np.nan)
            dots = "o" if size <= _FEW else ""
            axes.plot(finite, color=colour, lw=1.1, marker=dots, ms=2.2, label=name)
        axes.set_title(titles[index] if titles is not None else "", fontsize=8.5)
        axes.tick_params(labelbottom=index + ncols >= drawn)
    said = ["dimension of the event", _small_print(lines, drawn, count)]
    picture.supxlabel("\n".join(filter(None, said)), fontsize=9)
    picture.supylabel("value", fontsize=9)
    if heading:
        picture.suptitle(heading, x=0.01, ha="left", fontsize=10)
    if len(lines) > 1:
        handles, names = panels[0].get_legend_handles_labels()
        picture.legend(handles, names, loc="outside upper right", ncols=len(lines))
    return picture


def _small_print(lines: Mapping[str, NDArray[np.float64]], drawn: int, count: int) -> str:
    values = np.stack([line[:drawn] for line in lines.values()])
    said = [f"drawn: the first {drawn:,} of {count:,}"] if drawn < count else []
    lost = np.count_nonzero(~np.isfinite(values))
    if lost:
        said.append(f"{lost:,} of {values.size:,} values are not finite (gaps)")
    return "; ".join(said)
