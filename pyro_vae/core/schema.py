"""A constructor's signature, read as a schema by pydantic."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Mapping
from functools import lru_cache
from textwrap import dedent
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator

from pyro_vae.core.bounds import in_range
from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.messages import readable

__all__ = [
    "FILLED_IN",
    "Section",
    "argument_help",
    "arguments_model",
    "docstring_formula",
    "docstring_summary",
    "kind_model",
    "validated",
]

FILLED_IN = frozenset(
    {
        "latent_dim",
        "event_shape",
        "input_shape",
        "output_shape",
        "encoder",
        "posterior",
        "embedding",
    }
)
"""Arguments that the model fills in; they are never part of a declaration."""


class Section(BaseModel):
    """Base of every schema: strict types, no unknown keys, no number out of range."""

    model_config = ConfigDict(
        strict=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False
    )
    _in_range = field_validator("*")(in_range)


def docstring_summary(cls: type) -> str:
    """The first line of a class's own docstring, or an empty string."""
    return _docstring(cls).split("\n")[0]


def docstring_formula(cls: type) -> str:
    """The first formula of a class's own docstring in LaTeX, or an empty string."""
    found = re.search(r"^\.\. math:: (.*?)(?:\n\n|\Z)", _docstring(cls), re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def argument_help(cls: type) -> dict[str, str]:
    """The description of each argument in the ``Args:`` sections of a class and its bases."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        for section in re.findall(r"^Args:\n((?:[ \t]+\S.*\n?)+)", _docstring(base), re.MULTILINE):
            found = re.findall(r"^(\w+)[^:\n]*: (.*(?:\n[ \t].*)*)", dedent(section), re.MULTILINE)
            texts |= {name: " ".join(text.split()) for name, text in found}
    return texts


def _docstring(cls: type) -> str:
    """A class's own docstring without its indentation, which Python 3.13 strips anyway."""
    return inspect.cleandoc(str(cls.__dict__.get("__doc__") or ""))


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Parameters of the constructor, following ``**kwargs`` to the base class."""
    various = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    found: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" not in base.__dict__:
            continue
        hints = typing.get_type_hints(base.__init__, include_extras=True)  # type: ignore[misc]
        own = list(inspect.signature(base.__init__).parameters.values())[1:]  # type: ignore[misc]
        named = [p for p in own if p.kind not in various]
        for parameter in named:
            annotation = hints.get(parameter.name, Any)
            found.setdefault(parameter.name, parameter.replace(annotation=annotation))
        if len(named) == len(own):
            break
    return found


def _fields(cls: type, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    texts = argument_help(cls)
    return {
        name: (
            parameter.annotation,
            Field(
                ... if parameter.default is inspect.Parameter.empty else parameter.default,
                description=texts.get(name),
                # YAML has lists where Python has tuples
                strict=False if typing.get_origin(parameter.annotation) is tuple else None,
            ),
        )
        for name, parameter in _parameters(cls).items()
        if name not in without
    }


@lru_cache(maxsize=1024)
def arguments_model(cls: type, *, declared: bool = True) -> type[BaseModel]:
    """The schema of a constructor.

    Args:
        cls: The class whose constructor is read.
        declared: Leave out the arguments that the model fills in.
    """
    fields = _fields(cls, FILLED_IN if declared else frozenset())
    return create_model(cls.__name__, __base__=Section, **fields)


@lru_cache(maxsize=1024)
def kind_model(cls: Any) -> type[BaseModel]:
    """The schema of a declaration: ``kind`` and the constructor's arguments."""
    fields = {"kind": (Literal[cls.kind], Field()), **_fields(cls, FILLED_IN)}
    model = create_model(cls.__name__, __base__=Section, **fields)
    model.__doc__ = docstring_summary(cls)
    return model


def validated(cls: type, arguments: Mapping[str, Any], path: str) -> dict[str, Any]:
    """All of a constructor's arguments, defaults included.

    Raises:
        DeclarationError: listing every argument that does not match the signature.
    """
    schema = arguments_model(cls, declared=False)
    try:
        model = schema.model_validate(dict(arguments))
    except ValidationError as error:
        raise DeclarationError(readable(error, schema, path), what=cls.__name__) from None
    return {name: getattr(model, name) for name in schema.model_fields}
