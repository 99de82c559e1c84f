"""Components that a declaration can name; their constructor's signature is their schema.

A *family* is an abstract class (``Prior``, ``Likelihood``, ``Source``, ...). Each concrete
subclass is a *kind*, registered when it is defined, under its name in snake case. A file in the
family's folder is therefore enough to add a kind.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from abc import ABCMeta
from functools import cache
from typing import Any, ClassVar, Self

from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.schema import arguments_model, docstring_summary, validated

__all__ = ["Declarable", "snake_case"]

_WORD_STARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake_case(name: str) -> str:
    """The name of a kind, given the name of its class.

    Example:
        >>> [snake_case(name) for name in ("StandardNormal", "MLP", "GatedMLP", "FashionMNIST")]
        ['standard_normal', 'mlp', 'gated_mlp', 'fashion_mnist']
    """
    return _WORD_STARTS.sub("_", name).lower()


class DeclarableMeta(ABCMeta):
    """Validates and records the constructor's arguments of each instance."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if "kind" not in cls.__dict__:
            return super().__call__(*args, **kwargs)
        signature = inspect.signature(cls.__init__)  # type: ignore[misc]
        given = signature.bind(None, *args, **kwargs).arguments
        for parameter in signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                given.update(given.pop(parameter.name, {}))
        arguments = validated(cls, dict(list(given.items())[1:]), path=cls.__dict__["kind"])
        instance = super().__call__(**arguments)
        instance.__dict__["_arguments"] = arguments
        return instance


def _register(cls: Any) -> None:
    known = cls._registry.get(cls.kind)
    if known and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise DeclarationError(
            f"{cls.kind}: expected a new kind of {cls._family.__name__}, but "
            f"{known.__module__}.{known.__qualname__} has that name; rename the class",
            what=f"The class {cls.__qualname__}",
        )
    cls._registry[cls.kind] = cls


def _is_proxy(cls: type) -> bool:
    """Whether torch.export made it, of the same name, to trace another kind."""
    return any(base.__module__.startswith("torch.fx.") for base in cls.__bases__)


@cache
def _import_all(package: str) -> None:
    """Import every module of a package, so that its kinds register."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        importlib.import_module(module.name)


class Declarable(metaclass=DeclarableMeta):
    """Base of everything that a declaration can name."""

    kind: ClassVar[str]
    _family: ClassVar[type]
    _home: ClassVar[str]
    _registry: ClassVar[dict[str, Any]]
    _arguments: dict[str, Any]

    def __init_subclass__(cls, home: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if home:
            cls._family, cls._home, cls._registry = cls, home, {}
        elif not inspect.isabstract(cls) and not _is_proxy(cls):
            cls.kind = snake_case(cls.__name__)
            _register(cls)

    @classmethod
    def kinds(cls) -> dict[str, type[Self]]:
        """The known kinds of this family, by name, in alphabetical order."""
        _import_all(cls._home)
        return dict(sorted(cls._registry.items()))

    @classmethod
    def summary(cls) -> str:
        """The first line of the class's docstring."""
        return docstring_summary(cls)

    @property
    def declaration(self) -> dict[str, Any]:
        """The mapping that rebuilds this component, with every argument written out."""
        schema = arguments_model(type(self))
        declared = {name: self._arguments[name] for name in schema.model_fields}
        return {"kind": self.kind, **schema.model_construct(**declared).model_dump(mode="json")}
