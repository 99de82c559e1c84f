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

__all__ = ["Declared", "Problems", "family_type", "parse", "parsed"]


@dataclass(frozen=True)
class Declared:
    """A declaration that has been read and found sound.

    Args:
        cls: The class that it names.
        arguments: The constructor's arguments, without those that the model fills in.
    """

    cls: type[Declarable]
    arguments: dict[str, Any]

    def build(self, **known: Any) -> Any:
        """An instance; of ``known``, what its constructor asks for is filled in by name."""
        wanted = arguments_model(self.cls, declared=False).model_fields
        return self.cls(**{k: v for k, v in known.items() if k in wanted}, **self.arguments)

    @property
    def mapping(self) -> dict[str, Any]:
        """The declaration as a mapping, defaults included."""
        model = kind_model(self.cls).model_construct(kind=self.cls.kind, **self.arguments)
        return model.model_dump(mode="json")


class Problems(list[str]):
    """Problems collected over several declarations, to be raised together."""

    def raise_if_any(self, what: str) -> None:
        """Raise one ``DeclarationError`` with all of them, if there are any."""
        if self:
            raise DeclarationError(self, what=what)


def _as_mapping(value: Any, kinds: Mapping[str, type], noun: str) -> Any:
    """A name as a mapping; anything else must have a known ``kind``."""
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
    """The type, for pydantic, of a declaration of one family, over the kinds known now."""
    kinds = family.kinds()
    models = tuple(kind_model(cls) for cls in kinds.values())
    mapping: Any = models[0]
    if len(models) > 1:
        mapping = Annotated[Union[models], Discriminator("kind")]  # noqa: UP007
    accepted: Any = Union[Literal[tuple(kinds)], mapping]  # noqa: UP007
    read = partial(_as_mapping, kinds=kinds, noun=family.__name__.lower())
    return Annotated[mapping, BeforeValidator(read, json_schema_input_type=accepted)]


def parsed(family: type[Declarable], model: Any) -> Declared:
    """The declaration that a validated model of :func:`family_type` holds."""
    arguments = {name: getattr(model, name) for name in type(model).model_fields}
    return Declared(family.kinds()[arguments.pop("kind")], arguments)


def parse(
    family: type[Declarable], value: Any, path: str, problems: Problems | None = None
) -> Declared | None:
    """Read a declaration of ``family``.

    Args:
        family: The abstract class whose kinds are meant.
        value: A name, or a mapping with ``kind``.
        path: Where the declaration stands, for the messages.
        problems: Collects what is wrong; without it, what is wrong is raised.

    Returns:
        The declaration, or None where ``problems`` has collected what is wrong with it.

    Raises:
        DeclarationError: if it is not sound and there is no ``problems`` to collect that.
    """
    fields: dict[str, Any] = {path: (family_type(family), ...)}
    schema = create_model("Declaration", __base__=Section, **fields)
    try:
        model = schema.model_validate({path: value})
    except ValidationError as error:
        lines = readable(error, schema)
        if problems is None:
            raise DeclarationError(lines) from None
        problems.extend(lines)
        return None
    return parsed(family, getattr(model, path))
