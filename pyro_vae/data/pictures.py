"""Images in files, as intensities of one size."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from io import BytesIO
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.data.memory import check_room

__all__ = ["SMALLER", "Bytes", "Channels", "Fit", "decoded", "formats", "pixels", "stacked"]

Channels = Literal[1, 3]
"""1 for grey, 3 for red, green and blue."""

Fit = Literal["crop", "stretch"]
"""How an image becomes square: its middle is cut out, or its sides are stretched."""

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
SMALLER = "choose a smaller size, or fewer images"
RUNS_A_PROGRAM = "EPS"  # which Pillow hands to Ghostscript


def formats() -> dict[str, str]:
    """The formats that are read, by the ending of a file's name: all of Pillow's but EPS."""
    from PIL import Image

    endings = Image.registered_extensions()
    return {e: f for e, f in endings.items() if f in Image.OPEN and f != RUNS_A_PROGRAM}


def decoded(content: bytes, name: str) -> Any:
    """A Pillow image, the right way up.

    Args:
        content: The file's bytes.
        name: What to call the file in a message.

    Raises:
        DataError: if it is no image, damaged, or too large to be one.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(content), formats=sorted(set(formats().values()))) as image:
                image.load()
                return ImageOps.exif_transpose(image)
    except Exception as error:  # damage may surface as any error of Pillow's many readers
        cause = " ".join(str(error).split()) or type(error).__name__
        if "cannot identify image file" in cause:
            cause = f"it begins with {content[:4].hex() or 'nothing'}, like no format that is read"
        raise DataError(
            f"{name}: expected an image, got one that cannot be read: {cause}; put a fresh copy "
            "in its place, or take it away"
        ) from None


def pixels(
    image: Any, channels: Channels | None = None, size: int | None = None, fit: Fit = "crop"
) -> Bytes:
    """An image's bytes, ``(channels, height, width)``, on black where it is transparent.

    Where it shrinks, each pixel is a weighted mean of those that it covers.

    Args:
        image: Pillow's.
        channels: 1 for grey, 3 for colour; by default the image's own.
        size: Of each side in pixels; by default the image's own.
        fit: How it becomes square, if it has a size.

    Raises:
        ValueError: if its values are numbers without a scale.

    Example:
        >>> from PIL import Image
        >>> pixels(Image.new("L", (6, 4), 7), size=2).tolist()
        [[[7, 7], [7, 7]]]
    """
    from PIL import Image, ImageOps

    image = _plain(image, channels)
    if size is not None:
        method, target = Image.Resampling.BILINEAR, (size, size)
        crops = fit == "crop"
        image = ImageOps.fit(image, target, method) if crops else image.resize(target, method)
    values = np.asarray(image, dtype=np.uint8)
    return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)


def stacked(pictures: Iterable[Bytes], count: int, name: str, remedy: str = SMALLER) -> Tensor:
    """Intensities in [0, 1] of many images, ``(count, channels, height, width)``.

    Args:
        pictures: Each image's bytes, ``(channels, height, width)``.
        count: How many there are, at least 1.
        name: Of the data, for a message.
        remedy: What to do if they do not fit.

    Raises:
        DataError: if they do not fit into memory, or differ in shape.
    """
    images = torch.empty(0, dtype=torch.uint8)
    for row, picture in enumerate(pictures):
        if row == 0:
            shape = (count, *picture.shape)
            check_room(shape, name, remedy)
            images = torch.empty(shape, dtype=torch.uint8)
        if picture.shape != images.shape[1:]:
            raise DataError(
                f"{name}: expected images of one shape, {tuple(images.shape[1:])} as the first, "
                f"got {picture.shape} in image {row}; choose size and channels (data.size, "
                "data.channels)"
            )
        images[row] = torch.from_numpy(picture.copy())
    return images / 255


def _plain(image: Any, channels: Channels | None) -> Any:
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
    if channels is None:
        return image.convert("L") if image.mode == "1" else image
    return image.convert("L" if channels == 1 else "RGB")
