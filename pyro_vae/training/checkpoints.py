"""Checkpoints of a training: each a folder that is there whole or not at all; never pickled."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
import warnings
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError

from pyro_vae.core.errors import CheckpointError, RunFolderError
from pyro_vae.core.files import read_file
from pyro_vae.training.snapshot import Snapshot

__all__ = ["Checkpoints", "newest"]

TENSORS, FACTS, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"
SHARE = 0.05  # of the time that checkpoints of every few epochs may take


class Checkpoints:
    """A folder of checkpoints, named for the number of steps made.

    Args:
        path: The folder; its parent must be there.
        every: Epochs between two, unless they would take a twentieth of the time or more.
        minutes: Minutes between two at most, in the middle of an epoch too.
        after: Minutes before the first.
        keep: How many of the last are kept; the best by the validation ELBO, else the ELBO, too.

    Raises:
        RunFolderError: if the folder cannot be made.
    """

    def __init__(
        self, path: Path, every: int = 5, minutes: float = 10.0, after: float = 1.0, keep: int = 3
    ) -> None:
        self.path, self.every, self.minutes, self.keep = path, every, minutes, keep
        self.began = self.last = time.monotonic()
        self.after, self.cost = after, 0.0
        try:
            path.mkdir(exist_ok=True)
            self._mark = self._found()
        except OSError as error:
            raise _unwritable(path, error) from None

    def _found(self) -> tuple[int, int]:
        found = self.path.stat()
        return found.st_dev, found.st_ino

    def is_due(self, epoch: int | None = None) -> bool:
        """Whether it is time for one: after a step, or after an epoch, whose number is given."""
        now = time.monotonic()
        if now - self.began < 60 * self.after:
            return False
        by_epoch = epoch is not None and epoch % self.every == 0
        if by_epoch and (now - self.last) * SHARE >= self.cost:
            return True
        return now - self.last >= 60 * self.minutes

    def write(self, snapshot: Snapshot) -> Path:
        """Write a checkpoint, and remove old ones.

        Raises:
            RunFolderError: if it cannot be written; those before it stay.
        """
        began = time.monotonic()
        place = self.path / f"{snapshot.facts['steps']:010d}"
        part = self.path / f".{place.name}.part"
        try:
            if self._found() != self._mark:
                raise FileNotFoundError(errno.ENOENT, "it was moved, removed or replaced")
            if not (place.exists() and _is_whole(place, snapshot)):
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir()
                _fill(part, snapshot)
                shutil.rmtree(place, ignore_errors=True)  # damaged, or of other settings
                part.rename(place)
                _sync(self.path)
            self._prune(place.name)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(part, ignore_errors=True)
            raise _unwritable(self.path, error) from None
        finally:
            self.last = time.monotonic()
            self.cost = self.last - began
        return place

    def _prune(self, newest: str) -> None:
        """Keep the last and the best; what is newer than the newest was damaged."""
        there = [path for path in self.path.iterdir() if path.name.isdigit()]
        last = sorted(path for path in there if path.name <= newest)
        scores = {path: _score(path) for path in last}
        best = max(last, key=lambda path: scores[path])
        for path in {*self.path.glob(".*.part"), *there} - {*last[-self.keep :], best}:
            shutil.rmtree(path, ignore_errors=True)


def newest(folder: Path) -> tuple[Snapshot, Path] | None:
    """The newest checkpoint that is whole, with a warning about each that is not; None if none.

    Args:
        folder: That of the checkpoints, or of the run that holds it as ``checkpoints``.

    Raises:
        CheckpointError: if there are checkpoints and none is whole.
    """
    inside = folder / "checkpoints"
    places = sorted(
        (
            path
            for path in (inside if inside.is_dir() else folder).glob("*")
            if path.name.isdigit()
        ),
        reverse=True,
    )
    problems = []
    for place in places:
        try:
            return _read(place), place
        except CheckpointError as error:
            problems.append(str(error))
            if place != places[-1]:
                warnings.warn(f"{error}. The checkpoint before it is used", stacklevel=2)
    if problems:
        raise CheckpointError(
            f"{folder}: expected a whole checkpoint, but {problems[0]}; restore one from a copy, "
            f"or remove them all to start from the beginning"
        )
    return None


def _read(place: Path) -> Snapshot:
    try:
        hashes = json.loads(read_file(place / MANIFEST))
        content = {name: read_file(place / name) for name in (TENSORS, FACTS)}
        for name, found in content.items():
            if hashlib.sha256(found).hexdigest() != hashes[name]:
                raise ValueError(f"{name} is not what was written: its SHA-256 differs")
        return Snapshot(safetensors.torch.load(content[TENSORS]), json.loads(content[FACTS]))
    except OSError as error:
        name = Path(error.filename or place).name
        raise CheckpointError(f"{place} is damaged: {name}: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{place} is damaged: {error}") from None


def _fill(part: Path, snapshot: Snapshot) -> None:
    content = {
        TENSORS: safetensors.torch.save(snapshot.tensors),
        FACTS: json.dumps(snapshot.facts).encode(),
    }
    hashes = {name: hashlib.sha256(found).hexdigest() for name, found in content.items()}
    for name, found in {**content, MANIFEST: json.dumps(hashes).encode()}.items():
        with (part / name).open("wb") as stream:
            stream.write(found)
            stream.flush()
            os.fsync(stream.fileno())
    _sync(part)


def _sync(folder: Path) -> None:
    """Write a folder's list of files to disk, where the system can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_whole(place: Path, snapshot: Snapshot) -> bool:
    try:
        there = _read(place).facts
    except CheckpointError:
        return False
    return all(there[name] == snapshot.facts[name] for name in ("epoch", "epochs", "run"))


def _score(place: Path) -> float:
    """What the best checkpoint has most of."""
    try:
        record: dict[str, Any] = json.loads(read_file(place / FACTS))["history"][-1]
        return float(record.get("validation_elbo", record["elbo"]))
    except (OSError, ValueError, LookupError, TypeError):
        return -float("inf")


def _unwritable(path: Path, error: Exception) -> RunFolderError:
    full = getattr(error, "errno", None) == errno.ENOSPC or "No space" in str(error)
    reason = getattr(error, "strerror", None) or str(error)
    return RunFolderError(
        f"{path}: no checkpoint can be written: {reason}"
        + ("; free some space" if full else "; see that the folder is there and can be written")
    )
