"""CelebA."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.core.messages import nearest
from pyro_vae.data.binarization import Binarization
from pyro_vae.data.downloads import missing_files, permitted_download
from pyro_vae.data.locations import FilePath, data_folder
from pyro_vae.data.memory import check_room
from pyro_vae.data.pictures import decoded, fitted, stacked
from pyro_vae.data.prepare import Raw
from pyro_vae.data.source import Source
from pyro_vae.data.trees import Tree, open_tree

__all__ = ["Celeba"]

IMAGES, PARTITION, ATTRIBUTES = (
    "img_align_celeba",
    "list_eval_partition.txt",
    "list_attr_celeba.txt",
)
SPLITS = ("train", "validation", "test")  # by their number in the partition


class Celeba(Source):
    """Faces of celebrities, aligned: 162,770 to train, 19,867 to validate, 19,962 to test on.

    Each split is the official one, so there is no share to validate on. Read from ``celeba``:
    ``img_align_celeba`` (a folder, or .zip), ``list_eval_partition.txt``, and for labels
    ``list_attr_celeba.txt``. At 64 x 64 pixels all of it takes 10 GB as float32: take fewer by
    ``limit``.

    Shapes:
        each datum is ``(3, size, size)``, with intensities in [0, 1].

    Args:
        size: Of each side in pixels, to which the crop is resized.
        crop: Side of the square that is cut from the middle of each 178 x 218 image.
        limit: Use no more than the first so many of each split; by default all of them.
        label: Name of an attribute, such as ``Smiling``: labels are 1 where it holds, else 0.
        root: Folder that holds ``celeba``; by default ``PYRO_VAE_DATA``, else ``data`` in the
            current folder.
        download: Let torchvision download into ``root`` what is not there (it needs ``gdown``).
        binarization: How intensities in [0, 1] become 0 or 1: none, threshold (at 0.5), static
            (one draw), or dynamic (training data drawn afresh for every batch).
        seed: Of what is drawn once.

    References:
        | Deep learning face attributes in the wild (Liu et al., 2015)
        | https://arxiv.org/abs/1411.7766

    Example:
        >>> Celeba(size=32, limit=1000).declaration["crop"]
        148
    """

    def __init__(
        self,
        size: PositiveInt = 64,
        crop: PositiveInt = 148,
        limit: PositiveInt | None = None,
        label: str | None = None,
        root: FilePath | None = None,
        download: bool = False,
        binarization: Binarization = "none",
        seed: NonNegativeInt = 0,
    ) -> None:
        super().__init__(binarization, validation=0, seed=seed)
        self.size = size
        self.crop = crop
        self.limit = limit
        self.label = label
        self.root = root
        self.download = download

    def read(self) -> Raw:
        """Intensities of the three official splits, and labels if an attribute is named.

        Raises:
            DataError: if a file is missing or damaged, cannot be downloaded, or the images do
                not fit into memory.
        """
        folder = data_folder(self.root) / "celeba"
        if self.download:
            self._fetch(folder)
        partition = _partition(self._needed(folder, PARTITION))
        names = {
            split: [n for n, number in partition.items() if number == i][: self.limit]
            for i, split in enumerate(SPLITS)
        }
        total = sum(len(chosen) for chosen in names.values())
        remedy = "choose a smaller size, or a limit (data.limit)"
        check_room((total, 3, self.size, self.size), self.kind, remedy)
        attribute = None
        if self.label is not None:
            attribute = _attribute(self._needed(folder, ATTRIBUTES), self.label)
        with open_tree(folder / IMAGES) as files:
            if files is None:
                raise missing_files(self.kind, [f"{IMAGES} (a folder, or .zip)"], folder)
            splits = {
                split: (self._images(files, chosen), _labels(folder, attribute, chosen))
                for split, chosen in names.items()
            }
        how = f"middle {self.crop} x {self.crop} resized to {self.size} x {self.size}"
        return Raw(
            *splits["train"],
            validation=splits["validation"],
            test=splits["test"],
            preprocessing=how,
        )

    def _images(self, files: Tree, names: list[str]) -> Tensor:
        absent = [name for name in names if name not in files]
        if absent:
            raise DataError(
                f"{files.place}: expected the images that {PARTITION} names, got none called "
                f"{absent[0]} ({len(absent)} are missing); put a fresh copy in its place"
            )
        return stacked(names, lambda n: self._picture(files[n], files.called(n)),
                       self.size, 3, self.kind)  # fmt: skip

    def _picture(self, content: bytes, name: str) -> Any:
        image = decoded(content, name, 3)
        left, top = ((side - self.crop) // 2 for side in image.size)
        if min(left, top) < 0:
            raise DataError(
                f"{name}: expected an image of at least {self.crop} pixels each way, got "
                f"{image.width} x {image.height}; choose a smaller crop (data.crop)"
            )
        return fitted(image.crop((left, top, left + self.crop, top + self.crop)), self.size)

    def _needed(self, folder: Path, name: str) -> Path:
        if not (folder / name).is_file():
            raise missing_files(self.kind, [name], folder)
        return folder / name

    def _fetch(self, folder: Path) -> None:
        from torchvision import datasets

        images = (folder / IMAGES).is_dir() or (folder / f"{IMAGES}.zip").is_file()
        if not (images and all((folder / n).is_file() for n in (PARTITION, ATTRIBUTES))):
            permitted_download(
                self.kind,
                folder.parent,
                f"{IMAGES}.zip, {PARTITION} and {ATTRIBUTES} in {folder}",
                lambda: datasets.CelebA(folder.parent, download=True),
            )


def _labels(folder: Path, attribute: Mapping[str, int] | None, names: list[str]) -> Tensor | None:
    if attribute is None:
        return None
    absent = [name for name in names if name not in attribute]
    if absent:
        raise DataError(
            f"{folder / ATTRIBUTES}: expected the images that {PARTITION} names, got none called "
            f"{absent[0]} ({len(absent)} are missing); put a fresh copy in its place"
        )
    return torch.tensor([attribute[name] for name in names])


def _partition(path: Path) -> dict[str, int]:
    """Number of each image's split: 0 to train, 1 to validate, 2 to test on."""
    found = {}
    for number, fields in enumerate(_lines(path), start=1):
        if len(fields) != 2 or fields[1] not in {"0", "1", "2"}:
            raise _damaged(path, number, "the name of an image, and 0, 1 or 2", fields)
        found[fields[0]] = int(fields[1])
    return found


def _attribute(path: Path, name: str) -> dict[str, int]:
    """Whether an attribute holds, for each image. The file counts, names, and then lists them."""
    lines = _lines(path)
    header = lines[1] if len(lines) > 1 else []
    if name not in header:
        raise DataError(
            f"{path}: expected an attribute {name!r}, got {', '.join(header) or 'none'}"
            f"{nearest(name, header)}"
        )
    column, found = header.index(name) + 1, {}
    for number, fields in enumerate(lines[2:], start=3):
        if len(fields) != len(header) + 1 or fields[column] not in {"1", "-1"}:
            raise _damaged(path, number, f"the name of an image, and {len(header)} times 1 or -1",
                           fields)  # fmt: skip
        found[fields[0]] = int(fields[column] == "1")
    return found


def _lines(path: Path) -> list[list[str]]:
    try:
        return [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected a list of images as text, got: {error}") from None


def _damaged(path: Path, number: int, expected: str, fields: list[str]) -> DataError:
    return DataError(
        f"{path}: line {number}: expected {expected}, got {' '.join(fields)[:40] or 'nothing'!r}; "
        "put a fresh copy in its place"
    )
