"""What a score was measured on."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.core.messages import printable

__all__ = ["Identity", "digest"]

DIGITS = 12
AT_ONCE = 2**22  # values that are hashed at a time


def digest(arrays: Iterable[Tensor]) -> str:
    """The first 12 hexadecimal digits of the sha256 over the arrays' shapes and values.

    Values are hashed as float32 where that holds every one of an array, else as float64.
    """
    total = hashlib.sha256()
    for array in arrays:
        kind = "<f8" if array.dtype == torch.float64 else "<f4"
        total.update(str(tuple(array.shape)).encode())
        rows = max(1, AT_ONCE // max(1, array[:1].numel()))
        for start in range(0, len(array), rows):
            part = array[start : start + rows].numpy()
            total.update(part.astype(kind, order="C", copy=False).data)
    return total.hexdigest()[:DIGITS]


@dataclass(frozen=True)
class Identity:
    """Stands beside every score, so that unlike data are never compared.

    Two identities are equal where the data, their splits and their preprocessing are; a name is
    only a name, and is not compared. Labels are no part of it, since a score of x does not read
    them; conditions are, and labels that serve as such.

    Args:
        name: Of the source, for people.
        sha256: First 12 hexadecimal digits of the digest of the values as they were read, before
            any split or draw; an official test set counts as an array of its own.
        train: Number of training data.
        validation: Number of validation data.
        test: Number of test data.
        seed: Of the split and of what is drawn once.
        value_range: Least and greatest value as read.
        binarization: How the values were made binary, or ``none``.
        preprocessing: What else was done to the values on their way from the files, in words, or
            ``none``.

    Example:
        >>> one = Identity("digits", "1a2b3c4d5e6f", 1258, 180, 359, 0, (0.0, 1.0), "none")
        >>> print(one)
        digits [sha256 1a2b3c4d5e6f; train 1258, validation 180, test 359; split seed 0; \
binarization none]
        >>> Identity.from_dict(one.to_dict()) == one
        True
    """

    name: str = dataclasses.field(compare=False)
    sha256: str
    train: int
    validation: int
    test: int
    seed: int
    value_range: tuple[float, float]
    binarization: str
    preprocessing: str = "none"

    def __str__(self) -> str:
        other = "" if self.preprocessing == "none" else f"; {self.preprocessing}"
        return (
            f"{printable(self.name)} [sha256 {self.sha256}; train {self.train}, validation "
            f"{self.validation}, test {self.test}; split seed {self.seed}; "
            f"binarization {self.binarization}{other}]"
        )

    def to_dict(self) -> dict[str, Any]:
        """Its fields, ready for JSON."""
        return dataclasses.asdict(self) | {"value_range": list(self.value_range)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """The identity that :meth:`to_dict` wrote, also before it had a ``preprocessing``.

        Raises:
            DataError: if a field is missing or unknown.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        if set(fields) | {"preprocessing"} != set(known):
            raise DataError(
                f"A data set's identity: expected the fields {', '.join(known)}, "
                f"got {', '.join(fields) or 'none'}"
            )
        low, high = fields["value_range"]
        return cls(**{**fields, "value_range": (low, high)})
