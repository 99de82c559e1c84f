"""20 Newsgroups."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pyro_vae.data.locations import FilePath, data_folder, missing_files
from pyro_vae.data.prepare import Raw
from pyro_vae.data.source import Source
from pyro_vae.data.sparse_counts import SparseCounts
from pyro_vae.data.splits import Share

__all__ = ["TwentyNewsgroups"]

FOLDER, FILES = "20news", ("train_bow.npz", "test_bow.npz", "vocab.txt")


class TwentyNewsgroups(Source):
    """Posts of 20 newsgroups as counts of 1,995 words: 11,258 to train, 7,487 to test on.

    In the preprocessing of ProdLDA's authors, as sparse matrices that SciPy saved:
    ``20news/train_bow.npz`` and ``test_bow.npz``, beside ``vocab.txt``. Other corpora are read
    by ``sparse_counts``.

    Shapes:
        each datum is ``(1995,)``.

    Args:
        root: Folder that holds the data; by default ``PYRO_VAE_DATA``, else ``data`` in the
            current folder.

    References:
        | Autoencoding variational inference for topic models (Srivastava and Sutton, 2017)
        | https://arxiv.org/abs/1703.01488

    Example:
        >>> TwentyNewsgroups(root="data", validation=0).declaration["validation"]
        0
    """

    def __init__(
        self, root: FilePath | None = None, validation: Share = 0.1, **preprocessing: Any
    ) -> None:
        super().__init__(validation=validation, **preprocessing)
        self.root = root

    def read(self) -> Raw:
        """The counts of both sets.

        Raises:
            DataError: if a file is missing or damaged.
        """
        return replace(self._counts().read(), name="")

    def words(self) -> tuple[str, ...]:
        """What each column counts."""
        return self._counts().words()

    def _counts(self) -> SparseCounts:
        folder = data_folder(self.root) / FOLDER
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise missing_files(self.kind, missing, folder)
        train, test, vocabulary = (str(folder / name) for name in FILES)
        return SparseCounts(train, test_path=test, vocab=vocabulary)
