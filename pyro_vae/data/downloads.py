"""Files that a data set needs: named where they are missing, fetched where that is allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from pyro_vae.core.errors import DataError

__all__ = ["download_file", "missing_files", "permitted_download"]


def missing_files(
    kind: str, wanted: Sequence[str], where: Path, advice: str = "", *, download: bool = True
) -> DataError:
    """The error that names what is not there, and what to do.

    Example:
        >>> print(missing_files("svhn", ["test_32x32.mat"], Path("data")))
        svhn: expected test_32x32.mat in data, got no such file; put it there, name the folder \
that holds it (data.root=..., or PYRO_VAE_DATA), or allow the download (data.download=true)
    """
    several = len(wanted) > 1
    them = "them" if several else "it"
    last = ", or allow the download (data.download=true)" if download else ""
    return DataError(
        f"{kind}: expected {', '.join(wanted)} in {where}, got no such "
        f"file{'s' if several else ''}{advice}; put {them} there, {'or ' if not last else ''}name "
        f"the folder that holds {them} (data.root=..., or PYRO_VAE_DATA){last}"
    )


def permitted_download(kind: str, root: Path, wanted: str, fetch: Callable[[], object]) -> None:
    """Run a download that was asked for.

    Args:
        kind: Of the data, for the message.
        root: Where the files go.
        wanted: Which files, in words.
        fetch: Does it.

    Raises:
        DataError: if it fails, for whatever reason.
    """
    try:
        fetch()
    except Exception as error:  # networks, servers and disks fail in ways of their own
        cause = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{kind}: expected torchvision to download it into {root}, got: {cause}; "
            f"try again, or put {wanted}"
        ) from None


def download_file(kind: str, root: Path, name: str, url: str, md5: str) -> None:
    """Download one file into a folder, whole and with this checksum, or not at all.

    Raises:
        DataError: if it fails.
    """

    def fetch() -> None:
        from torchvision.datasets.utils import download_url

        root.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".download-", dir=root) as draft:
            download_url(url, draft, name, md5)
            Path(draft, name).replace(root / name)

    permitted_download(kind, root, f"{name} there", fetch)
