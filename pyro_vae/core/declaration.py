"""Declarations: a name, a mapping with ``kind``, or a ready module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, Union

from pydantic import BeforeValidator, Discriminator, ValidationError, create_model
from pydantic_core import PydanticCustomError

from pyro_vae.core.declarable import Declarable
from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.messages import nearest, readable, shown
from pyro_vae.core.schema import Section, arguments_model, kind_model

__all__ = ["Declared", "family_type", "parse", "parsed"]


@dataclass(frozen=True)
class Declared:
    """A valid declaration of a component.

    Args:
        cls: The class of the component.
        arguments: The constructor's arguments, except those that the model fills in.
    """

    cls: type[Declarable]
    arguments: dict[str, Any]

    def build(self, **known: Any) -> Any:
        """An instance; ``known`` holds the arguments that the model fills in, used if needed."""
        wanted = arguments_model(self.cls, declared=False).model_fields
        return self.cls(**{k: v for k, v in known.items() if k in wanted}, **self.arguments)

    @property
    def mapping(self) -> dict[str, Any]:
        """The declaration as a mapping, defaults included."""
        model = kind_model(self.cls).model_construct(kind=self.cls.kind, **self.arguments)
        return model.model_dump(mode="json")


def _as_mapping(value: Any, kinds: Mapping[str, type], noun: str) -> Any:
    """Turn a name into a mapping, and check that the ``kind`` is known."""
    if isinstance(value, str):
        value = {"kind": value}
    if not isinstance(value, Mapping) or "kind" not in value:
        message = "must be a name or a mapping with 'kind', got {got}; known: {known}"
        context = {"got": shown(value), "known": ", ".join(kinds)}
        raise PydanticCustomError("unknown_kind", message, context)
    kind = value["kind"]
    if not isinstance(kind, str) or kind not in kinds:
        message = "unknown {noun} {got}; known: {known}{hint}"
        hint = nearest(kind, kinds)
        context = {"noun": noun, "got": shown(kind), "known": ", ".join(kinds), "hint": hint}
        raise PydanticCustomError("unknown_kind", message, context)
    return dict(value)


def family_type(family: type[Declarable]) -> Any:
    """The pydantic type of a declaration of one family, over the kinds registered now."""
    kinds = family.kinds()
    models = tuple(kind_model(cls) for cls in kinds.values())
    mapping: Any = models[0]
    if len(models) > 1:
        mapping = Annotated[Union[models], Discriminator("kind")]  # noqa: UP007
    accepted: Any = Union[Literal[tuple(kinds)], mapping]  # noqa: UP007
    read = partial(_as_mapping, kinds=kinds, noun=family.__name__.lower())
    return Annotated[mapping, BeforeValidator(read, json_schema_input_type=accepted)]


def parsed(family: type[Declarable], model: Any) -> Declared:
    """The declaration in a validated model of :func:`family_type`."""
    arguments = {name: getattr(model, name) for name in type(model).model_fields}
    return Declared(family.kinds()[arguments.pop("kind")], arguments)


def parse(family: type[Declarable], value: Any, path: str) -> Declared:
    """Read a declaration of ``family``.

    Args:
        family: The abstract class of the component.
        value: A name, or a mapping with ``kind``.
        path: Path of the declaration, for error messages.

    Raises:
        DeclarationError: if it is not valid.
    """
    fields: dict[str, Any] = {path: (family_type(family), ...)}
    schema = create_model("Declaration", __base__=Section, **fields)
    try:
        model = schema.model_validate({path: value})
    except ValidationError as error:
        raise DeclarationError(readable(error, schema)) from None
    return parsed(family, getattr(model, path))
