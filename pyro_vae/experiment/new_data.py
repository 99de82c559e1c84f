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
OF_TRAINING = {"label": None, "labels": None, "test_path": None, "empty": "refuse"}


def read_new_data(path: Path, experiment: Experiment, vae: VAE) -> Any:
    """Raw values from a file, for :func:`~pyro_vae.embed` and :func:`~pyro_vae.score_samples`.

    A table's columns are found by the names of those that were trained on, in any order; others,
    such as a label, are not read. Grey intensities become 0 or 1 as the run's did, drawn with its
    seed where it draws. Standardization is left to the model.

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
    x = cls(**(given | {"path": str(path)})).read().x
    if tuple(x.shape[1:]) != vae.event_shape:
        raise DataError(
            f"{path}: expected data of shape {vae.event_shape}, as the run's, got "
            f"{tuple(x.shape[1:])}"
        )
    how = trained.get("binarization", "none")
    if how == "none":
        return x
    draws = stream(trained["seed"], f"binarization of {path.name}")
    return binarized(vae.transform(x), how, draws)


def _is_sparse(path: Path) -> bool:
    """Whether it is a sparse matrix that SciPy saved."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "indptr.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):  # which is for its reader to say
        return False
