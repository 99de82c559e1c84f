"""A run's folder: its files, written atomically and never pickled."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

import pyro_vae
from pyro_vae.core.errors import CheckpointError, RunFolderError
from pyro_vae.core.files import locked
from pyro_vae.data.standardization import Standardization
from pyro_vae.experiment.hashed_folder import (
    CONFIG,
    DECLARATION,
    METRICS,
    MODEL,
    STANDARDIZATION,
    WEIGHTS,
    HashedFolder,
    parsed,
)
from pyro_vae.experiment.yaml_file import dump, read_mapping

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "CHECKPOINTS", "DECLARATION", "HISTORY", "METRICS", "STATE", "TENSORBOARD", "WEIGHTS",
    "ModelFolder", "RunFolder", "runs_of_seeds",
]  # fmt: skip

CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
HISTORY = "history.csv"
STATE = "state.json"
RESERVE = ".reserve"
FORMAT = 1
ROOM_FOR_REPORTS = 4_000_000


class RunFolder(HashedFolder):
    """The files of one run.

    Args:
        path: The folder.
    """

    weights = WEIGHTS

    @staticmethod
    def at(path: Path) -> RunFolder:
        """The folder of a run, or of a model alone."""
        return ModelFolder(path) if (path / CONFIG).is_file() else RunFolder(path)

    def write_declaration(self, mapping: dict[str, Any]) -> None:
        """Write the resolved declaration, with every default."""
        self.write(DECLARATION, dump(mapping).encode())

    def write_weights(self, state: Mapping[str, Tensor]) -> None:
        """Write the weights as safetensors."""
        tensors = {  # copied, since safetensors refuses weights that are shared
            name: value.detach().cpu().contiguous().clone() for name, value in state.items()
        }
        self.write(self.weights, safetensors.torch.save(tensors))

    def write_standardization(self, how: Standardization | None) -> None:
        """Write by what the data became z-scores, if they did."""
        if how is not None:
            self.write(STANDARDIZATION, safetensors.torch.save(how.state()))

    def write_history(self, history: Sequence[Mapping[str, float]]) -> None:
        """Write one row for each epoch, in nats per datum."""
        if not history:
            return
        stream = io.StringIO()
        columns = {name: None for record in history for name in record}
        writer = csv.DictWriter(stream, list(columns))
        writer.writeheader()
        writer.writerows(history)
        self.write(HISTORY, stream.getvalue().encode())

    def append_history(self, record: Mapping[str, float]) -> None:
        """Append one epoch's row, so that it is there whatever ends the run."""
        path = self.path / HISTORY
        with self.writing(path), path.open("a", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(record))
            if not stream.tell():
                writer.writeheader()
            writer.writerow(record)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a mapping as indented JSON."""
        self.write(name, (json.dumps(content, indent=2) + "\n").encode())

    def write_picture(self, name: str, figure: Figure) -> Path:
        """Write a figure as PNG."""
        stream = io.BytesIO()
        figure.savefig(stream, format="png")
        return self.write(name, stream.getvalue())

    def reserve(self) -> None:
        """Reserve disk space for the end of the run, so that a full disk fails now."""
        weights = (self.path / self.weights).stat().st_size
        self.write(RESERVE, bytes(weights + ROOM_FOR_REPORTS))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training in the folder within the block.

        Raises:
            RunFolderError: if one does.
        """
        with locked(self.path) as free:
            if not free:
                raise RunFolderError(
                    f"{self.path}: another process trains in this folder; wait for its end, or "
                    f"stop it first. Nothing was changed"
                )
            yield

    def discard(self) -> None:
        """Delete what this object wrote, if training never started."""
        if self.is_mine:
            shutil.rmtree(self.path / TENSORBOARD, ignore_errors=True)
            with suppress(OSError):
                (self.path / CHECKPOINTS).rmdir()
        super().discard()

    def release(self) -> None:
        """Free the reserved disk space."""
        if self.is_mine:
            (self.path / RESERVE).unlink(missing_ok=True)

    def read_declaration(self) -> dict[str, Any]:
        """Read the declaration, a mapping of sections.

        Raises:
            CheckpointError: if it is missing, was changed, or is of another version.
            DeclarationError: if it is no mapping.
        """
        path = self.path / self.declaration
        return read_mapping(self.read(self.declaration).decode(), str(path))

    @property
    def other_version(self) -> str:
        """What to install, if another version wrote the folder and is known."""
        return ""

    def read_weights(self) -> dict[str, Tensor]:
        """Read the weights.

        Raises:
            CheckpointError: if they are missing or damaged.
        """
        return self._read_tensors(self.weights)

    def read_standardization(self) -> Standardization | None:
        """Read by what the data became z-scores; None if they did not.

        Raises:
            CheckpointError: if the file is damaged.
        """
        if STANDARDIZATION not in self:
            return None
        return Standardization.from_state(**self._read_tensors(STANDARDIZATION))

    def _read_tensors(self, name: str) -> dict[str, Tensor]:
        try:
            return safetensors.torch.load(self.read(name))
        except SafetensorError as error:
            raise CheckpointError(
                f"{self.path / name}: expected tensors as safetensors, got others ({error}); "
                f"train again, or restore it from a copy"
            ) from None

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON file of the run.

        Raises:
            CheckpointError: if it is missing or damaged.
        """
        loaded = parsed(self.path / name, self.read(name))
        if not isinstance(loaded, dict):
            raise CheckpointError(f"{self.path / name}: expected a JSON mapping")
        return loaded


def runs_of_seeds(path: Path) -> dict[int, Path]:
    """The runs in a folder of :func:`run_seeds`, by seed; none in any other folder."""
    found = (place.parent for place in path.glob(f"seed-*/{STATE}"))
    return {int(run.name[5:]): run for run in sorted(found, key=lambda run: int(run.name[5:]))}


class ModelFolder(RunFolder):
    """A model alone, with its card: the files of a model on the Hugging Face hub.

    Args:
        path: The folder.
    """

    declaration, weights = CONFIG, MODEL

    def write_declaration(self, mapping: dict[str, Any]) -> None:
        """Write the declaration as JSON, with the version that wrote it."""
        self.write_json(CONFIG, {"pyro_vae": pyro_vae.__version__, "format": FORMAT, **mapping})

    def read_declaration(self) -> dict[str, Any]:
        """Read the declaration, if this version can read it."""
        mapping = self.read_json(CONFIG)
        if mapping.get("format") != FORMAT:
            raise CheckpointError(
                f"{self.path / CONFIG}: expected a model of format {FORMAT}, which pyro-vae "
                f"{pyro_vae.__version__} reads, got {mapping.get('format')!r}{self.other_version}"
            )
        return {name: mapping[name] for name in mapping if name not in ("pyro_vae", "format")}

    @property
    def other_version(self) -> str:
        """What to install, if another version wrote the folder."""
        version = self.read_json(CONFIG).get("pyro_vae")
        if version in (None, pyro_vae.__version__):
            return ""
        return f"; it was written by another version: pip install 'pyro-vae=={version}'"
