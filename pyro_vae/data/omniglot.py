"""Omniglot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor

from pyro_vae.core.files import read_file
from pyro_vae.data.locations import FilePath
from pyro_vae.data.pictures import decoded
from pyro_vae.data.prepare import Raw
from pyro_vae.data.splits import Share
from pyro_vae.data.torchvision_images import TorchvisionImages

__all__ = ["Omniglot"]


class Omniglot(TorchvisionImages):
    """Handwritten characters of 50 alphabets: 19,280 to train and validate on, 13,180 to test.

    The background set of 30 alphabets is trained on, the evaluation set of 20 others is the test
    set. Ink is 1 and paper is 0, the reverse of the files. Read from
    ``omniglot-py/images_background.zip`` and ``images_evaluation.zip``. (The 24,345 and 8,070
    images of the importance-weighted autoencoder's paper are another split.)

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

    dataset = "Omniglot"
    options = MappingProxyType({"loader": str})  # each item's path, in place of its image
    folder = "omniglot-py"
    archives = ("images_*.zip",)
    files = "images_background.zip and images_evaluation.zip"
    channels = 1

    def __init__(
        self,
        size: PositiveInt = 28,
        root: FilePath | None = None,
        download: bool = False,
        validation: Share = 0.1,
        **preprocessing: Any,
    ) -> None:
        super().__init__(root, download, validation, **preprocessing)
        self.size = size

    def splits(self) -> dict[str, list[dict[str, Any]]]:
        """The background set, and the evaluation set to test on."""
        return {"train": [{"background": True}], "test": [{"background": False}]}

    def items(self, dataset: Any) -> Iterator[tuple[Any, Any]]:
        """Images in the order of their names, which torchvision leaves to the file system."""
        paths = sorted(Path(path) for path, _ in dataset)
        number = {folder: i for i, folder in enumerate(dict.fromkeys(p.parent for p in paths))}
        return ((decoded(read_file(path), str(path)), number[path.parent]) for path in paths)

    def adjusted(self, x: Tensor) -> Tensor:
        """Ink 1, on paper 0."""
        return 1 - x

    def read(self) -> Raw:
        """Intensities, and labels that number the characters, of both sets."""
        raw = super().read()
        assert raw.test is not None
        test, (labels, others) = raw.test[0], map(torch.as_tensor, (raw.labels, raw.test[1]))
        done = f"ink 1, {raw.preprocessing}"
        return replace(raw, test=(test, others + labels.max() + 1), preprocessing=done)
