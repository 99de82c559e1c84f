"""Data in whatever form they are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.utils.data import DataLoader, Dataset

from pyro_vae.core.declaration import parse
from pyro_vae.core.missing import Missing
from pyro_vae.data.dataset import DataSet
from pyro_vae.data.prepare import as_dataset
from pyro_vae.data.source import Source
from pyro_vae.data.standardization import Standardization
from pyro_vae.data.torch_datasets import arrays_of

__all__ = ["load_data"]


def load_data(
    given: DataSet | Source | str | Mapping[str, Any] | Any,
    standardization: Standardization | None = None,
    missing: Missing = "refuse",
) -> DataSet:
    """A data set, from its declaration or from an array.

    Args:
        given: The name of a source or a mapping with ``kind``; a source; an array, tensor, sparse
            matrix, table or ``torch.utils.data`` data set or loader ``(N, *event)``, which is
            split as :func:`~pyro_vae.as_dataset` does by default; or a data set of ours, which
            comes back as it is.
        standardization: Of an array, which is then in the units of other data.
        missing: Whether values that are missing (NaN) are refused or kept.

    Raises:
        DeclarationError: if a declaration is not sound.
        DataError: if the data are missing, damaged or unfit.

    Example:
        >>> load_data({"kind": "digits", "binarization": "dynamic"}).identity.binarization
        'dynamic'
    """
    if isinstance(given, (str, Mapping)) and not hasattr(
        given, "toarray"
    ):  # a dok_matrix is a dict
        declared = parse(Source, given, "data")
        assert declared is not None
        given = declared.build()
    if isinstance(given, Source):
        return given.load(missing)
    if isinstance(given, DataSet):
        return given
    labels = None
    if isinstance(given, DataLoader | Dataset):
        given, labels = arrays_of(given)
    array: Any = given
    return as_dataset(array, labels, standardize=standardization or "none", missing=missing)
