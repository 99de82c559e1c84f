"""Directives that write the reference from the registry: no page lists components by hand.

``.. components:: prior`` documents every kind of a family, with its KL methods; ``.. public::``
every name that ``pyro_vae`` exports from the modules that are named.
"""

from __future__ import annotations

import inspect
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import pyro_vae
from pyro_vae.core.declarable import Declarable
from pyro_vae.experiment.declaration import FAMILIES
from pyro_vae.objectives.compatibility import SHORT, pair

logger = logging.getLogger(__name__)
PAIRED = {"prior": "posterior", "posterior": "prior"}


class Components(SphinxDirective):
    """Every kind of a family: what its class says, and the method of its KL with each partner."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Called by docutils."""
        family = self.arguments[0]
        parts = [_title("The contract", "-"), _class(FAMILIES[family], "   :members:\n")]
        for kind, cls in FAMILIES[family].kinds().items():
            parts += [_title(f"``{kind}``", "-"), _class(cls), *_methods(family, kind)]
        return self.parse_text_to_nodes("\n".join(parts), allow_section_headings=True)


class Public(SphinxDirective):
    """Every public name from modules whose names start with one of the arguments."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Called by docutils."""
        parts = []
        for line in self.content:
            start = f"pyro_vae.{line}"
            found = [name for name, home in pyro_vae._MODULES.items() if home.startswith(start)]
            if not found:
                raise self.error(f"no public name comes from {start}")
            parts += [_public(name) for name in found]
        return self.parse_text_to_nodes("\n".join(parts))


def _public(name: str) -> str:
    if isinstance(getattr(pyro_vae, name), type):
        return f".. autoclass:: pyro_vae.{name}\n   :members:\n"
    return f".. autofunction:: pyro_vae.{name}\n"


def _title(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n"


def _class(cls: type, options: str = "") -> str:
    return f".. autoclass:: {cls.__module__}.{cls.__name__}\n{options}"


def _methods(family: str, kind: str) -> list[str]:
    """The method of KL(q || p) with every kind on the other side, as a list."""
    if family not in PAIRED:
        return []
    found: dict[str, list[str]] = {}
    for partner in FAMILIES[PAIRED[family]].kinds():
        both = (kind, partner) if family == "prior" else (partner, kind)
        method = pair(*both).method
        found.setdefault(SHORT[method] if method else "refused", []).append(f"``{partner}``")
    lines = [f"- {method}: {', '.join(partners)}" for method, partners in found.items()]
    return [f"KL(q || p), by {PAIRED[family]}:\n", *lines, ""]


def constructor(
    app: Sphinx, what: str, name: str, cls: Any, options: Any, given: str, returns: str
) -> tuple[str, str] | None:
    """The signature of a component, which its metaclass hides."""
    if what != "class" or not issubclass(cls, Declarable):
        return None
    if "kind" not in vars(cls):  # a contract: its arguments are those of its kinds
        return "", returns
    found = inspect.signature(cls.__init__)
    own = [p.replace(annotation=p.empty) for p in list(found.parameters.values())[1:]]
    return str(found.replace(parameters=own, return_annotation=found.empty)), returns


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of public names that no page documents."""
    documented = {name.rpartition(".")[2] for name in env.domaindata["py"]["objects"]}
    for name in sorted(set(pyro_vae.__all__) - documented):
        logger.warning("pyro_vae.%s is on no page of the reference", name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", constructor)
    app.connect("env-check-consistency", check)
    app.add_directive("components", Components)
    app.add_directive("public", Public)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
