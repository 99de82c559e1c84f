"""What the data sets in MNIST's format share: torchvision's loader, and where it reads."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.data.downloads import permitted_download
from pyro_vae.data.idx import find_files, readable_root
from pyro_vae.data.locations import FilePath, data_folder
from pyro_vae.data.prepare import Raw
from pyro_vae.data.source import Source
from pyro_vae.data.splits import Share

__all__ = ["TorchvisionImages"]


class TorchvisionImages(Source):
    """Grey images and labels in MNIST's format, with an official test set.

    A kind gives torchvision's class by ``loader()``; everything else is here. The files lie in
    ``<root>/<folder>/raw``, unpacked or as ``.gz``; packed ones are unpacked into a cache, so
    the root may be read-only.

    Shapes:
        each datum is ``(1, height, width)``, with intensities in [0, 1].

    Args:
        root: Folder that holds the data; by default ``PYRO_VAE_DATA``, else ``data`` in the
            current folder.
        download: Let torchvision download into ``root`` what is not there.
        validation: Fraction of the training data in [0, 1), or a whole number of them, to
            validate on.
    """

    options: Mapping[str, Any] = {}
    """What else torchvision's class takes."""

    archive = ""
    """Name of a .zip that may hold the files in its folder ``gzip``."""

    files: tuple[str, ...] = (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    )

    def __init__(
        self,
        root: FilePath | None = None,
        download: bool = False,
        validation: Share = 10_000,
        **preprocessing: Any,
    ) -> None:
        super().__init__(validation=validation, **preprocessing)
        self.root = root
        self.download = download

    @staticmethod
    @abstractmethod
    def loader() -> Any:
        """Torchvision's class for these data, imported here; its name is the folder's."""

    def read(self) -> Raw:
        """Intensities and labels of the training data and of the official test set.

        Raises:
            DataError: if a file is missing or damaged, or cannot be downloaded.
        """
        root = self._readable_root()
        x, labels = self._images(root, train=True)
        return Raw(x, labels, test=self._images(root, train=False))

    def _images(self, root: Path, *, train: bool) -> tuple[Tensor, Tensor]:
        """Images (N, 1, height, width) in [0, 1] and labels (N,) of one half."""
        half = self.loader()(root, train=train, download=False, **self.options)
        return half.data[:, None] / 255, half.targets

    def _readable_root(self) -> Path:
        root, folder = data_folder(self.root), self.loader().__name__
        found = find_files(root, folder, self.files, self.archive)
        if self.download and None in found.values():
            self._fetch(root)
            found = find_files(root, folder, self.files, self.archive)
        missing = [name for name, path in found.items() if path is None]
        if missing:
            raise DataError(
                f"{self.kind}: expected {', '.join(missing)} (each as it is, or as .gz) in "
                f"{root / folder / 'raw'}, got no such file{'s' if len(missing) > 1 else ''}; put "
                "them there, name the folder that holds "
                f"{folder}/raw (data.root=..., or PYRO_VAE_DATA), or allow the download "
                "(data.download=true)"
            )
        return readable_root(root, folder, {n: path for n, path in found.items() if path})

    def _fetch(self, root: Path) -> None:
        where = root / self.loader().__name__ / "raw"
        permitted_download(
            self.kind, root, f"{', '.join(self.files)} (each as it is, or as .gz) in {where}",
            lambda: self.loader()(root, train=True, download=True, **self.options),
        )  # fmt: skip
