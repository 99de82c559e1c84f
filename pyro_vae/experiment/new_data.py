"""Files of new data for a model that was trained: read as the run read its own."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from pyro_vae.core.errors import DataError
from pyro_vae.core.messages import listed
from pyro_vae.core.schema import arguments_model
from pyro_vae.data.binarization import binarized
from pyro_vae.data.source import Source
from pyro_vae.data.streams import stream
from pyro_vae.experiment.declaration import Experiment
from pyro_vae.vae import VAE

__all__ = ["read_new_data"]

KINDS = {".csv": "csv", ".parquet": "parquet", ".npy": "array", ".npz": "array"}
OF_TRAINING = {"label": None, "labels": None, "condition": None, "test_path": None,
               "labelled": None, "empty": "refuse", "stream": None}  # fmt: skip


def read_new_data(path: Path, experiment: Experiment, vae: VAE) -> tuple[Any, Any]:
    """Raw values and conditions from a file, for ``embed`` and ``score_samples``.

    A table's columns are found by the names of those that were trained on, in any order; others,
    such as a label, are not read. Grey intensities become 0 or 1 as the run's did, drawn with its
    seed where it draws. Standardization is left to the model. The conditions of a conditional
    model are in the columns or arrays that the run's were in, as numbers; they are None for
    another model, and for one that sums classes out.

    Args:
        path: A table (.csv, .parquet), an array (.npy, .npz) or SciPy's sparse counts (.npz).
        experiment: Of the run.
        vae: Its model.

    Raises:
        DataError: if the file cannot be read, or holds other data than the model's.
    """
    if path.suffix not in KINDS:
        raise DataError(f"{path}: expected a file that ends in {listed(KINDS)}, got {path.name}")
    kind = "sparse_counts" if _is_sparse(path) else KINDS[path.suffix]
    cls: Any = Source.kinds()[kind]
    trained = experiment.data.arguments | OF_TRAINING
    known = arguments_model(cls).model_fields
    given = {name: value for name, value in trained.items() if name in known}
    if kind != experiment.data.cls.kind:  # "key" and "vocab" belong to a file of the run's kind
        given = {name: value for name, value in given.items() if name not in ("key", "vocab")}
    given["path"] = str(path)
    needs = vae.condition is not None and not vae.condition.latent
    where = _place_of_conditions(path, given, experiment) if needs else None
    if where is not None and "key" in given:
        given["condition"] = where[0]
    raw = cls(**given).read()
    x, c = raw.x, raw.condition
    if where is not None and c is None:  # as numbers: those of texts were the run's own
        c = cls(**(given | {"columns": where})).read().x
        c = c[:, 0] if len(where) == 1 else c
    if tuple(x.shape[1:]) != vae.event_shape:
        raise DataError(
            f"{path}: expected data of shape {vae.event_shape}, as the run's, got "
            f"{tuple(x.shape[1:])}"
        )
    how = trained.get("binarization", "none")
    if how == "none":
        return x, c
    draws = stream(trained["seed"], f"binarization of {path.name}")
    return binarized(vae.transform(x), how, draws), c


def _place_of_conditions(path: Path, given: dict[str, Any], experiment: Experiment) -> list[str]:
    """The columns, or the array, that the run's conditions were in."""
    trained = experiment.data.arguments
    names = trained.get("condition") or trained.get("label") or trained.get("labels")
    if names is None or not {"key", "columns"} & set(given):
        raise DataError(
            f"{path}: expected conditions beside the data, in columns or an array named as the "
            f"run's, got none for data of {experiment.data.cls.kind}; in Python, give them to the "
            f"model: vae.given(condition)"
        )
    return [names] if isinstance(names, str) else list(names)


def _is_sparse(path: Path) -> bool:
    """Whether it is a sparse matrix that SciPy saved."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "indptr.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):  # which is for its reader to say
        return False
