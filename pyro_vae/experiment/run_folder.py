"""A run's folder: its files, written atomically and never pickled."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from pyro_vae.core.errors import CheckpointError, RunFolderError
from pyro_vae.core.files import read_file
from pyro_vae.data.standardization import Standardization
from pyro_vae.experiment.yaml_file import dump

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DECLARATION", "METRICS", "RunFolder"]

DECLARATION = "experiment.yaml"
WEIGHTS = "weights.safetensors"
STANDARDIZATION = "standardization.safetensors"
METRICS = "metrics.json"
MANIFEST = "manifest.json"
BELIEVED = frozenset({DECLARATION, WEIGHTS, STANDARDIZATION, METRICS})
HISTORY = "history.csv"
RESERVE = ".reserve"
ROOM_FOR_REPORTS = 4_000_000


class RunFolder:
    """The files of one run.

    ``manifest.json`` holds the SHA-256 of each file that is read back; a file that differs from
    it is refused, as is a folder without it.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """A new folder.

        Raises:
            RunFolderError: if it exists and is not empty, or cannot be created.
        """
        cls.check_new(path)
        folder, existed = cls(path), path.exists()
        with folder.writing(path):
            path.mkdir(parents=True, exist_ok=existed)  # of two at once, one is refused
        return folder

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
        try:
            yield
        except (OSError, SafetensorError) as error:
            full = getattr(error, "errno", None) == errno.ENOSPC or "No space" in str(error)
            reason = getattr(error, "strerror", None) or str(error)
            advice = "free some space, or choose" if full else "choose"
            raise RunFolderError(
                f"{path}: cannot be written: {reason}; {advice} another folder with --out"
            ) from None

    def write(self, name: str, content: bytes) -> Path:
        """Write a file completely or not at all, and its hash to the manifest."""
        if name not in BELIEVED:
            return self._write(name, content)
        known = self._manifest() if (self.path / MANIFEST).exists() else {}
        new = hashlib.sha256(content).hexdigest()
        self._write_manifest(known | {name: [*known.get(name, [])[-1:], new]})  # either, meanwhile
        path = self._write(name, content)
        self._write_manifest(known | {name: [new]})
        return path

    def _write_manifest(self, hashes: Mapping[str, list[str]]) -> None:
        self._write(MANIFEST, (json.dumps(hashes, indent=2) + "\n").encode())

    def accept(self) -> None:
        """Believe the files as they are now, whoever changed them: write their manifest anew."""
        files = {
            name: self.path / name for name in sorted(BELIEVED) if (self.path / name).exists()
        }
        self._write_manifest(
            {name: [hashlib.sha256(read_file(path)).hexdigest()] for name, path in files.items()}
        )

    def _write(self, name: str, content: bytes) -> Path:
        """Write a temporary file first, then rename it."""
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
        (self.path / RESERVE).unlink(missing_ok=True)

    def discard(self) -> None:
        """Delete the folder, if training never started."""
        shutil.rmtree(self.path, ignore_errors=True)

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
        return Standardization(**self._read_tensors(STANDARDIZATION))

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
        loaded = _parsed(self.path / name, self.read(name))
        if not isinstance(loaded, dict):
            raise CheckpointError(f"{self.path / name}: expected a JSON mapping")
        return loaded

    def read(self, name: str) -> bytes:
        """A file that the manifest vouches for.

        Raises:
            CheckpointError: if it is missing or was changed, or there is no manifest.
        """
        path = self.path / name
        for last in (False, True):  # twice, as training may just have written it
            content = _content(path)
            if hashlib.sha256(content).hexdigest() in self._manifest().get(name, []):
                break
            if last:
                raise CheckpointError(
                    f"{path}: was changed after it was written (its SHA-256 is not that of "
                    f"{MANIFEST}); restore it from a copy, or train again. {self._way_out}"
                )
        return content

    def __contains__(self, name: str) -> bool:
        """Whether the folder has a file, by its manifest or on disk."""
        return name in self._manifest() or (self.path / name).exists()

    @property
    def _way_out(self) -> str:
        return (
            "If you trust the folder as it is: python -c 'import pathlib, "
            "pyro_vae.experiment.run_folder as r; "
            f'r.RunFolder(pathlib.Path("{self.path}")).accept()\''
        )

    def _manifest(self) -> dict[str, list[str]]:
        path = self.path / MANIFEST
        if not path.exists():
            raise CheckpointError(
                f"{self.path}: expected a {MANIFEST}, without which changed files cannot be told, "
                f"got none; train again, or restore it from a copy. {self._way_out}"
            )
        loaded = _parsed(path, _content(path))
        if not isinstance(loaded, dict) or not all(isinstance(v, list) for v in loaded.values()):
            raise CheckpointError(
                f"{path}: expected the hashes of files, got other content; restore it from a "
                f"copy, or train again. {self._way_out}"
            )
        return loaded


def _content(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read: {error.strerror}; restore it from a copy, or train again"
        ) from None


def _parsed(path: Path, content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: expected JSON, but {error}; restore it from a copy, or train again"
        ) from None
