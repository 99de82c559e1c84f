"""Images in files, as intensities of one size."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.data.memory import check_room

__all__ = ["Channels", "Fit", "decoded", "fitted", "formats", "stacked"]

Channels = Literal[1, 3]
"""1 for grey, 3 for red, green and blue."""

Fit = Literal["crop", "stretch"]
"""How an image becomes square: its middle is cut out, or its sides are stretched."""

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
RUNS_A_PROGRAM = "EPS"  # which Pillow hands to Ghostscript


def formats() -> dict[str, str]:
    """The formats that are read, by the ending of a file's name: all of Pillow's but EPS."""
    from PIL import Image

    endings = Image.registered_extensions()
    return {e: f for e, f in endings.items() if f in Image.OPEN and f != RUNS_A_PROGRAM}


def decoded(content: bytes, name: str, channels: Channels) -> Any:
    """A Pillow image in grey or in colour, the right way up, on black where it is transparent.

    Args:
        content: The file's bytes.
        name: What to call the file in a message.
        channels: 1 for grey, 3 for colour.

    Raises:
        DataError: if it is no image, damaged, too large to be one, or of numbers without a scale.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(content), formats=sorted(set(formats().values()))) as image:
                image.load()
                return _plain(ImageOps.exif_transpose(image), channels)
    except Exception as error:  # damage may surface as any error of Pillow's many readers
        cause = " ".join(str(error).split()) or type(error).__name__
        if "cannot identify image file" in cause:
            cause = f"it begins with {content[:4].hex() or 'nothing'}, like no format that is read"
        raise DataError(
            f"{name}: expected an image, got one that cannot be read: {cause}; put a fresh copy "
            "in its place, or take it away"
        ) from None


def fitted(image: Any, size: int, fit: Fit = "crop") -> Bytes:
    """An image's bytes at one size, ``(channels, size, size)``.

    Where it shrinks, each pixel is a weighted mean of those that it covers.

    Example:
        >>> from PIL import Image
        >>> fitted(Image.new("L", (6, 4), 7), size=2).tolist()
        [[[7, 7], [7, 7]]]
    """
    from PIL import Image, ImageOps

    method, target = Image.Resampling.BILINEAR, (size, size)
    square = ImageOps.fit(image, target, method) if fit == "crop" else image.resize(target, method)
    pixels = np.asarray(square, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def stacked(
    names: Iterable[str], picture: Callable[[str], Bytes], size: int, channels: Channels, kind: str
) -> Tensor:
    """Intensities in [0, 1] of many images, ``(N, channels, size, size)``.

    Args:
        names: Of the images, in order.
        picture: Gives an image's bytes by its name, ``(channels, size, size)``.
        size: Of each side.
        channels: How many.
        kind: Of the data, for a message.

    Raises:
        DataError: if they do not fit into memory, or one of them cannot be read.
    """
    names = list(names)
    shape = (len(names), channels, size, size)
    check_room(shape, kind, "choose a smaller size, or fewer images")
    images = torch.empty(shape, dtype=torch.uint8)
    for row, name in enumerate(names):
        images[row] = torch.from_numpy(picture(name).copy())
    return images / 255


def _plain(image: Any, channels: Channels) -> Any:
    from PIL import Image

    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in {"I", "F"}:
        raise ValueError(f"its values (mode {image.mode}) have no known greatest one")
    if image.has_transparency_data:
        above = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", above.size, (0, 0, 0, 255)), above)
    if image.mode not in {"1", "L"}:
        image = image.convert("RGB")
    return image.convert("L" if channels == 1 else "RGB")
