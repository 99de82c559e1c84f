"""A folder of images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.core.files import read_file
from pyro_vae.data.chunks import Chunks, key_of, rows_at_once
from pyro_vae.data.locations import FilePath, expanded
from pyro_vae.data.pictures import (
    SMALLER,
    Bytes,
    Channels,
    Fit,
    decoded,
    formats,
    pixels,
    stacked,
)
from pyro_vae.data.prepare import Raw
from pyro_vae.data.source import Source
from pyro_vae.data.splits import Share

__all__ = ["ImageFolder"]


class ImageFolder(Source):
    """Images of one's own in a folder, or in subfolders that name their labels.

    Every format that Pillow reads, except EPS; other files and hidden ones are passed over. What
    is transparent lies on black. Labels number the subfolders in the order of their names.

    Shapes:
        each datum is ``(channels, size, size)``, with intensities in [0, 1].

    Args:
        path: Of the folder.
        size: Of each side in pixels, to which every image is resized.
        channels: 1 for grey, 3 for colour.
        fit: How an image becomes square: ``crop`` keeps its middle, ``stretch`` all of it.
        test: Fraction of the data in [0, 1), or a whole number of them, to test on.
        stream: Folder for float32 copies of the splits, which are mapped from disk instead of
            held in memory; for data larger than that. Each image is decoded once.

    Raises:
        DataError: when it is read, if there are no images, or naming the one that is damaged.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for grey in range(10):
        ...         Image.new("L", (6, 4), 20 * grey).save(f"{folder}/{grey}.png")
        ...     ImageFolder(folder, size=4, channels=1).load().train
        Split(7 of shape (1, 4, 4))
    """

    def __init__(
        self,
        path: FilePath,
        size: PositiveInt = 32,
        channels: Channels = 3,
        fit: Fit = "crop",
        test: Share = 0.2,
        stream: FilePath | None = None,
        **preprocessing: Any,
    ) -> None:
        super().__init__(**preprocessing)
        self.path = path
        self.size = size
        self.channels = channels
        self.fit = fit
        self.test = test
        self.stream = stream

    def read(self) -> Raw:
        """Intensities of the images, in the order of their names, and labels if there are any."""
        path = expanded(self.path)
        if not path.is_dir():
            what = "a file" if path.is_file() else "no such folder"
            raise DataError(f"{path}: expected a folder of images, got {what}")
        files, known = sorted(_files(path)), formats()
        names = [name for name in files if Path(name).suffix.lower() in known]
        if not names:
            raise DataError(
                f"{path}: expected images (such as .png or .jpg), got none among its "
                f"{len(files)} files; name the folder that holds them (data.path)"
            )
        labels = _labels(path, names)
        whole = self.stream is None
        x = self._stacked(path, names) if whole else self._streamed(path, names)
        colour = "grey" if self.channels == 1 else "colour"
        how = f"{colour}, {self.fit} to {self.size} x {self.size}"
        return Raw(x, labels, name=path.resolve().name, preprocessing=how)

    def _stacked(self, path: Path, names: list[str]) -> Tensor:
        pictures = (self._picture(path / name) for name in names)
        remedy = f"stream them from disk (data.stream: FOLDER), or {SMALLER}"
        return stacked(pictures, len(names), str(path), remedy)

    def _streamed(self, path: Path, names: list[str]) -> Chunks:
        event = (self.channels, self.size, self.size)
        count = rows_at_once(event)

        def read() -> Iterator[Tensor]:
            for start in range(0, len(names), count):
                yield self._stacked(path, names[start : start + count])

        key = f"{self.fit} {key_of(*(path / name for name in names))}"
        return Chunks((len(names), *event), key, read, exact=True)

    def _picture(self, path: Path) -> Bytes:
        try:
            image = decoded(read_file(path), str(path))
            return pixels(image, self.channels, self.size, self.fit)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path}: expected an image, got one that cannot be read: "
                f"{getattr(error, 'strerror', None) or error}; put a fresh copy in its place, or "
                "take it away"
            ) from None


def _files(folder: Path) -> Iterator[str]:
    """Names of the visible files below a folder, through links too, but never in a circle."""
    for here, folders, files in os.walk(folder, followlinks=True):
        real = Path(here).resolve()
        folders[:] = [
            f
            for f in folders
            if not (f.startswith(".") or real.is_relative_to((real / f).resolve()))
        ]
        for name in files:
            if not name.startswith("."):
                yield Path(here, name).relative_to(folder).as_posix()


def _labels(path: Path, names: list[str]) -> Tensor | None:
    """Number of the subfolder that each image is in; None if there are no subfolders."""
    parents = [name.partition("/")[0] if "/" in name else "" for name in names]
    if not any(parents):
        return None
    if not all(parents):
        raise DataError(
            f"{path}: expected all images in subfolders, or none, got "
            f"{names[parents.index('')]} beside {names[parents.index(max(parents))]}; move some"
        )
    number = {parent: i for i, parent in enumerate(sorted(set(parents)))}
    return torch.tensor([number[parent] for parent in parents])
