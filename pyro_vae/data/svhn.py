"""Street View House Numbers."""

from __future__ import annotations

from typing import Any

from pyro_vae.data.locations import FilePath
from pyro_vae.data.splits import Share
from pyro_vae.data.torchvision_images import TorchvisionImages

__all__ = ["SVHN"]


class SVHN(TorchvisionImages):
    """Digits of house numbers, in colour: 73,257 to train and validate on, 26,032 to test.

    Read from ``train_32x32.mat`` and ``test_32x32.mat`` (MATLAB's format, which holds nothing
    pickled). The files' label 10 is the digit 0, and becomes 0.

    Shapes:
        each datum is ``(3, 32, 32)``, with intensities in [0, 1].

    Args:
        root: Folder that holds the data; by default ``PYRO_VAE_DATA``, else ``data`` in the
            current folder.
        download: Let torchvision download into ``root`` what is not there.
        extra: Train on the 531,131 easier images of ``extra_32x32.mat`` too.
        validation: Fraction of the training data in [0, 1), or a whole number of them, to
            validate on.

    References:
        | Reading digits in natural images with unsupervised feature learning (Netzer et al., 2011)
        | http://ufldl.stanford.edu/housenumbers

    Example:
        >>> SVHN(extra=True).splits()["train"]
        [{'split': 'train'}, {'split': 'extra'}]
    """

    dataset = "SVHN"
    files = "train_32x32.mat and test_32x32.mat (and extra_32x32.mat if data.extra)"

    def __init__(
        self,
        root: FilePath | None = None,
        download: bool = False,
        extra: bool = False,
        validation: Share = 5_000,
        **preprocessing: Any,
    ) -> None:
        super().__init__(root, download, validation, **preprocessing)
        self.extra = extra

    def splits(self) -> dict[str, list[dict[str, Any]]]:
        """The training set, the extra one after it if it is wanted, and the test set."""
        train = ["train", "extra"] if self.extra else ["train"]
        return {"train": [{"split": name} for name in train], "test": [{"split": "test"}]}
