"""A data set that the ``datasets`` library reads."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import PositiveInt

from pyro_vae.core.errors import DataError
from pyro_vae.core.messages import nearest
from pyro_vae.data.locations import FilePath, expanded
from pyro_vae.data.pictures import Bytes, Channels, pixels, stacked
from pyro_vae.data.prepare import Raw
from pyro_vae.data.source import Source
from pyro_vae.data.splits import Share

__all__ = ["Huggingface"]

OFFICIAL = ("train", "validation", "test")
Arrays = tuple[Any, np.ndarray[Any, Any] | None]


class Huggingface(Source):
    """A column of images or numbers of a data set that Hugging Face's ``datasets`` reads.

    Splits called ``train``, ``validation`` and ``test`` are the official ones; others are left
    out. Needs that library, which ``pip install 'pyro-vae[huggingface]'`` brings. What it
    downloads, it keeps in its own cache.

    Shapes:
        each datum is ``(channels, height, width)``, with intensities in [0, 1], where the column
        holds images; else it has the shape of the numbers in a row.

    Args:
        path: Name of the data set on the hub, or a local folder, of Parquet files for instance.
        name: Of its configuration, if it has several.
        column: The one to read; by default the only one besides the label.
        label: Column of labels, whole numbers or classes; by default there are none.
        size: Of each side in pixels, to which images are cropped and resized; by default theirs,
            if it is the same for all.
        channels: 1 for grey, 3 for colour; by default the images' own.
        validation: Fraction of the training data in [0, 1), or a whole number of them, to
            validate on; by default the official validation set, or else 0.1.
        test: Fraction of the data in [0, 1), or a whole number of them, to test on, where there
            is no official test set.

    References:
        https://huggingface.co/docs/datasets

    Example:
        >>> Huggingface("ylecun/mnist", column="image", label="label").declaration["column"]
        'image'
    """

    def __init__(
        self,
        path: FilePath,
        name: str | None = None,
        column: str | None = None,
        label: str | None = None,
        size: PositiveInt | None = None,
        channels: Channels | None = None,
        validation: Share | None = None,
        test: Share = 0.2,
        **preprocessing: Any,
    ) -> None:
        super().__init__(validation=0.1 if validation is None else validation, **preprocessing)
        self.path = path
        self.name = name
        self.column = column
        self.label = label
        self.size = size
        self.channels = channels
        self.keeps_official = validation is None
        self.test = test

    def read(self) -> Raw:
        """Values and labels of the official splits, as far as there are any.

        Raises:
            DataError: if the library is not there, or cannot read the data; if a column is not
                there, or holds neither images nor numbers.
        """
        found = self._opened()
        wanted = [n for n in OFFICIAL if n in found and (self.keeps_official or n != "validation")]
        if "train" not in wanted:
            raise DataError(f"{self.path}: expected a split 'train', got {', '.join(found)}")
        arrays = {split: self._arrays(found[split], split) for split in wanted}
        return Raw(
            *arrays["train"],
            test=arrays.get("test"),
            validation=arrays.get("validation"),
            name=Path(self.path).name if self.name is None else self.name,
            preprocessing=f"resized to {self.size} x {self.size}" if self.size else "",
        )

    def _opened(self) -> Any:
        try:
            import datasets
        except ImportError:
            raise DataError(
                f"{self.kind}: expected Hugging Face's datasets library, got no such package; "
                "install it (pip install datasets)"
            ) from None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the library's, about itself
                return datasets.load_dataset(str(expanded(self.path)), self.name)
        except Exception as error:  # of networks, servers, disks, and the library's many readers
            cause = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"{self.kind}: expected the name of a data set on the hub, or a folder of Parquet "
                f"files, got {self.path!r}: {cause}; check its name (data.path), its "
                "configuration (data.name) and the network"
            ) from None

    def _arrays(self, table: Any, split: str) -> Arrays:
        known, label = table.column_names, self.label
        others = [name for name in known if name != label]
        column = self.column or (others[0] if len(others) == 1 else "")
        for chosen, argument in ((column, "column"), (label, "label")):
            if chosen is not None and chosen not in known:
                raise DataError(
                    f"{self.path}: expected the name of a column, got {chosen or 'none'!r}"
                    f"{nearest(chosen, known)}; choose from {', '.join(known)} (data.{argument})"
                )
        labels = None if label is None else np.asarray(table[label])
        name = f"{self.path} {split}, column {column!r}"
        if type(table.features[column]).__name__ == "Image":
            return stacked(self._pictures(table[column], name), len(table), name), labels
        try:
            values = np.asarray(table.with_format("numpy")[column][:])
        except ValueError as error:
            raise DataError(f"{name}: expected numbers of one shape, got: {error}") from None
        return (values[:, None] if values.ndim == 1 else values), labels

    def _pictures(self, images: Any, name: str) -> Iterator[Bytes]:
        for row in range(len(images)):
            try:
                yield pixels(images[row], self.channels, self.size)
            except Exception as error:  # damage may surface as any error of Pillow's readers
                raise DataError(
                    f"{name}: expected an image in row {row}, got: {error}; leave that row out"
                ) from None
