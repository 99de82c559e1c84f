"""One HTML file with everything in it, which makes no request."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["data_uri", "figure_uri", "rendered"]


def data_uri(png: bytes) -> str:
    """A PNG as the source of an image.

    Example:
        >>> data_uri(b"png")
        'data:image/png;base64,cG5n'
    """
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def figure_uri(figure: Figure) -> str:
    """A figure as the source of an image."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return data_uri(stream.getvalue())


def rendered(template: str, **content: Any) -> str:
    """A template of this folder, filled in; all text is escaped.

    Args:
        template: Name of the file.
        content: What the template names; a name that is missing is an error.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pyro_vae.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**content)
