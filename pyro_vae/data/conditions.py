"""The conditions of a data set: read beside its values, or taken from its labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pyro_vae.core.condition import MISSING, Condition
from pyro_vae.core.errors import DataError
from pyro_vae.core.messages import nearest
from pyro_vae.data.checks import AnyArray, as_event_rows, as_labels, fits_float32
from pyro_vae.data.dataset import DataSet, Split
from pyro_vae.data.identity import digest

__all__ = ["as_condition", "conditioned", "few_labels", "in_words", "taken_off"]


def as_condition(given: AnyArray | None, rows: int) -> Tensor | None:
    """Conditions on the CPU, ``(N,)`` or ``(N, k)``; texts are numbered as labels are.

    Raises:
        DataError: if they are unfit, or not as many as there are rows.
    """
    if given is None:
        return None
    if len(getattr(given, "shape", (0,))) == 1:
        return as_labels(given, rows, "condition")
    c = fits_float32(as_event_rows(given, "condition"), "condition")
    if len(c) != rows:
        raise DataError(f"condition: expected one for each of the {rows} rows, got {len(c)}")
    return c


def taken_off(x: Any, condition: Any) -> tuple[Any, Any]:
    """A table without the columns that are its condition, and these; other data as they are.

    Raises:
        DataError: if there is no such column.
    """
    names = [condition] if isinstance(condition, str) else condition
    if not (isinstance(names, Sequence) and names and all(isinstance(n, str) for n in names)):
        return x, condition
    if not hasattr(x, "columns"):
        raise DataError(f"condition: expected an array, since x has no columns, got {condition!r}")
    known = list(map(str, x.columns))
    if unknown := [name for name in names if name not in known]:
        raise DataError(
            f"condition: expected columns among {', '.join(known)}, got {unknown[0]!r}"
            f"{nearest(unknown[0], known)}"
        )
    rest = [column for column in x.columns if str(column) not in names]
    return x[rest], x[names[0]].to_numpy() if len(names) == 1 else x[list(names)]


def few_labels(
    splits: Mapping[str, Split], count: int, generator: torch.Generator
) -> dict[str, Split]:
    """The splits with their labels as conditions, of which training keeps only some.

    Args:
        splits: Train, validation and test.
        count: How many labels are kept, as equally of each class as there are; others are -1.
        generator: Where the choice comes from.

    Raises:
        DataError: if there are no labels, or fewer.
    """
    labels = splits["train"].labels
    held = [split.labels for split in splits.values() if len(split)]
    if labels is None or any(each is None or each.dim() != 1 for each in held):
        raise DataError("labelled: expected data with labels, one for each datum, got none")
    if any(split.condition is not None for split in splits.values()):
        raise DataError("labelled: expected labels alone, got conditions too; leave one out")
    if count > len(labels):
        raise DataError(f"labelled: expected at most {len(labels)} training data, got {count}")
    order = torch.randperm(len(labels), generator=generator)
    rank = torch.empty_like(order)  # of each datum within its class
    for label in labels.unique():
        rows = order[labels[order] == label]
        rank[rows] = torch.arange(len(rows))
    kept = order[rank[order].argsort(stable=True)][:count]
    known = torch.full_like(labels, MISSING)
    known[kept] = labels[kept]
    return {
        name: replace(split, condition=known if name == "train" else split.labels)
        for name, split in splits.items()
    }


def in_words(*conditions: Tensor) -> str:
    """Conditions as part of a data set's identity."""
    return f"conditions [sha256 {digest(conditions)}]"


def conditioned(data: DataSet, condition: Condition | None) -> DataSet:
    """The data with the conditions that a model needs: those that were read, or the labels.

    Labels that become conditions become part of the data's identity.

    Args:
        data: The data.
        condition: The model's; None for a model without.

    Raises:
        DataError: if conditions are missing, superfluous or not valid.

    Example:
        >>> from pyro_vae.conditions import Classes
        >>> from pyro_vae.data import Digits
        >>> conditioned(Digits().load(), Classes(10)).identity.preprocessing
        'conditions [sha256 ee930b7f4217]'
    """
    read = data.train.condition is not None
    if condition is None:
        if read:
            raise DataError(
                "Expected data without conditions, since the model was declared without, got "
                f"{data.identity}; leave them out (data.condition), or declare model.condition"
            )
        return data
    splits: dict[str, Any] = {}
    for name, split in data.splits.items():
        found = split.condition if read else split.labels
        if found is None:
            raise DataError(
                f"Expected a condition for each datum ({condition.kind}), got {name} data without "
                "conditions or labels; name them (data.condition, or as_dataset(condition=...))"
            )
        single = found.dim() == 1 and condition.shape == (1,)
        what = f"condition of {name}{'' if read else ' (its labels)'}"
        c = condition.rows(found.unsqueeze(1) if single else found, name=what)
        splits[name] = replace(split, condition=c)
    identity = data.identity
    if not read:
        known = "" if identity.preprocessing == "none" else f"{identity.preprocessing}; "
        words = in_words(*(split.condition.cpu() for split in splits.values()))
        identity = replace(identity, preprocessing=known + words)
    return replace(data, identity=identity, **splits)
