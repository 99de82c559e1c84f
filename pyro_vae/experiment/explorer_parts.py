"""Parts of the explorer: its images, its map, and the widgets of a condition."""

from __future__ import annotations

import html
import importlib.util
from typing import Any

from torch import Tensor

from pyro_vae.conditions.classes import Classes
from pyro_vae.core.condition import Condition

__all__ = ["clicked_map", "condition_widgets", "dots", "image"]

CLICKS = """
export default { render({ model, el }) {
  const draw = () => { el.innerHTML = model.get("value"); };
  el.addEventListener("click", event => {
    const svg = el.querySelector("svg");
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(
      svg.getScreenCTM().inverse());
    model.set("clicked", [at.x, at.y, Date.now()]);
    model.save_changes();
  });
  model.on("change:value", draw);
  draw();
} }
"""


def condition_widgets(condition: Condition | None, c: Tensor | None) -> list[Any]:
    """A list of the classes, or a slider for each number, as wide as the data's conditions.

    Args:
        condition: The model's; None for a model without.
        c: Those of the data, ``(N, *shape)``.
    """
    import ipywidgets as w

    if condition is None or c is None:
        return []
    place: Any = {"style": {"description_width": "28px"}, "layout": {"width": "240px"}}
    if isinstance(condition, Classes):
        return [w.Dropdown(options=range(condition.size), description="c", **place)]
    columns = c.double().flatten(1) if c.dim() > 1 else c.double().unsqueeze(1)
    ends = zip(columns.amin(0).tolist(), columns.amax(0).tolist(), strict=True)
    return [
        w.FloatSlider(
            min=low, max=high, step=(high - low) / 200 or 1.0, readout_format=".2f",
            description=f"c{index}", **place,
        )
        for index, (low, high) in enumerate(ends)
    ]  # fmt: skip


def dots(points: Any, color: Any, size: int) -> str:
    """Points of one color as SVG."""
    from matplotlib.colors import to_hex

    path = "".join(f"M{x:.0f} {y:.0f}h0" for x, y in points)
    style = f'stroke="{to_hex(color)}" stroke-width="{size}" stroke-linecap="round"'
    return f'<path d="{path}" {style} opacity=".8"/>'


def image(source: str, name: str, height: int = 88) -> str:
    """An image over its name."""
    said = html.escape(name)
    return (
        f'<figure style="display:inline-block;margin:4px;text-align:center"><img src="{source}" '
        f'alt="{said}" style="height:{height}px;image-rendering:pixelated">'
        f'<figcaption style="font-size:11px">{said}</figcaption></figure>'
    )


def clicked_map() -> Any:
    """A widget that shows SVG, and is told where it is clicked if anywidget is there."""
    if importlib.util.find_spec("anywidget") is None:
        from ipywidgets import HTML

        return HTML()
    import anywidget
    import traitlets

    class Map(anywidget.AnyWidget):  # type: ignore[misc,unused-ignore]
        _esm = CLICKS
        value = traitlets.Unicode().tag(sync=True)
        clicked: Any = traitlets.List().tag(sync=True)

    return Map()
