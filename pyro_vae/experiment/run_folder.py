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

from pyro_vae.core.errors import CheckpointError, RunFolderError
from pyro_vae.core.files import locked
from pyro_vae.data.standardization import Standardization
from pyro_vae.experiment.hashed_folder import (
    DECLARATION,
    METRICS,
    STANDARDIZATION,
    WEIGHTS,
    HashedFolder,
    parsed,
)
from pyro_vae.experiment.yaml_file import dump

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "CHECKPOINTS", "DECLARATION", "HISTORY", "METRICS", "STATE", "TENSORBOARD", "WEIGHTS",
    "RunFolder", "runs_of_seeds",
]  # fmt: skip

CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
HISTORY = "history.csv"
STATE = "state.json"
RESERVE = ".reserve"
ROOM_FOR_REPORTS = 4_000_000


class RunFolder(HashedFolder):
    """The files of one run.

    Args:
        path: The folder.
    """

    def write_declaration(self, mapping: dict[str, Any]) -> None:
        """Write the resolved declaration, with every default."""
        self.write(DECLARATION, dump(mapping).encode())

    def write_weights(self, state: Mapping[str, Tensor]) -> None:
        """Write the weights as safetensors."""
        tensors = {  # copied, since safetensors refuses weights that are shared
            name: value.detach().cpu().contiguous().clone() for name, value in state.items()
        }
        self.write(WEIGHTS, safetensors.torch.save(tensors))

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
        weights = (self.path / WEIGHTS).stat().st_size
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

    def read_weights(self) -> dict[str, Tensor]:
        """Read the weights.

        Raises:
            CheckpointError: if they are missing or damaged.
        """
        return self._read_tensors(WEIGHTS)

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
