"""EMNIST."""

from __future__ import annotations

import gzip
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from torch import Tensor

from pyro_vae.core.files import open_file
from pyro_vae.data.locations import FilePath
from pyro_vae.data.prepare import Raw
from pyro_vae.data.splits import Share
from pyro_vae.data.torchvision_images import TorchvisionImages
from pyro_vae.data.unpacked import Room, unpack

__all__ = ["EMNIST"]


class EMNIST(TorchvisionImages):
    """Handwritten letters and digits of 28 x 28 pixels, in six official splits.

    The files hold each image with its rows and columns exchanged; here it stands upright.
    ``EMNIST/raw`` holds the split's four files, or the ``gzip.zip`` of all splits. Labels are the
    files' own: ``letters`` counts from 1.

    Shapes:
        each datum is ``(1, 28, 28)``, with intensities in [0, 1].

    Args:
        split: Which characters: ``byclass``, ``bymerge``, ``balanced`` (112,800 to train and
            validate on, 18,800 to test), ``letters``, ``digits`` or ``mnist``.
        root: Folder that holds the data; by default ``PYRO_VAE_DATA``, else ``data`` in the
            current folder.
        download: Let torchvision download into ``root`` what is not there.
        validation: Fraction of the training data in [0, 1), or a whole number of them, to
            validate on.

    References:
        | EMNIST: an extension of MNIST to handwritten letters (Cohen et al., 2017)
        | https://arxiv.org/abs/1702.05373

    Example:
        >>> EMNIST("letters").declaration["split"]
        'letters'
    """

    dataset = "EMNIST"
    folder = "EMNIST/raw"
    archives = ("*.gz", "gzip.zip")

    def __init__(
        self,
        split: Literal[
            "byclass", "bymerge", "balanced", "letters", "digits", "mnist"
        ] = "balanced",
        root: FilePath | None = None,
        download: bool = False,
        validation: Share = 10_000,
        **preprocessing: Any,
    ) -> None:
        super().__init__(root, download, validation, **preprocessing)
        self.split = split
        self.options = {"split": split}
        self.files = f"emnist-{split}-* (each as it is, or as .gz) or gzip.zip"

    def unpack(self, archive: Path, folder: Path) -> None:
        """Unpack a split's file, or its four files in the archive of all splits."""
        if archive.suffix != ".zip":
            unpack(archive, folder)
            return
        room = Room(folder)
        with open_file(archive) as file_of_all, zipfile.ZipFile(file_of_all) as packed:
            for name in packed.namelist():
                file = PurePosixPath(name)
                if file.match(f"gzip/emnist-{self.split}-*.gz"):
                    with packed.open(name) as member, gzip.open(member) as content:
                        room.copy(content, folder / file.stem)

    def adjusted(self, x: Tensor) -> Tensor:
        """Images that stand upright."""
        return x.transpose(2, 3).contiguous()

    def read(self) -> Raw:
        """Upright intensities and labels of the split's two halves."""
        name, done = f"emnist {self.split}", "rows and columns exchanged"
        return replace(super().read(), name=name, preprocessing=done)
