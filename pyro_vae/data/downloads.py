"""Downloads by urllib, within limits, into a folder that is whole or as it was."""

from __future__ import annotations

import inspect
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock, get_ident
from typing import Any
from urllib.error import URLError
from urllib.request import Request

from pyro_vae.core.errors import DataError
from pyro_vae.data.unpacked import Room

__all__ = ["check_bounded", "downloading"]

SILENCE = 30.0  # seconds without a byte, after which a server is given up
DRIVE = ("drive.google.com", "download_file_from_google_drive")
SLOWEST = 1_000  # bytes a second, on average after the first 30 s

Open = Callable[..., Any]
_one = Lock()  # download at a time, since urlopen belongs to the whole process


def check_bounded(dataset: type, kind: str, root: Path) -> None:
    """Refuse a data set on Google Drive, whose files come by gdown and not by urllib.

    Args:
        dataset: Torchvision's class.
        kind: Of the data, for the message.
        root: Where its files would be.

    Raises:
        DataError: if it is one.
    """
    module = inspect.getmodule(dataset)
    source = "" if module is None else inspect.getsource(module)
    if any(word in source for word in DRIVE):
        raise DataError(
            f"{kind}: expected files that can be downloaded within limits of time and size, got "
            f"{dataset.__name__}, which is on Google Drive; download it with a browser, or by "
            f"torchvision itself, into {root}"
        )


@contextmanager
def downloading(root: Path) -> Iterator[Path]:
    """A temporary folder to download into; what it holds comes into ``root`` at the end.

    Nothing comes after an error. Within the block ``urllib.request.urlopen``, by which torchvision
    downloads, gives up a server that is silent or very slow, takes no more than the disk has room
    for, and reads by https: an ``http`` address as it is only where https fails, and never in
    place of an ``https`` one. Other threads' calls are as before.

    Args:
        root: Where the files shall be; made if it is not there.

    Raises:
        OSError: if it cannot be written.
    """
    is_new = not root.exists()
    root.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(prefix=".pyro_vae-", dir=root) as draft:
            with _one:
                plain, thread = urllib.request.urlopen, get_ident()
                ours = limited(plain, Room(root))

                def opened(*args: Any, **kwargs: Any) -> Any:
                    return (ours if get_ident() == thread else plain)(*args, **kwargs)

                urllib.request.urlopen = opened
                try:
                    yield Path(draft)
                finally:
                    urllib.request.urlopen = plain
            for path in sorted(Path(draft).rglob("*")):
                place = root / path.relative_to(draft)
                if path.is_dir():
                    place.mkdir(exist_ok=True)
                else:
                    path.replace(place)
    except BaseException:
        if is_new:
            with suppress(OSError):
                root.rmdir()
        raise


def limited(plain: Open, room: Room) -> Open:
    """``urlopen`` within limits of time and of the disk, by https.

    Args:
        plain: urllib's own.
        room: What the disk has room for.
    """
    secure: set[str] = set()  # addresses without their scheme
    without: set[str] = set()  # hosts that do not answer by https

    def opened(request: Request | str, *unused: Any, **options: Any) -> Any:
        request = Request(request) if isinstance(request, str) else request
        scheme, _, rest = request.full_url.partition(":")
        if scheme == "https":
            secure.add(rest)
        elif rest in secure:
            raise URLError(f"https:{rest} cannot be read, and http is not secure")
        elif request.host not in without:
            try:
                return read(f"https:{rest}", request)
            except OSError:
                without.add(request.host)
        return read(request.full_url, request)

    def read(address: str, request: Request) -> Any:
        response = plain(Request(address, headers=dict(request.headers)), timeout=SILENCE)
        if address.startswith("https:") and not response.url.startswith("https:"):
            raise URLError(f"{address} leads to {response.url}, and http is not secure")
        if (response.length or 0) > room.left:
            room.take(response.length)
        return counted(response)

    def counted(response: Any) -> Any:
        whole, start, count = response.read, time.monotonic(), 0

        def chunk(size: int | None = None) -> Any:
            nonlocal count
            content = whole(size)
            count += len(content)
            room.take(len(content))
            seconds = time.monotonic() - start
            if content and seconds > SILENCE and count < SLOWEST * seconds:
                raise TimeoutError(f"only {count:,} bytes came in {seconds:.0f} s")
            return content

        response.read = chunk
        return response

    return opened
