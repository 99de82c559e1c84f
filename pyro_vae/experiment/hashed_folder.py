"""A folder that one process makes, with the hashes of its files; written atomically."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from safetensors import SafetensorError

from pyro_vae.core.errors import CheckpointError, RunFolderError
from pyro_vae.core.files import read_file, write_file

__all__ = [
    "CONFIG",
    "DECLARATION",
    "METRICS",
    "MODEL",
    "STANDARDIZATION",
    "WEIGHTS",
    "HashedFolder",
    "parsed",
]

DECLARATION = "experiment.yaml"
WEIGHTS = "weights.safetensors"
CONFIG, MODEL = "config.json", "model.safetensors"
STANDARDIZATION = "standardization.safetensors"
METRICS = "metrics.json"
MANIFEST = "manifest.json"
BELIEVED = frozenset({DECLARATION, WEIGHTS, CONFIG, MODEL, STANDARDIZATION, METRICS})


class HashedFolder:
    """A folder that one process makes, and whose files are believed by their hashes.

    ``manifest.json`` holds the SHA-256 of each file that is read back; a file that differs from
    it is refused, as is a folder without it.

    Args:
        path: The folder.
    """

    declaration = DECLARATION  # the file that claims the folder

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made = False  # the folder itself, by this object
        self._written: set[Path] = set()
        self._mark: tuple[int, ...] | None = None  # of the declaration, which claims the folder

    @classmethod
    def create(cls, path: Path) -> Self:
        """A new folder, which only one of several processes gets.

        Raises:
            RunFolderError: if it exists and is not empty, or cannot be created.
        """
        cls.check_new(path)
        folder = cls(path)
        with folder.writing(path / cls.declaration):
            if path.is_dir():  # empty, and the caller's: it stays when this run is discarded
                (path / cls.declaration).open("x").close()
            else:
                folder._made = True
                _make_with(path, cls.declaration)
        folder._mark = folder._found()
        return folder

    @classmethod
    def reopen(cls, path: Path) -> Self:
        """A folder that an earlier process made, to go on in it."""
        folder = cls(path)
        folder._mark = folder._found()
        return folder

    def _found(self) -> tuple[int, ...]:
        try:
            found = (self.path / self.declaration).stat()
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
                f"replaced or given another {self.declaration}. Nothing was overwritten"
            )
        try:
            yield
            self._written.add(path)
            if self._mark and path == self.path / self.declaration:
                self._mark = self._found()
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
        path = self.path / name
        with self.writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, content)
        return path

    def discard(self) -> None:
        """Delete what this object wrote, if training never started."""
        if self.is_mine:
            with suppress(OSError):
                for path in self._written:
                    path.unlink(missing_ok=True)
                if self._made:
                    self.path.rmdir()

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
        loaded = parsed(path, _content(path))
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


def parsed(path: Path, content: bytes) -> Any:
    """The JSON of a file.

    Raises:
        CheckpointError: if it is none.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: expected JSON, but {error}; restore it from a copy, or train again"
        ) from None


def _make_with(path: Path, name: str) -> None:
    """Make a folder that has its first file from the start, so that one process gets it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    beside.mkdir()
    try:
        (beside / name).open("x").close()
        beside.rename(path)  # refused by a folder that is not empty
    except OSError:
        shutil.rmtree(beside, ignore_errors=True)
        raise
