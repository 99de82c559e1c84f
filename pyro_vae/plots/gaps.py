"""What a bound loses, datum by datum, as stacked bars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pyro_vae.core.errors import DataError
from pyro_vae.plots.style import BLUE, INK, ORANGE, Picture, as_array, note, styled

__all__ = ["gap_bars"]

_MOST = 40


@styled
def gap_bars(
    approximation: ArrayLike,
    amortization: ArrayLike,
    curve: Sequence[float] = (),
    *,
    title: str = "log p(x) - ELBO, and where it is lost",
) -> Picture:
    """The two gaps of each datum, the greatest in all first, beside the refinement's ELBO.

    Args:
        approximation: Lost by the family, ``(N,)``, in nats.
        amortization: Lost by the encoder, ``(N,)``.
        curve: Mean ELBO at each step of the refinement; empty leaves its panel out.
        title: Above the plot.

    Raises:
        DataError: if there is nothing to draw, or the two differ in shape.

    Example:
        >>> [axes.get_ylabel() for axes in gap_bars([0.1, 0.2], [0.4, 0.1], [-3.0, -2.5]).axes]
        ['nats', 'mean ELBO (nats per datum)']
    """
    family = as_array(approximation, "approximation")
    encoder = as_array(amortization, "amortization")
    if family.shape != encoder.shape or family.ndim != 1:
        raise DataError(
            f"gaps: expected two arrays of one shape (N,), got {family.shape} and {encoder.shape}"
        )
    order = np.argsort(-(family + encoder))[:_MOST]
    drawn = len(order)
    widths = [2, 1] if len(curve) else [1]
    picture = Picture(3.2 + 3.2 * len(widths), 3.4)
    panels = picture.subplots(1, len(widths), squeeze=False, width_ratios=widths).ravel()
    axes = panels[0]
    places = np.arange(drawn)
    axes.bar(places, family[order], 0.75, color=BLUE, label="approximation: the family")
    axes.bar(places, encoder[order], 0.75, bottom=np.maximum(family[order], 0), color=ORANGE,
             label="amortization: the encoder")  # fmt: skip
    axes.axhline(0, color=INK, lw=0.8)
    step = max(drawn // 10, 1)
    axes.set_xticks(places[::step], [f"#{n}" for n in order[::step]])
    axes.grid(visible=False, axis="x")
    axes.set(ylabel="nats", xlabel="datum, by both gaps", title=title)
    axes.legend()
    if len(curve):
        panels[1].plot(np.arange(1, len(curve) + 1), curve, color=BLUE, lw=1.2)
        panels[1].set(xlabel="step of the refinement", ylabel="mean ELBO (nats per datum)")
    said = f"means over {len(family)} data: {family.mean():.3g} and {encoder.mean():.3g} nats"
    note(picture, said + (f"; drawn: the {drawn} greatest" if drawn < len(family) else ""))
    return picture
