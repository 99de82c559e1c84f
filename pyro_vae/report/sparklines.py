"""Small curves of a training that is under way: characters in a terminal, SVG in a notebook."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pyro_vae.report.numbers import number

__all__ = ["curves", "sparkline"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_MOST = 300  # points of a curve, and bars
_TERMS = {"elbo": "ELBO", "log_likelihood": "log-likelihood", "kl": "KL"}
_SPLITS = {"": ("train", "#3b78b8"), "validation_": ("validation", "#d9772b")}
_WIDTH, _HEIGHT, _TOP = 200, 70, 32  # of a panel, and of the two lines of text above
_SETTLED = 0.2  # of the curve, before which values may lie outside of the panel


def sparkline(values: Sequence[float], width: int, low: float | None = None) -> str:
    """Numbers as blocks of eight heights; a space for one that is not finite.

    Args:
        values: From left to right; of more than ``width``, evenly spaced ones and the last.
        width: Most characters.
        low: The value of the lowest block; the least that is shown without it.

    Example:
        >>> sparkline([-90.0, -40.0, -30.0, -27.0], 12)
        '▁▇██'
    """
    shown = _thinned(values, width)
    finite = [value for value in shown if math.isfinite(value)]
    if not finite:
        return " " * len(shown)
    bottom = min(finite) if low is None else low
    unit = 7 / ((max(finite) - bottom) or 1)
    heights = [round(unit * (v - bottom)) if math.isfinite(v) else None for v in shown]
    return "".join(" " if height is None else _BLOCKS[max(height, 0)] for height in heights)


def curves(history: Sequence[Mapping[str, float]], units: Sequence[float] = ()) -> str:
    """The ELBO and its terms at each epoch, and the KL of each dimension, as inline SVG.

    Blue is training, orange validation. It has no script, and takes the page's text color.

    Args:
        history: A record for each epoch, in nats per datum.
        units: The KL of each dimension in nats; largest first they are bars.
    """
    panels = [_panel(history, term, name) for term, name in _TERMS.items()]
    if units:
        panels.append(_bars(sorted(units, reverse=True)))
    step = _WIDTH + 24
    placed = (f'<g transform="translate({i * step} 0)">{p}</g>' for i, p in enumerate(panels))
    said = "ELBO, log-likelihood and KL at each epoch" + (", KL of each dimension" * bool(units))
    width, height = step * len(panels), _TOP + _HEIGHT + 4
    return (
        f'<svg role="img" aria-label="{said}" viewBox="0 0 {width} {height}" width="{width}" '
        f'style="max-width:100%;font:11px sans-serif" fill="currentColor">{"".join(placed)}</svg>'
    )


def _panel(history: Sequence[Mapping[str, float]], term: str, name: str) -> str:
    """One term: training and validation."""
    read = {p: [row[p + term] for row in history if p + term in row] for p in _SPLITS}
    found = {prefix: values for prefix, values in read.items() if values}
    late = [v for values in found.values() for v in values[int(_SETTLED * len(values)) :]]
    finite = [value for value in late if math.isfinite(value)] or [0.0]
    span = 1.2 * (max(finite) - min(finite)) or 1.0
    low = min(finite) - span / 12
    lines, said = "", ""
    for prefix, values in found.items():
        split, colour = _SPLITS[prefix]
        lines += _line(values, colour, low, span)
        said += f'<tspan fill="{colour}">{split} {number(values[-1])}</tspan> '
    return _framed(name, said, lines)


def _line(values: Sequence[float], colour: str, low: float, span: float) -> str:
    shown = _thinned(values, _MOST)
    step = _WIDTH / max(len(shown) - 1, 1)
    points = " ".join(
        f"{i * step:.1f},{_HEIGHT * (1 - (value - low) / span):.1f}"
        for i, value in enumerate(shown)
        if math.isfinite(value)
    )
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _bars(units: Sequence[float]) -> str:
    top, shown = max(units[0], 1e-9), units[:_MOST]
    each = _WIDTH / len(shown)
    bars = (
        f'<rect x="{i * each:.1f}" y="{_HEIGHT * (1 - max(kl, 0) / top):.1f}" '
        f'width="{0.85 * each:.1f}" height="{_HEIGHT * max(kl, 0) / top:.1f}" fill="#3b78b8"/>'
        for i, kl in enumerate(shown)
    )
    said = f"largest {number(units[0])}, smallest {number(units[-1])}"
    return _framed(f"KL of each of {len(units)} dimensions", said, "".join(bars))


def _framed(title: str, said: str, inside: str) -> str:
    """Two lines of text above a frame; what lies outside of that is cut off."""
    rule = f'<path d="M0 0V{_HEIGHT}H{_WIDTH}" fill="none" stroke="#8888" />'
    size = f'y="{_TOP}" width="{_WIDTH}" height="{_HEIGHT}"'
    text = f'<text y="11">{title}</text><text y="25">{said}</text>'
    return f"{text}<svg {size}>{rule}{inside}</svg>"


def _thinned(values: Sequence[float], most: int) -> list[float]:
    """Evenly spaced values, the last among them."""
    count = min(len(values), most)
    last = len(values) - 1
    return [values[last - (count - 1 - i) * last // max(count - 1, 1)] for i in range(count)]
