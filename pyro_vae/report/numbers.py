"""Numbers as text: as many digits as carry meaning, and never more."""

from __future__ import annotations

import math
from typing import SupportsFloat

import numpy as np

__all__ = ["MISSING", "duration", "nats", "number"]

MISSING = "—"
_DECIMALS = 3  # of a value in nats whose standard error is not known
_MOST_DECIMALS = 6


def number(value: SupportsFloat | None, digits: int = 4) -> str:
    """A number to ``digits`` significant digits, with thousands separated; integers in full.

    None and NaN are a dash: there is nothing to show. Infinity is a result, and shows itself.

    Example:
        >>> [number(value) for value in (60000, 0.123456, -1234.5, 1.5e-9, 3e12, None)]
        ['60,000', '0.1235', '-1,234', '1.500e-09', '3.000e+12', '—']
    """
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    value = math.nan if value is None else float(value)
    if math.isnan(value):
        return MISSING
    if math.isinf(value) or value == 0:
        return f"{value:g}"
    exponent = _exponent(value, digits)
    if not -4 <= exponent < 7:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(digits - 1 - exponent, 0)}f}"


def nats(value: float | None, stderr: float | None = None) -> str:
    """A value with its standard error, to the two leading digits of that error.

    Args:
        value: In nats (or any other unit); None and NaN are a dash.
        stderr: Standard error in the same unit; None, NaN and 0 leave it out.

    Example:
        >>> nats(-93.41234, 0.0512), nats(-93.41234), nats(float("nan"), 0.1)
        ('-93.412 ± 0.051', '-93.412', '—')
        >>> nats(-93.41234, 12.3), nats(float("-inf"))
        ('-93 ± 12', '-inf')
    """
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return f"{value:g}"
    if not stderr or math.isnan(stderr):
        return _fixed(value, _DECIMALS)
    if math.isinf(stderr):
        return f"{_fixed(value, _DECIMALS)} ± inf"
    decimals = max(1 - _exponent(stderr, 2), 0)
    if decimals > _MOST_DECIMALS:
        return f"{_fixed(value, _MOST_DECIMALS)} ± {stderr:.1e}"
    return f"{_fixed(value, decimals)} ± {stderr:.{decimals}f}"


def duration(seconds: float | None) -> str:
    """A length of time in hours, minutes and seconds.

    Example:
        >>> duration(7), duration(71.9), duration(3 * 3600 + 61), duration(None)
        ('0:07', '1:11', '3:01:01', '—')
    """
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def _exponent(value: float, digits: int) -> int:
    """Power of ten of the leading digit, once ``value`` is rounded to ``digits`` digits."""
    return int(f"{value:.{digits - 1}e}".partition("e")[2])


def _fixed(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text
