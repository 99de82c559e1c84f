"""The site of the docs: ``make docs`` writes it to build/docs.

Sphinx, since the docstrings are written in its markup; its search runs in the browser, also from a
folder. The source folder is the root of the repository, so that the README, the notebooks and
these pages link to each other here as they do on a code host.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "site")]

from pyro_vae import __version__  # noqa: E402

project = "pyro_vae"
author = copyright = "The pyro_vae authors"
version = release = __version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "mathml",
    "generated",
]
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benchmarks/RESULTS.md",
    "docs/*.md",
    "docs/reference/*.rst",
    "notebooks/*.ipynb",
]
exclude_patterns = [".venv", ".git", "build", "runs", "pyro_vae", "tests"]

html_theme = "furo"
html_title = f"pyro_vae {__version__}"
html_math_renderer = "mathml"
html_copy_source = html_show_sphinx = False
html_extra_path = ["site/index.html"]  # leads to docs/index.html

myst_enable_extensions = ["dollarmath", "amsmath", "html_image"]
myst_heading_anchors = 3
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!pyro_vae\.).*")
]  # those of Python, torch and Pyro are not here
nb_render_markdown_format = "myst"  # what a cell shows may have formulas and tables
linkcheck_timeout, linkcheck_retries = 20, 3
linkcheck_anchors = False  # pages that a script fills have none
linkcheck_allow_unauthorized = True  # it exists
nb_execution_mode = "off"  # the notebooks are saved with their outputs, and make check runs them

napoleon_custom_sections = ["Shapes", "How to write one"]
autodoc_typehints = "none"  # the text of the arguments says it, with the shapes
autodoc_member_order = "bysource"
python_display_short_literal_types = True
toc_object_entries_show_parents = "hide"


def setup(app: object) -> None:
    """Leave out what scikit-learn writes for metadata routing, whose words refer to its docs."""

    def is_its(_app: object, _what: str, name: str, _of: object, skip: bool, _: object) -> bool:
        return skip or (name.startswith("set_") and name.endswith("_request"))

    app.connect("autodoc-skip-member", is_its)  # type: ignore[attr-defined]
