"""What the kinds that torchvision reads share."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.core.messages import nearest
from pyro_vae.data.downloads import check_bounded, downloading
from pyro_vae.data.locations import FilePath, data_folder
from pyro_vae.data.memory import check_room
from pyro_vae.data.pictures import Bytes, Channels, pixels, stacked
from pyro_vae.data.prepare import Raw
from pyro_vae.data.source import Source
from pyro_vae.data.splits import Share
from pyro_vae.data.unpacked import unpack, unpacked

__all__ = ["MNIST_FILES", "TorchvisionImages"]

Arrays = tuple[Tensor, Tensor | None]
MNIST_FILES = (
    "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
    "t10k-labels-idx1-ubyte (each as it is, or as .gz)"
)
ABSENT = ("not found", "not present")
UNSAFE = {"LSUN", "LSUNClass"}  # which unpickle a cache beside the data, unchecked
OFFICIAL = {"train": ("train",), "validation": ("val", "valid"), "test": ("test",)}


class MissingError(DataError):
    """torchvision does not find its files."""


class TorchvisionImages(Source):
    """Images and labels that a class of ``torchvision.datasets`` reads.

    A kind names the class by ``dataset``; the other attributes and methods say what is special
    about it. A root may be read-only, and may hold the archives as they were published.

    Args:
        root: Folder that holds the data; by default ``PYRO_VAE_DATA``, else ``data`` in the
            current folder.
        download: Let torchvision download into ``root`` what is not there.
        validation: Fraction of the training data in [0, 1), or a whole number of them, to
            validate on.
    """

    options: Mapping[str, Any] = {}
    """What else torchvision's class takes."""

    folder: str = ""
    """Where the files lie below the root."""

    archives: tuple[str, ...] = ()
    """Patterns of archives there, which are unpacked into a temporary folder for the read."""

    files: str = ""
    """What they are called, for a message."""

    size: int | None = None
    channels: Channels | None = None
    limit: int | None = None

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

    @property
    @abstractmethod
    def dataset(self) -> str:
        """Name of torchvision's class."""

    def read(self) -> Raw:
        """Intensities and labels of the official splits, as far as there are any.

        Raises:
            DataError: if a file is missing or damaged, or cannot be downloaded.
        """
        root = data_folder(self.root)
        try:
            return self._read(root)
        except MissingError:
            if not self.download:
                raise
        check_bounded(self._loader(), self.kind, root / self.folder)
        try:
            with downloading(root) as draft:
                self._opened(draft, download=True)
        except OSError as error:
            raise self._not_downloaded(error) from None
        return self._read(root)

    def splits(self) -> dict[str, list[dict[str, Any]]]:
        """What chooses each official split of torchvision's class; several are put together.

        A word for a split that the class does not know is passed over.
        """
        choices = self._parameters() - set(self.options)
        if "train" in choices:
            return {"train": [{"train": True}], "test": [{"train": False}]}
        if "split" not in choices:
            return {"train": [{}]}
        return {name: [{"split": word} for word in words] for name, words in OFFICIAL.items()}

    def items(self, dataset: Any) -> Iterable[tuple[Any, Any]]:
        """A split's images, as Pillow's, and their targets."""
        return (dataset[row] for row in range(len(dataset)))

    def name_of(self, dataset: Any, row: int) -> str:
        """What to call an image in a message."""
        return f"image {row}"

    def picture(self, image: Any) -> Bytes:
        """An image's bytes, ``(channels, height, width)``."""
        return pixels(image, self.channels, self.size)

    def adjusted(self, x: Tensor) -> Tensor:
        """Intensities ``(N, channels, height, width)`` as the data set has them."""
        return x

    def label(self, target: Any, dataset: Any) -> int | None:
        """The label that a target of torchvision's is, if it is one."""
        whole = isinstance(target, int) or (hasattr(target, "numel") and target.numel() == 1)
        return int(target) if whole and int(target) == target else None

    def unpack(self, archive: Path, folder: Path) -> None:
        """Unpack what is needed of an archive into a folder."""
        unpack(archive, folder)

    def _read(self, root: Path) -> Raw:
        with unpacked(root, self.folder, self.archives, self.unpack) as readable:
            opened = self._opened(readable)
            if "train" not in opened:
                raise DataError(
                    f"{self.kind}: expected a split to train on, got "
                    f"{', '.join(opened) or 'none'}; name one (data.options)"
                )
            counts = [self._count(d) for several in opened.values() for d in several]
            first = next(iter(self.items(opened["train"][0])), None)
            if first is None:
                raise DataError(f"{self.kind}: expected images to train on, got none in {root}")
            shape = (sum(counts), *self._decoded(first[0], "image 0").shape)
            check_room(shape, self.kind, "choose a smaller size, or a limit (data.limit)")
            arrays = {
                name: _together([self._arrays(dataset) for dataset in several])
                for name, several in opened.items()
            }
        x, labels = arrays.pop("train")
        resized = f"resized to {self.size} x {self.size}" if self.size else ""
        return Raw(
            x,
            labels,
            test=arrays.get("test"),
            validation=arrays.get("validation"),
            preprocessing=resized,
        )

    def _arrays(self, dataset: Any) -> Arrays:
        """Intensities ``(N, channels, height, width)`` and labels ``(N,)`` of a split."""
        labels: list[int | None] = []

        def pictures() -> Iterator[Bytes]:
            items = iter(self.items(dataset))
            for row in range(self._count(dataset)):
                try:
                    image, target = next(items)
                except Exception as error:  # of torchvision's many readers, and of Pillow's
                    raise self._damaged(self.name_of(dataset, row), error) from None
                yield self._decoded(image, self.name_of(dataset, row))
                labels.append(self.label(target, dataset))

        x = stacked(pictures(), self._count(dataset), self.kind)
        return self.adjusted(x), None if None in labels else torch.tensor(labels)

    def _decoded(self, image: Any, name: str) -> Bytes:
        if not hasattr(image, "convert"):
            raise DataError(
                f"{self.kind}: expected torchvision's {self.dataset} to give images, got "
                f"{type(image).__name__}; only data sets of images are read"
            )
        with image:
            try:
                return self.picture(image)
            except DataError:
                raise
            except Exception as error:  # damage may surface as any error of Pillow's readers
                raise self._damaged(name, error) from None

    def _count(self, dataset: Any) -> int:
        targets = getattr(dataset, "targets", None)
        if targets is not None and len(targets) != len(dataset):
            raise DataError(
                f"{self.kind}: expected a label for each of {len(dataset)} images, got "
                f"{len(targets)}; put a fresh copy in place"
            )
        return min(len(dataset), self.limit or len(dataset))

    def _loader(self) -> Any:
        from torchvision import datasets

        known = [name for name in datasets.__all__ if name != "VisionDataset"]
        if self.dataset not in known:
            raise DataError(
                f"{self.kind}: expected the name of a class of torchvision.datasets, got "
                f"{self.dataset!r}{nearest(self.dataset, known)}"
            )
        if self.dataset in UNSAFE:
            raise DataError(
                f"{self.kind}: expected a class that unpickles nothing unchecked, got "
                f"{self.dataset}, which unpickles a cache beside the data; export the images and "
                "use image_folder"
            )
        return getattr(datasets, self.dataset)

    def _parameters(self) -> set[str]:
        """What torchvision's class takes, itself or by the classes that it hands the rest to."""
        known: set[str] = set()
        for extended in self._loader().__mro__:
            given = inspect.signature(extended.__init__).parameters.values()
            known |= {one.name for one in given}
            if all(one.kind is not inspect.Parameter.VAR_KEYWORD for one in given):
                break
        return known

    def _opened(self, root: Path, *, download: bool = False) -> dict[str, list[Any]]:
        """Torchvision's data sets of each official split that there is."""
        opened = {
            name: [self._open(root, chosen, download=download) for chosen in several]
            for name, several in self.splits().items()
        }
        known = {name: [d for d in several if d is not None] for name, several in opened.items()}
        return {name: several for name, several in known.items() if several}

    def _open(self, root: Path, chosen: Mapping[str, Any], *, download: bool = False) -> Any:
        """Torchvision's data set, which finds and checks its files; None without such a split."""
        known = self._parameters()
        if download and "download" not in known:
            raise DataError(f"{self.kind}: torchvision does not download {self.dataset}")
        given = {"root": str(root), "download": download}
        passed = {name: value for name, value in given.items() if name in known}
        try:
            return self._loader()(**passed, **self.options, **chosen)
        except Exception as error:  # of networks, servers, disks and torchvision's readers
            cause = " ".join(str(error).split()) or type(error).__name__
            place = root / self.folder
            if "split" in chosen and "Unknown value" in cause:
                return None
            if download:
                raise self._not_downloaded(error) from None
            if isinstance(error, FileNotFoundError) or any(word in cause for word in ABSENT):
                raise MissingError(
                    f"{self.kind}: expected the files of torchvision's {self.dataset} in "
                    f"{place}, got: {cause.partition('. You can use')[0]}; put "
                    f"{self.files or 'them'} there, name the folder that holds them "
                    "(data.root=..., or PYRO_VAE_DATA), or allow the download "
                    "(data.download=true)"
                ) from None
            if isinstance(error, TypeError):
                raise DataError(
                    f"{self.kind}: expected options that torchvision's {self.dataset} takes, got: "
                    f"{cause}; see its documentation (data.options)"
                ) from None
            raise self._damaged(str(place), error) from None

    def _not_downloaded(self, error: Exception) -> DataError:
        cause = " ".join(str(error).split()) or type(error).__name__
        return DataError(
            f"{self.kind}: expected torchvision to download {self.dataset} into "
            f"{data_folder(self.root) / self.folder}, got: {cause}; try again, or put its files "
            "there"
        )

    def _damaged(self, name: str, error: Exception) -> DataError:
        cause = " ".join(str(error).split()) or type(error).__name__
        return DataError(
            f"{self.kind}: {name}: expected a file that torchvision's {self.dataset} can read, "
            f"got: {cause}; put a fresh copy in its place"
        )


def _together(parts: list[Arrays]) -> Arrays:
    labels = [labels for _, labels in parts if labels is not None]
    x = [x for x, _ in parts]
    return torch.cat(x), torch.cat(labels) if len(labels) == len(parts) else None
