"""Omniglot."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.data.downloads import download_file, missing_files
from pyro_vae.data.locations import FilePath, data_folder
from pyro_vae.data.pictures import decoded, fitted, stacked
from pyro_vae.data.prepare import Raw
from pyro_vae.data.source import Source
from pyro_vae.data.splits import Share
from pyro_vae.data.trees import open_tree

__all__ = ["Omniglot"]

FOLDER, BACKGROUND, EVALUATION = "omniglot-py", "images_background", "images_evaluation"


class Omniglot(Source):
    """Handwritten characters of 50 alphabets: 19,280 to train and validate on, 13,180 to test.

    The background set of 30 alphabets is trained on, the evaluation set of 20 others is the test
    set. Ink is 1 and paper is 0, the reverse of the files. Read from
    ``omniglot-py/images_background`` and ``images_evaluation``, unpacked or as ``.zip``. (The
    24,345 and 8,070 images of the importance-weighted autoencoder's paper are another split.)

    Shapes:
        each datum is ``(1, size, size)``, with intensities in [0, 1].

    Args:
        size: Of each side in pixels; 105 keeps the files' own.
        root: Folder that holds the data; by default ``PYRO_VAE_DATA``, else ``data`` in the
            current folder.
        download: Let torchvision download into ``root`` what is not there.
        validation: Fraction of the training data in [0, 1), or a whole number of them, to
            validate on.

    References:
        | Human-level concept learning through probabilistic program induction (Lake et al., 2015)
        | https://github.com/brendenlake/omniglot

    Example:
        >>> Omniglot(size=32).declaration["size"]
        32
    """

    def __init__(
        self,
        size: PositiveInt = 28,
        root: FilePath | None = None,
        download: bool = False,
        validation: Share = 0.1,
        **preprocessing: Any,
    ) -> None:
        super().__init__(validation=validation, **preprocessing)
        self.size = size
        self.root = root
        self.download = download

    def read(self) -> Raw:
        """Intensities, and labels that number the characters, of both sets.

        Raises:
            DataError: if a file is missing or damaged, or cannot be downloaded.
        """
        root = data_folder(self.root) / FOLDER
        if self.download:
            self._fetch(root)
        x, labels = self._half(root, BACKGROUND)
        test, test_labels = self._half(root, EVALUATION)
        return Raw(
            x,
            labels,
            test=(test, test_labels + len(labels.unique())),  # no character is in both
            preprocessing=f"ink 1, resized to {self.size} x {self.size}",
        )

    def _half(self, root: Path, name: str) -> tuple[Tensor, Tensor]:
        with open_tree(root / name) as files:
            if files is None:
                raise missing_files(self.kind, [f"{name} (a folder, or .zip)"], root)
            names = [n for n in files if n.endswith(".png") and n.count("/") == 2]
            if not names:
                raise DataError(
                    f"{files.place}: expected images <alphabet>/<character>/<name>.png, got none; "
                    "put a fresh copy in its place"
                )
            x = stacked(
                names,
                lambda n: fitted(decoded(files[n], files.called(n), 1), self.size),
                self.size, 1, self.kind,
            )  # fmt: skip
        characters = [PurePosixPath(n).parent for n in names]
        number = {character: i for i, character in enumerate(sorted(set(characters)))}
        return 1 - x, torch.tensor([number[character] for character in characters])

    def _fetch(self, root: Path) -> None:
        from torchvision import datasets

        for name, md5 in datasets.Omniglot.zips_md5.items():
            if not ((root / name).is_dir() or (root / f"{name}.zip").is_file()):
                url = f"{datasets.Omniglot.download_url_prefix}/{name}.zip"
                download_file(self.kind, root, f"{name}.zip", url, md5)
