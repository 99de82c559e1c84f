"""A user's own ``nn.Module`` as encoder or decoder."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from pyro_vae.core.declaration import Declared
from pyro_vae.core.errors import DeclarationError, IncompatibleComponents
from pyro_vae.core.network import BatchedNetwork, Network, with_batch

__all__ = ["ModuleNetwork", "classes_in", "network_for", "recipe"]

Recipe = dict[str, Any]
"""What rebuilds a module: ``path``, that of its class, and ``arguments`` of its constructor."""


class ModuleNetwork(Network):
    """A module of any class, by its import path and its constructor's arguments.

    The module sees data as they are, and maps ``(B, *input_shape)`` to ``(B, *output_shape)``, or
    to the same number of values, flattened. An argument may be a module too: a mapping with
    ``path`` and ``arguments``; those of an ``nn.Sequential`` are a list.

    Shapes:
        maps ``(*, *input_shape)`` to ``(*, *output_shape)``.

    Args:
        input_shape: Shape of one input.
        output_shape: Shape of one output.
        path: Of the class, such as torch.nn.Linear or my_package.nets.Encoder.
        arguments: Of its constructor, by name: plain values, lists of them, and modules.

    Raises:
        DeclarationError: if there is no such class, or it cannot be built.

    Example:
        >>> import torch
        >>> sizes = {"in_features": 3, "out_features": 8}
        >>> ModuleNetwork((3,), (2, 4), "torch.nn.Linear", sizes)(torch.zeros(5, 3)).shape
        torch.Size([5, 2, 4])
    """

    module: nn.Module

    def __init__(
        self,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        path: str,
        arguments: dict[str, Any] | list[Any] | None = None,
    ) -> None:
        super().__init__(input_shape, output_shape)
        self.module = _built({"path": path, "arguments": arguments or {}})

    @classmethod
    def of(
        cls, module: nn.Module, input_shape: tuple[int, ...], output_shape: tuple[int, ...]
    ) -> ModuleNetwork:
        """A network of a ready module."""
        network = cls.__new__(cls)
        Network.__init__(network, input_shape, output_shape)
        network.module = module
        return network

    def initialize(self, x: Tensor, unit: Tensor | float) -> None:
        """Nothing: a module sees data as they are."""

    @property
    def declaration(self) -> Any:
        """The mapping that rebuilds it; of a ready module, the module itself."""
        return super().declaration if "_arguments" in self.__dict__ else self.module

    def transform(self, x: Tensor) -> Tensor:
        """Apply the user's module."""
        try:
            y = self.module(x)
        except RuntimeError as error:
            raise IncompatibleComponents(
                f"{self.label}: expected a module that maps {with_batch(self.input_shape)} to "
                f"{with_batch(self.output_shape)}, but it failed on {tuple(x.shape)}: {error}"
            ) from error
        if not isinstance(y, Tensor):
            raise IncompatibleComponents(
                f"{self.label}: expected the module to return one tensor of shape "
                f"{with_batch(self.output_shape)}, got {type(y).__name__}; return "
                f"torch.stack(parts, dim=1) or torch.cat(parts, dim=1). A diagonal normal takes "
                f"(mean, log of the scale), so halve a log-variance: torch.stack((mean, "
                f"log_variance / 2), dim=1)"
            )
        return y

    @property
    def label(self) -> str:
        """The name of the user's class."""
        return type(self.module).__name__


def network_for(
    part: Declared | nn.Module, input_shape: tuple[int, ...], output_shape: tuple[int, ...]
) -> nn.Module:
    """Build a declared network, or check or wrap a ready module.

    Raises:
        IncompatibleComponents: for a ready network with other shapes.
    """
    if isinstance(part, Declared):
        built: nn.Module = part.build(input_shape=input_shape, output_shape=output_shape)
        return built
    if not isinstance(part, BatchedNetwork):
        return ModuleNetwork.of(part, input_shape, output_shape)
    have, want = (part.input_shape, part.output_shape), (input_shape, output_shape)
    if have != want:
        raise IncompatibleComponents(
            f"{part.label}: expected a network from {want[0]} to {want[1]}, got one from "
            f"{have[0]} to {have[1]}"
        )
    return part


def recipe(module: nn.Module) -> Recipe:
    """What rebuilds a module: its class, and the arguments that it keeps under their own names.

    A ``bias`` and the like, of which a module keeps the parameter, is True where there is one. An
    argument with a default that is not kept is left out; whoever rebuilds the module compares it.

    Raises:
        DeclarationError: if its class cannot be imported, or an argument is not kept.

    Example:
        >>> recipe(nn.Linear(3, 2))["arguments"]
        {'in_features': 3, 'out_features': 2, 'bias': True}
    """
    cls = type(module)
    path = f"{cls.__module__}.{cls.__qualname__}"
    if _found(path) is not cls:
        raise DeclarationError(
            f"{path}: expected a class that can be imported by this path, but it cannot; define "
            f"it at the top of a module, or subclass pyro_vae.Network to give it a name",
            "The module",
        )
    if isinstance(module, nn.Sequential):
        return {"path": path, "arguments": [recipe(child) for child in module]}
    return {"path": path, "arguments": dict(_kept(module))}


def _kept(module: nn.Module) -> Iterator[tuple[str, Any]]:
    various = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for name, parameter in inspect.signature(type(module)).parameters.items():
        if parameter.kind in various or name in ("device", "dtype"):
            continue
        missing = inspect.Parameter.empty
        value = getattr(module, name, missing)
        if isinstance(parameter.default, bool) and value is not missing:
            value = value if isinstance(value, bool) else value is not None
        if isinstance(value, nn.Module):
            yield name, recipe(value)
        elif _is_plain(value):
            yield name, list(value) if isinstance(value, tuple) else value
        elif parameter.default is missing:
            raise DeclarationError(
                f"{type(module).__name__}: expected its argument {name} as an attribute of the "
                f"same name, a plain value or a module, by which it is built again; set "
                f"self.{name} = {name} in its constructor",
                "The module",
            )


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def classes_in(declared: Any) -> set[str]:
    """The import paths that a declaration names, at whatever depth."""
    if isinstance(declared, Mapping):
        path = declared.get("path")
        own = {path} if isinstance(path, str) else set()
        return own.union(*map(classes_in, declared.values()))
    return set().union(*map(classes_in, declared)) if isinstance(declared, list) else set()


def _built(part: Recipe) -> nn.Module:
    path, arguments = part["path"], part["arguments"]
    cls = _found(path)
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise DeclarationError(
            f"path: expected that of a class of modules, such as torch.nn.Linear, got {path!r}, "
            f"which is {'none' if cls is None else 'something else'}; define it first, or put "
            f"its file where Python finds it",
            "The module",
        )
    try:
        if isinstance(arguments, list):
            return cls(*map(_value, arguments))
        return cls(**{name: _value(value) for name, value in arguments.items()})
    except (TypeError, ValueError, RuntimeError, AssertionError, LookupError) as error:
        raise DeclarationError(
            f"arguments: expected those of {path}, but it cannot be built with them: {error}",
            "The module",
        ) from error


def _value(value: Any) -> Any:
    """An argument as the constructor takes it."""
    if isinstance(value, Mapping) and set(value) == {"path", "arguments"}:
        return _built(dict(value))
    return tuple(map(_value, value)) if isinstance(value, list) else value


def _found(path: str) -> Any:
    """What an import path names; None if there is no such thing."""
    home, _, name = path.rpartition(".")
    while home:
        try:
            found: Any = (
                sys.modules[home] if home in sys.modules else importlib.import_module(home)
            )
        except (ImportError, ValueError):
            home, _, outer = home.rpartition(".")
            name = f"{outer}.{name}"
            continue
        for part in name.split("."):
            found = getattr(found, part, None)
        return found
    return None
