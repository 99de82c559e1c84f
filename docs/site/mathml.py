"""Renders formulas as MathML when the site is built: no script, and nothing to fetch."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)
# "log" and its like, unless a bracket follows
FUNCTION = re.compile(r"<mi>(?:exp|log|max|min)</mi>(?!<mo[^>]*>&#x00028;)")
ALIGNED = re.compile(r'columnalign="(\w+)"')  # of a cell, which browsers leave to styles


def mathml(latex: str, display: str) -> str:
    """A formula as MathML; several lines are aligned at ``&``."""
    for unknown, known in {r"\Big\|": r"\|", "{aligned}": "{split}"}.items():  # to latex2mathml
        latex = latex.replace(unknown, known)
    if "\\\\" in latex and "\\begin" not in latex:
        latex = rf"\begin{{split}} {latex} \end{{split}}"
    found = convert(latex.strip(), display=display)
    if "\\" in found or "<mi>&</mi>" in found:
        logger.warning("this formula has a command that cannot be shown: %s", latex)
    found = found.replace("<mi>&#x0007E;</mi>", "<mo>&#x0223C;</mo>")  # distributed as
    found = ALIGNED.sub(r'style="text-align:\1;padding-inline:0"', found)
    return FUNCTION.sub(r'\g<0><mspace width="0.17em"/>', found)


def inline(self: Any, node: nodes.Element) -> None:
    """Write a formula in a line of text."""
    self.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def block(self: Any, node: nodes.Element) -> None:
    """Write a formula of its own."""
    self.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
