"""The parts of a model: read from their declarations, built, and declared again."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any, get_args

from torch import nn

from pyro_vae.core.condition import Condition
from pyro_vae.core.declarable import Declarable
from pyro_vae.core.declaration import Declared, parse
from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.core.messages import listed, nearest, shown
from pyro_vae.core.missing import Gaps
from pyro_vae.core.missing_model import MissingModel
from pyro_vae.core.network import Network
from pyro_vae.core.posterior import Posterior
from pyro_vae.core.prior import Prior
from pyro_vae.core.schema import docstring_formula

__all__ = ["FAMILIES", "Declaration", "built", "declaration_of", "formulas", "read_parts"]

Declaration = str | Mapping[str, Any] | nn.Module

FAMILIES: dict[str, Any] = {
    "prior": Prior,
    "likelihood": Likelihood,
    "decoder": Network,
    "posterior": Posterior,
    "encoder": Network,
}


FURTHER: dict[str, Any] = {"condition": Condition, "missing_model": MissingModel}
"""What a model may have besides."""


def read_parts(
    event_shape: tuple[int, ...],
    latent_dim: int,
    given: dict[str, Declaration],
    missing: str = "none",
    condition: Declaration | None = None,
    missing_model: Declaration | None = None,
) -> dict[str, Any]:
    """Check the whole declaration, and raise all problems at once."""
    problems: list[str] = []
    sizes = event_shape if isinstance(event_shape, (tuple, list)) else [None]
    if not all(is_whole(n) for n in sizes):
        problems.append(
            f"event_shape: must be the sizes of one datum, each > 0, got {shown(event_shape)}"
        )
    if not is_whole(latent_dim):
        problems.append(f"latent_dim: must be a whole number > 0, got {shown(latent_dim)}")
    known = get_args(Gaps)
    if missing not in known:
        hint = nearest(missing, known)
        problems.append(f"missing: must be {listed(known)}, got {shown(missing)}{hint}")
    if not len(sizes):
        needing = {"missing": missing in known[1:], "condition": condition is not None}
        problems += [
            f"{name}: needs an event_shape of at least one dimension, got ()"
            for name, wanted in needing.items()
            if wanted
        ]
    if missing_model is not None and missing not in known[1:]:
        problems.append(
            f"missing_model: needs a model that knows missing values, missing: zero_and_mask or "
            f"set, got missing: {shown(missing)}"
        )
    further = {"condition": condition, "missing_model": missing_model}
    parts: dict[str, Any] = dict.fromkeys(further)
    given = given | {name: part for name, part in further.items() if part is not None}
    for name, value in given.items():
        family = (FAMILIES | FURTHER)[name]
        if isinstance(value, nn.Module):
            parts[name] = value
            strange = family is not Network or isinstance(value, Declarable)
            if strange and not isinstance(value, family):
                problems.append(
                    f"{name}: must be a {family.__name__}, a name or a mapping with 'kind', "
                    f"got a module of type {type(value).__name__}"
                )
        else:
            try:
                part = parts[name] = parse(family, value, name)
                if name == "decoder" and part.arguments.get("input", "none") != "none":
                    problems.append(
                        f"decoder.input: must be none, since the decoder's input is a code, got "
                        f"{part.arguments['input']!r}; it is for the encoder"
                    )
            except DeclarationError as error:
                problems += error.problems
    if problems:
        raise DeclarationError(problems, "The VAE's declaration")
    return parts


def is_whole(number: Any) -> bool:
    """Whether it is a whole number above 0, Python's or NumPy's."""
    return type(number) is not bool and isinstance(number, Integral) and int(number) > 0


def built(part: Declared | nn.Module, **known: Any) -> Any:
    """The module of a part, which takes what the model knows."""
    return part.build(**known) if isinstance(part, Declared) else part


def declaration_of(part: Any) -> Any:
    """What rebuilds a part: its declaration, or a plain module itself."""
    return getattr(part, "declaration", part)


def formulas(prior: Prior, likelihood: Likelihood, posterior: Posterior) -> str:
    """The density of each part and the ELBO in LaTeX, as Markdown; f is the decoder.

    A class whose docstring has no formula is named instead.
    """
    parts = {"p(z)": prior, r"p(x \mid z)": likelihood, r"q(z \mid x)": posterior}
    lines = [
        docstring_formula(type(part)) or _named(symbol, part) for symbol, part in parts.items()
    ]
    lines.append(r"\log p(x) \ge E_{q(z \mid x)}[\log p(x \mid z)] - KL(q(z \mid x) \,\|\, p(z))")
    body = r" \\".join(f"\n& {line}" for line in lines)
    safe = body.replace("<", r"\lt ")  # which Markdown would take for a tag
    return f"$$\n\\begin{{aligned}}{safe}\n\\end{{aligned}}\n$$"


def _named(symbol: str, part: nn.Module) -> str:
    return rf"{symbol} \text{{: {type(part).__name__}}}"
