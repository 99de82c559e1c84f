"""The results as pictures."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter
from PIL import Image

from benchmarks.contenders import FLOORS, Contender
from benchmarks.timing import Result
from pyro_vae.plots.style import BLUE, GREY, INK, ORANGE, Picture, note, styled
from pyro_vae.report.numbers import number

__all__ = ["bars", "growth", "save"]

GREEN, PURPLE, BROWN = "#3b9a5d", "#8d5fb0", "#a8633b"
COLOURS = {
    "ours": BLUE, "pyro_svi": ORANGE, "by_hand": GREEN, "numpyro_svi": PURPLE,
    "pythae_trainer": BROWN, "tutorial": ORANGE, "floor": GREY,
}  # fmt: skip
MARKERS = "osD^v"
LINES = {"pyro": "-.", "products": "--", "square": "-.", "bytes": ":"}
COLOURS_KEPT = 64


@styled
def bars(panels: Sequence[tuple[str, Sequence[Result]]], unit: str = "ms a step") -> Picture:
    """A panel for each size, with a bar for each contender that was timed, on a log axis.

    Args:
        panels: A title and its results.
        unit: ``ms a step`` or ``s an epoch``.
    """
    shown = [(title, _timed(results)) for title, results in panels]
    columns = min(2, len(shown))
    rows = math.ceil(len(shown) / columns)
    tallest = max(len(results) for _, results in shown)
    picture = Picture(5.6 * columns, rows * (0.55 + 0.21 * tallest) + 0.2)
    axes = picture.subplots(rows, columns, squeeze=False).ravel()
    for spare in axes[len(shown) :]:
        spare.remove()
    for panel, (title, results) in zip(axes, shown, strict=False):
        _bars(panel, title, results, 1000 if unit == "ms a step" else 1)
    floor = any(result.contender in FLOORS for _, results in shown for result in results)
    said = "; grey: the parts of the floor" if floor else ""
    note(picture, f"{unit}, median, on a log scale{said}")
    return picture


def _timed(results: Sequence[Result]) -> list[Result]:
    return [result for result in results if result.times and result.agrees and not result.note]


def _bars(axes: Axes, title: str, results: Sequence[Result], scale: float) -> None:
    values = [scale * result.median for result in results]
    low = min(values) / 1.6
    colours = [COLOURS[result.contender.group] for result in results]
    axes.barh(range(len(values)), [v - low for v in values], left=low, color=colours, height=0.7)
    axes.set_xscale("log")
    axes.set_xlim(low, 1.9 * max(values))
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.set_yticks(range(len(values)), [_short(result.contender) for result in results])
    axes.tick_params(axis="y", length=0, labelsize=7.5)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=False, axis="y")
    axes.set_title(title, fontsize=8.5)
    for place, value in enumerate(values):
        axes.annotate(number(value, 3), (value, place), xytext=(3, 0), va="center",
                      textcoords="offset points", fontsize=7, color=INK)  # fmt: skip


@styled
def growth(grown: Mapping[str, Sequence[tuple[int, Sequence[Result]]]]) -> Picture:
    """Time a step above and peak memory below, over each axis of growth, on log axes."""
    picture = Picture(3.6 * len(grown) + 0.4, 6.2)
    panels = picture.subplots(2, len(grown), squeeze=False)
    for column, (axis, points) in enumerate(grown.items()):
        above, below = panels[0][column], panels[1][column]
        for place, first in enumerate(points[0][1]):
            runs = [(n, results[place]) for n, results in points]
            _line(above, first.contender, place, [(n, 1000 * run.median) for n, run in runs])
            if first.contender not in FLOORS:
                memory = [(n, math.nan if r.megabytes is None else r.megabytes) for n, r in runs]
                _line(below, first.contender, place, memory)
        above.set_title(axis)
        for axes, label in ((above, "ms a step"), (below, "peak memory, MB")):
            axes.set(xscale="log", yscale="log", xlabel=axis, ylabel=label if not column else "")
            axes.xaxis.set_major_locator(FixedLocator([n for n, _ in points]))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.yaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
    handles, names = panels[0][0].get_legend_handles_labels()
    picture.legend(handles, names, loc="outside upper left", ncols=3)
    return picture


def save(picture: Picture, path: Path) -> None:
    """Write a PNG in few colours, which is all that it has, to keep the repository small."""
    buffer = io.BytesIO()
    picture.savefig(buffer, format="png")
    Image.open(buffer).convert("RGB").quantize(COLOURS_KEPT).save(path, optimize=True)


def _line(axes: Axes, contender: Contender, place: int, points: list[tuple[int, float]]) -> None:
    if all(math.isnan(value) for _, value in points):
        return
    floor = contender in FLOORS
    axes.plot(
        *zip(*points, strict=True), color=COLOURS[contender.group], label=_short(contender),
        marker="" if floor else MARKERS[place % len(MARKERS)], ms=4,
        ls=LINES.get(contender.variant, "-"),
    )  # fmt: skip


def _short(contender: Contender) -> str:
    """The name, without what every reader of the picture can do without."""
    name = contender.name.replace("torchvision, ToTensor, ", "")
    return name.replace("PyTorch by hand", "by hand").replace(", fused Adam", ", fused")
