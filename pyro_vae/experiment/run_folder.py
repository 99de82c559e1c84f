"""A run's folder: its files, written atomically and never pickled."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from pyro_vae.core.errors import CheckpointError, RunFolderError
from pyro_vae.data.standardization import Standardization
from pyro_vae.experiment.yaml_file import dump

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DECLARATION", "METRICS", "RunFolder"]

DECLARATION = "experiment.yaml"
WEIGHTS = "weights.safetensors"
STANDARDIZATION = "standardization.safetensors"
METRICS = "metrics.json"
HISTORY = "history.csv"
RESERVE = ".reserve"
ROOM_FOR_REPORTS = 4_000_000


class RunFolder:
    """The files of one run.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made = False  # the folder itself, by this object
        self._written: set[Path] = set()
        self._mark: tuple[int, ...] | None = None  # of the declaration, which claims the folder

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """A new folder, which only one of several processes gets.

        Raises:
            RunFolderError: if it exists and is not empty, or cannot be created.
        """
        cls.check_new(path)
        folder = cls(path)
        with folder.writing(path / DECLARATION):
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):  # empty, or another process takes it just now
                path.mkdir()
                folder._made = True
            (path / DECLARATION).open("x").close()
        folder._mark = folder._found()
        return folder

    def _found(self) -> tuple[int, ...]:
        try:
            found = (self.path / DECLARATION).stat()
        except OSError:
            return ()
        return found.st_dev, found.st_ino, found.st_mtime_ns

    @property
    def is_mine(self) -> bool:
        """Whether a folder that was created here is still there, and nobody else's."""
        return self._mark is None or self._mark == self._found()

    @classmethod
    def check_new(cls, path: Path) -> None:
        """Refuse a folder that exists and is not empty.

        Raises:
            RunFolderError: with its path.
        """
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunFolderError(
                f"{path}: expected a new folder, but it exists; choose another with --out, or "
                f"remove it. Nothing was overwritten"
            )

    @contextmanager
    def writing(self, path: Path) -> Iterator[None]:
        """Turn a failure to write into a ``RunFolderError`` that says what to do."""
        if not self.is_mine:
            raise RunFolderError(
                f"{self.path}: expected the folder that this run made, but it was moved, removed, "
                f"replaced or given another {DECLARATION}. Nothing was overwritten"
            )
        try:
            yield
            self._written.add(path)
            if self._mark and path == self.path / DECLARATION:
                self._mark = self._found()
        except (OSError, SafetensorError) as error:
            full = getattr(error, "errno", None) == errno.ENOSPC or "No space" in str(error)
            reason = getattr(error, "strerror", None) or str(error)
            advice = "free some space, or choose" if full else "choose"
            raise RunFolderError(
                f"{path}: cannot be written: {reason}; {advice} another folder with --out"
            ) from None

    def write(self, name: str, content: bytes) -> Path:
        """Write a file completely or not at all: a temporary file first, then a rename."""
        path = self.path / name
        part = path.with_name(f".{path.name}.part")
        with self.writing(path):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with part.open("wb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        return path

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
            tensors = {"mean": how.mean.contiguous(), "scale": how.scale.contiguous()}
            self.write(STANDARDIZATION, safetensors.torch.save(tensors))

    def write_history(self, history: Sequence[Mapping[str, float]]) -> None:
        """Write one row for each epoch, in nats per datum."""
        if not history:
            return
        stream = io.StringIO()
        writer = csv.DictWriter(stream, list(history[0]))
        writer.writeheader()
        writer.writerows(history)
        self.write(HISTORY, stream.getvalue().encode())

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

    def release(self) -> None:
        """Free the reserved disk space."""
        if self.is_mine:
            (self.path / RESERVE).unlink(missing_ok=True)

    def discard(self) -> None:
        """Delete what this object wrote, if training never started."""
        if self.is_mine:
            with suppress(OSError):
                for path in self._written:
                    path.unlink(missing_ok=True)
                if self._made:
                    self.path.rmdir()

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
        if not (self.path / STANDARDIZATION).exists():
            return None
        return Standardization(**self._read_tensors(STANDARDIZATION))

    def _read_tensors(self, name: str) -> dict[str, Tensor]:
        path = self.path / name
        try:
            return safetensors.torch.load(path.read_bytes())
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
        except SafetensorError as error:
            raise CheckpointError(
                f"{path}: expected tensors as safetensors, but the file is truncated or damaged "
                f"({error}); train again, or restore it from a copy"
            ) from None

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON file of the run.

        Raises:
            CheckpointError: if it is missing or damaged.
        """
        path = self.path / name
        try:
            loaded: dict[str, Any] = json.loads(path.read_text())
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise CheckpointError(f"{path}: expected JSON, but {error}") from None
        return loaded
