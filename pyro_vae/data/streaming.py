"""Data larger than memory: prepared chunk by chunk, written once, and mapped from disk."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from math import inf, prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.core.files import locked
from pyro_vae.data.binarization import binarized
from pyro_vae.data.checks import TOLERANCE, as_event_rows, as_labels, gaps_in_words, rounded
from pyro_vae.data.chunks import Chunks, Moments
from pyro_vae.data.conditions import as_condition
from pyro_vae.data.dataset import DataSet, Split
from pyro_vae.data.identity import DIGITS, Identity
from pyro_vae.data.memory import BYTES
from pyro_vae.data.prepare import Preprocessing, Raw, in_identity
from pyro_vae.data.splits import split_rows
from pyro_vae.data.standardization import ZSCORES, Standardization, check_standardize
from pyro_vae.data.streams import stream

__all__ = ["streamed"]

FORMAT = 1  # of the folder
NAMES = ("train", "validation", "test")
FACTS, SCALES = "identity.json", "standardization.safetensors"
WAIT = 0.2  # seconds, until another process has written


def streamed(raw: Raw, how: Preprocessing, folder: Path) -> DataSet:
    """The data set of chunks, whose splits are mapped from float32 files below a folder.

    Those files are written in one pass (two with ``standardize``), unless they are there: they
    are known by the source's files, their sizes and times, and by the preprocessing. Splits,
    draws and the identity are those of the same data in memory.

    Args:
        raw: ``x`` in chunks; labels and conditions fit into memory.
        how: As :func:`~pyro_vae.data.prepare.prepare` takes it.
        folder: Where the files are kept; it is made if it does not exist.

    Raises:
        DataError: if the data are unfit, or the disk has no room for them.
    """
    assert isinstance(raw.x, Chunks)
    check_standardize(how.standardize, how.binarization)
    for name in ("labelled", "window"):
        if getattr(how, name) is not None:
            raise DataError(
                f"{name} {getattr(how, name)}: expected data in memory, got data that stream; "
                "leave data.stream out"
            )
    size = raw.x.shape[0]
    if size == 0 or len(raw.x.shape) < 2 or 0 in raw.x.shape:
        raise DataError(
            f"{raw.name}: expected rows of shape (N, *event), each > 0, got {raw.x.shape}"
        )
    rows = split_rows(size, how.validation, how.test, seed=how.seed, split=how.split)
    labels = as_labels(raw.labels, size, "labels of x")
    condition = as_condition(raw.condition, size)
    key = repr((FORMAT, raw.x.shape, raw.x.key, how, in_identity(raw, how, "", "", condition)))
    place = folder / hashlib.sha256(key.encode()).hexdigest()[:DIGITS]
    folder.mkdir(parents=True, exist_ok=True)
    while not place.is_dir():
        with locked(folder) as free:  # of several processes, one writes
            if free and not place.is_dir():
                _write(raw, raw.x, how, rows, condition, place)
        time.sleep(0 if free else WAIT)
    scales = load_file(place / SCALES) if (place / SCALES).exists() else None
    facts = json.loads((place / FACTS).read_text()) | {"name": raw.name}
    splits: dict[str, Any] = {}
    for name, index in zip(NAMES, rows, strict=True):
        splits[name] = Split(
            _mapped(place / f"{name}.npy", (len(index), *raw.x.shape[1:])),
            None if labels is None else labels[index],
            dynamic=how.binarization == "dynamic" and name == "train",
            rows=index,
            condition=None if condition is None else condition[index],
            streams=True,
        )
    return DataSet(
        **splits, identity=Identity.from_dict(facts), columns=tuple(raw.columns),
        standardization=None if scales is None else Standardization.from_state(**scales),
    )  # fmt: skip


def _write(
    raw: Raw, chunks: Chunks, how: Preprocessing, rows: Sequence[Tensor],
    condition: Tensor | None, place: Path,
) -> None:  # fmt: skip
    """Write the files of the splits, completely or not at all."""
    needed, free = BYTES * prod(chunks.shape), shutil.disk_usage(place.parent).free
    if needed > free:
        raise DataError(
            f"{place.parent}: expected room for {needed / 1e9:.1f} GB, the float32 values of "
            f"{raw.name}, got {free / 1e9:.1f} GB free; name a folder on another disk "
            "(data.stream)"
        )
    draft = Path(tempfile.mkdtemp(dir=place.parent, prefix=f"{place.name}-", suffix=".part"))
    try:
        which = torch.zeros(chunks.shape[0], dtype=torch.uint8)
        for number, index in enumerate(rows):
            which[index] = number
        sizes = [(len(index), *chunks.shape[1:]) for index in rows]
        survey, scales, words = _Survey(chunks), None, ""
        draws = stream(how.seed, "binarization of x")
        if how.standardize != "none":
            train = Moments()
            for x, part in _pass(chunks, how, which):
                survey.add(x)
                train.add(x[part == 0].double())
            survey.end(how)
            scales, words = _standardization(train), ZSCORES
            save_file(scales.state(), draft / SCALES)
        rounds = not chunks.exact or scales is not None
        rounding = _Rounding("x" if scales is None else "x, as z-scores,", raw.columns)
        with ExitStack() as files:
            opened = [
                files.enter_context(_Writer(draft / f"{name}.npy", shape))
                for name, shape in zip(NAMES, sizes, strict=True)
            ]
            for x, part in _pass(chunks, how, which):
                if scales is None:
                    survey.add(x)
                values = x if scales is None else (x.double() - scales.mean) / scales.scale
                small = rounding.add(values) if rounds else values
                fixed = binarized(small, how.binarization, draws)
                for number, file in enumerate(opened):
                    grey = number == 0 and how.binarization == "dynamic"
                    file.add((small if grey else fixed)[part == number])
        if rounds:
            rounding.end()
        gaps = survey.end(how)
        identity = Identity(
            raw.name, survey.sha256, len(rows[0]), len(rows[1]), len(rows[2]), how.seed,
            (survey.low, survey.high), how.binarization,
            in_identity(raw, how, words, gaps, condition),
        )  # fmt: skip
        (draft / FACTS).write_text(json.dumps(identity.to_dict()))
        if not place.is_dir():  # another machine's process may have been faster
            draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _pass(chunks: Chunks, how: Preprocessing, which: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Checked chunks, ``(n, *event)``, and the number of each row's split."""
    start = 0
    for given in chunks.read():
        name = f"x, its rows counted from {start:,}" if start else "x"
        x = as_event_rows(given, name, how.missing)
        part = which[start : start + len(x)]
        if x.shape[1:] != chunks.shape[1:] or len(part) != len(x):
            raise DataError(f"{name}: expected {chunks.shape} in all, got {tuple(x.shape)} more")
        start += len(x)
        yield x, part
    if start != len(which):
        raise DataError(f"x: expected {len(which):,} rows, got {start:,}: its files have changed")


class _Survey:
    """What a pass finds out about the values as they were read."""

    def __init__(self, chunks: Chunks) -> None:
        self.shape, kinds = chunks.shape, ("<f4",) if chunks.exact else ("<f4", "<f8")
        self.hashes = {kind: hashlib.sha256(str(self.shape).encode()) for kind in kinds}
        self.missing = self.empty = 0
        self.low, self.high = inf, -inf
        self.wide = False

    def add(self, x: Tensor) -> None:
        """Add rows: as float32 if that holds each value, else as float64."""
        self.wide |= x.dtype == torch.float64
        for kind, total in self.hashes.items():
            if kind == "<f8" or not self.wide:
                total.update(x.numpy().astype(kind, order="C", copy=False).data)
        gaps = x.isnan()
        self.missing += int(gaps.sum())
        self.empty += int(gaps.flatten(1).all(1).sum())
        if not gaps.all():
            known = x[~gaps] if gaps.any() else x
            self.low = min(self.low, known.min().item())
            self.high = max(self.high, known.max().item())

    def end(self, how: Preprocessing) -> str:
        """The values that are missing, in words, if that is allowed."""
        return gaps_in_words(
            self.missing, self.empty, self.shape[0], prod(self.shape), how.binarization
        )

    @property
    def sha256(self) -> str:
        """The digest that :func:`~pyro_vae.data.identity.digest` gives of all."""
        return self.hashes["<f8" if self.wide else "<f4"].hexdigest()[:DIGITS]


def _standardization(train: Moments) -> Standardization:
    unknown = train.count == 0
    if unknown.any():
        raise DataError(
            f"x: expected a value of each position in the training data, got none at "
            f"{tuple(unknown.nonzero()[0].tolist())}; leave it out, or bring more data"
        )
    return Standardization(train.mean, torch.where(train.varies, train.spread, 1.0))


class _Rounding:
    """Whether float32 tells the values of each position apart, as ``fits_float32`` judges."""

    def __init__(self, name: str, columns: Sequence[str]) -> None:
        self.name, self.columns = name, columns
        self.moments, self.moved = Moments(), torch.zeros(())

    def add(self, x: Tensor) -> Tensor:
        """Values ``(n, *event)`` as float32."""
        small = rounded(x, self.name)
        wide = x.double()
        self.moments.add(wide)
        moved = (small.double() - wide).nan_to_num(0.0).abs().amax(0)
        self.moved = torch.maximum(self.moved, moved)
        return small

    def end(self) -> None:
        """Refuse values that it does not."""
        bad = (self.moved > self.moments.spread * TOLERANCE) & self.moments.varies
        if bad.any():
            position = tuple(bad.nonzero()[0].tolist())
            column = repr(self.columns[position[0]]) if self.columns else str(position)
            low, high = (float(v[position]) for v in (self.moments.low, self.moments.high))
            raise DataError(
                f"{self.name}: expected values that float32 can tell apart, got some moved by "
                f"{float(self.moved[position]):.3g} in column {column}, from {low:.12g} to "
                f"{high:.12g}; standardize them (standardize=zscore, which is done in float64), "
                "or take off what they share"
            )


class _Writer:
    """A ``.npy`` file of float32 values that is written row by row."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path, self.shape = path, shape

    def __enter__(self) -> _Writer:
        self.file = self.path.open("wb")
        header = {"descr": "<f4", "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(self.file, header)
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def add(self, x: Tensor) -> None:
        """Append rows ``(n, *event)``."""
        self.file.write(x.contiguous().numpy().astype("<f4", copy=False).data)


def _mapped(path: Path, shape: tuple[int, ...]) -> Tensor:
    """A file's values, which the system reads when they are used and forgets when it must."""
    if not shape[0]:
        return torch.empty(shape)
    try:
        found = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        found, reason = None, str(error)
    if found is None or found.shape != shape:
        raise DataError(
            f"{path}: expected float32 values of shape {shape}, got "
            f"{reason if found is None else found.shape}; remove {path.parent}, which is then "
            "written again"
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(found)
