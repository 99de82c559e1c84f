"""An array of one's own, in a file."""

from __future__ import annotations

from typing import Any

from pyro_vae.data.locations import FilePath, expanded
from pyro_vae.data.numpy_files import chunks_of, read_arrays
from pyro_vae.data.prepare import Raw
from pyro_vae.data.source import Source
from pyro_vae.data.splits import Share

__all__ = ["Array"]


class Array(Source):
    """An array in a .npy or .npz file, its values taken as they are.

    Nothing is scaled and nothing is unpickled: bytes from 0 to 255 stay so.

    Shapes:
        the array is ``(N, *event)``, the labels are ``(N,)``.

    Args:
        path: Of the file.
        key: Name of the array in a .npz file; by default the only one there, or ``x``.
        labels: Name of the labels in a .npz file; by default there are none.
        condition: Name of the conditions, ``(N,)`` or ``(N, k)``, likewise.
        test: Fraction of the data in [0, 1), or a whole number of them, to test on.
        stream: Folder for float32 copies of a .npy file's splits, which are mapped from disk
            instead of held in memory; for data larger than that.

    Raises:
        DataError: when it is read, if the file is missing, damaged, or pickled.

    Example:
        >>> import numpy, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     numpy.savez(f"{folder}/spikes.npz", x=numpy.ones((10, 5)), reach=numpy.arange(10))
        ...     Array(f"{folder}/spikes.npz", labels="reach").load().train
        Split(7 of shape (5,), labelled)
    """

    def __init__(
        self,
        path: FilePath,
        key: str | None = None,
        labels: str | None = None,
        condition: str | None = None,
        test: Share = 0.2,
        stream: FilePath | None = None,
        **preprocessing: Any,
    ) -> None:
        super().__init__(**preprocessing)
        self.path = path
        self.key = key
        self.labels = labels
        self.condition = condition
        self.test = test
        self.stream = stream

    def read(self) -> Raw:
        """The array and its labels, as they are in the file."""
        path = expanded(self.path)
        if self.stream is not None:
            return Raw(chunks_of(path, self.key, self.labels, self.condition), name=path.name)
        x, labels, condition = read_arrays(path, self.key, self.labels, self.condition)
        return Raw(x, labels, name=path.name, condition=condition)
