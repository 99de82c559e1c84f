"""Where the output goes: a notebook, a terminal, or a file."""

from __future__ import annotations

import os
import sys

__all__ = ["in_notebook", "in_terminal"]


def in_notebook() -> bool:
    """Whether this is a Jupyter kernel: JupyterLab, VS Code, Colab and their like.

    IPython is looked up, not imported: where nobody has imported it, there is no kernel.
    """
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get_ipython() if get_ipython else None
    return any(cls.__name__ == "ZMQInteractiveShell" for cls in type(shell).__mro__)


def in_terminal() -> bool:
    """Whether standard output is a terminal that can redraw a line."""
    stdout = sys.stdout
    return bool(stdout and stdout.isatty()) and os.environ.get("TERM") not in {"dumb", "unknown"}
