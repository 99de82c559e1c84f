"""YAML files, and overrides of the form ``path=value``."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.files import read_file
from pyro_vae.core.messages import shown

__all__ = ["dump", "override", "parse_value", "read_mapping", "read_yaml"]

LONGEST = 1_000_000
DEEPEST = 20


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)  # YAML 1.2: 1e-3 is a number and no a word
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    return yaml


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a mapping from a YAML file.

    Raises:
        DeclarationError: if the file is missing, or is not a YAML mapping.
    """
    try:
        return read_mapping(read_file(path, LONGEST + 1).decode(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise DeclarationError(f"expected a YAML file, but {reason}", str(path)) from None


def read_mapping(text: str, name: str) -> dict[str, Any]:
    """Read a mapping from YAML text.

    Args:
        text: The text.
        name: What to call it in a message.

    Raises:
        DeclarationError: if it is not a YAML mapping.
    """
    try:
        loaded = _loaded(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or str(error).split("\n")[0]
        raise DeclarationError(f"{where}not valid YAML: {problem}", name) from None
    if not isinstance(loaded, dict):
        got = "an empty file" if loaded is None else shown(loaded)
        raise DeclarationError(
            f"expected a mapping of sections (data, model, ...), got {got}", name
        )
    return loaded


def _loaded(text: str) -> Any:
    """The value of YAML text that is as short, as flat and as plain as a declaration.

    Raises:
        YAMLError: if it is not, or it is not valid.
    """
    if len(text) > LONGEST:
        raise YAMLError(f"expected at most {LONGEST:,} characters, got {len(text):,}")
    depth = 0
    for event in _yaml().parse(text):  # before anything is made of it
        if isinstance(event, AliasEvent):
            problem = f"an alias (*{event.anchor}) is not taken; write out what it stands for"
            raise MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEEPEST:
            problem = f"expected at most {DEEPEST} levels of nesting"
            raise MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
    try:
        return _yaml().load(text)
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
        raise YAMLError(f"expected plain values, got one that cannot be read: {error}") from None


def parse_value(text: str) -> Any:
    """Parse a value as YAML.

    Example:
        >>> [parse_value(text) for text in ("1e-3", "[64, 32]", "true", "mnist", "null")]
        [0.001, [64, 32], True, 'mnist', None]
    """
    try:
        return _loaded(text)
    except YAMLError:
        return text


def override(
    mapping: dict[str, Any], assignments: Iterable[str], defaults: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A copy of a mapping with overrides applied.

    A component given by name becomes a mapping when an argument of it is set. A new ``kind``
    discards the mapping's arguments of the old kind, but none of the overrides.

    Args:
        mapping: The mapping.
        assignments: ``path=value``, each value in YAML.
        defaults: Values that the mapping leaves out, whose arguments may be set.

    Raises:
        DeclarationError: listing every override that is not of the form ``path=value``.

    Example:
        >>> override({"model": {"prior": "vamp"}}, ["model.prior.components=3", "train.lr=1e-3"])
        {'model': {'prior': {'kind': 'vamp', 'components': 3}}, 'train': {'lr': 0.001}}
    """
    changed = _merged(defaults or {}, mapping)
    problems: list[str] = []
    for assignment in sorted(assignments, key=lambda a: ".kind=" not in a):  # kinds first
        path, equals, text = assignment.partition("=")
        steps = path.split(".")
        if not equals or not all(steps) or len(steps) > DEEPEST:
            problems.append(f"{shown(assignment)}: expected path=value, such as train.epochs=10")
            continue
        problem = _assign(changed, steps, parse_value(text))
        problems += [f"{shown(assignment)}: {problem}"] if problem else []
    if problems:
        raise DeclarationError(problems, "The command line")
    return changed


def _merged(under: Any, over: Any) -> Any:
    """``over`` merged into ``under``, recursively and without sharing mappings."""
    if not isinstance(over, Mapping):
        return over
    merged = copy.deepcopy(dict(under)) if isinstance(under, Mapping) else {}
    return merged | {key: _merged(merged.get(key), value) for key, value in over.items()}


def _assign(mapping: dict[str, Any], path: list[str], value: Any) -> str | None:
    for depth, step in enumerate(path[:-1], start=1):
        below = mapping.get(step)
        if below is None:
            below = {}
        elif isinstance(below, str):
            below = {"kind": below}
        elif not isinstance(below, dict):
            return f"{'.'.join(path[:depth])} is {shown(below)}, which has nothing below it"
        mapping[step] = below
        mapping = below
    if path[-1] == "kind" and mapping.get("kind", value) != value:
        mapping.clear()
    mapping[path[-1]] = value
    return None


def dump(mapping: dict[str, Any]) -> str:
    """A mapping as YAML, in the same order."""
    stream = io.StringIO()
    _yaml().dump(mapping, stream)
    return stream.getvalue()
