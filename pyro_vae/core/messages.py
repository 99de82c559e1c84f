"""Turns pydantic's errors into sentences: path, what was expected, and what was given."""

from __future__ import annotations

import difflib
import typing
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

__all__ = ["flattened", "listed", "nearest", "printable", "readable", "shown"]


COMPARISONS = {
    "greater_than": ("gt", ">"),
    "greater_than_equal": ("ge", ">="),
    "less_than": ("lt", "<"),
    "less_than_equal": ("le", "<="),
}
WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "sequence_type": "a list",
    "sequence_str": "a list",
    "list_type": "a list",
    "tuple_type": "a list",
    "model_type": "a mapping",
    "invalid_key": "text",
    "model_attributes_type": "a mapping",
}


def nearest(name: object, known: Iterable[str]) -> str:
    """A hint with the closest known name, or an empty string.

    Example:
        >>> nearest("gausian", ["gaussian", "bernoulli"])
        "; did you mean 'gaussian'?"
    """
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def flattened(mapping: Mapping[str, Any], path: str = "") -> dict[str, str]:
    """Every setting of a nested mapping as text, by its path.

    Example:
        >>> flattened({"train": {"lr": 0.1, "betas": [0.9, 0.99]}, "seed": 0})
        {'train.lr': '0.1', 'train.betas': '[0.9, 0.99]', 'seed': '0'}
    """
    found: dict[str, str] = {}
    for name, value in mapping.items():
        inner = isinstance(value, Mapping)
        found |= flattened(value, f"{path}{name}.") if inner else {f"{path}{name}": str(value)}
    return found


def listed(names: Iterable[object], last: str = "or") -> str:
    """Join names into a phrase.

    Example:
        >>> listed(["auto", "exact", "sampled"])
        'auto, exact or sampled'
    """
    *first, final = [str(name) for name in names]
    return f"{', '.join(first)} {last} {final}" if first else final


def shown(value: object, width: int = 60) -> str:
    """The ``repr`` of a value, shortened to ``width``."""
    try:
        text = " ".join(repr(value).split())
    except (ValueError, RecursionError):  # of a number of 5,000 digits, or a list within itself
        text = f"a value that is too long to show, of type {type(value).__name__}"
    return text if len(text) <= width else text[: width - 3] + "..."


def printable(text: str) -> str:
    r"""Text whose control characters, which a terminal would obey, are escaped; lines stay.

    Example:
        >>> print(printable("a\x1b[31m.npy"))
        a\x1b[31m.npy
    """
    return "".join(
        c if c == "\n" or unicodedata.category(c) not in {"Cc", "Cf", "Cs"}
        else c.encode("unicode_escape").decode()
        for c in text
    )  # fmt: skip


def readable(error: ValidationError, schema: type[BaseModel], path: str = "") -> list[str]:
    """One line for each path with a problem.

    Args:
        error: The error.
        schema: The model that was validated, for the known names at each path.
        path: Prefix of every path.
    """
    grouped: dict[str, list[str]] = {}
    for details in error.errors(include_url=False):
        where, at = _resolve(schema, details["loc"])
        name = ".".join([path, *where] if path else where) or "declaration"
        grouped.setdefault(name, []).append(_sentence(dict(details), at, where))
    return [f"{name}: {_joined(texts)}" for name, texts in grouped.items()]


def _joined(texts: list[str]) -> str:
    """Join the alternatives of a union into one sentence."""
    unique = list(dict.fromkeys(texts))
    if len(unique) == 1:
        return unique[0]
    got = unique[0].rpartition(", got ")[2]
    wanted = [text.rpartition(", got ")[0].removeprefix("must be ") for text in unique]
    return f"must be {listed(wanted)}, got {got}"


def _sentence(details: dict[str, Any], at: Any, where: list[str]) -> str:
    problem, value, context = details["type"], details["input"], details.get("ctx", {})
    if problem == "missing":
        return f"is missing{_described(at, where)}"
    if problem == "extra_forbidden":
        names = [name for model in _models(at) for name in model.model_fields]
        known = [name for name in names if name != "kind"]
        accepted = f"known here: {', '.join(known)}" if known else "it takes no arguments"
        return f"unknown argument; {accepted}{nearest(where[-1], known)}"
    if problem == "unknown_kind":
        return str(details["msg"])
    if problem == "literal_error":
        options = [option.strip(" '") for option in _split(context["expected"])]
        return f"must be {listed(options)}, got {shown(value)}{nearest(value, options)}"
    if problem in COMPARISONS:
        key, sign = COMPARISONS[problem]
        limit = context[key]
        text = f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"
        return f"must be {sign} {text}, got {shown(value)}"
    text = str(details["msg"]).removeprefix("Value error, ")
    text = text.removeprefix("Input should be ").replace("an instance of Sequence", "a list")
    expected = WANTED.get(problem) or text
    return f"must be {expected}, got {shown(value)}"


def _described(at: Any, where: list[str]) -> str:
    for model in _models(at):
        field = model.model_fields.get(where[-1])
        if field is not None and field.description:
            return f"; expected: {' '.join(field.description.split())}"
    return ""


def _split(expected: str) -> list[str]:
    return expected.replace(" or ", ", ").split(", ")


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models within an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models(part)]


def _resolve(schema: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[list[str], Any]:
    """The path as the user wrote it, without pydantic's union tags, and the model there."""
    where: list[str] = []
    at: Any = schema
    holder: Any = schema
    for step in loc:
        models = _models(at)
        tagged = [m for m in models if _tag(m) == step and step not in m.model_fields]
        if tagged:
            at = holder = tagged[0]
        elif isinstance(step, int):
            where.append(str(step))
        elif len(models) == 1:
            holder = models[0]
            field = models[0].model_fields.get(step)
            at = field.annotation if field else None
            where.append(step)
    return where, holder


def _tag(model: type[BaseModel]) -> object:
    field = model.model_fields.get("kind")
    return typing.get_args(field.annotation)[0] if field else None
