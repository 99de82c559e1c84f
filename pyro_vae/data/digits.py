"""Handwritten digits that travel with scikit-learn."""

from __future__ import annotations

from typing import Any

from pyro_vae.data.prepare import Raw
from pyro_vae.data.source import Source
from pyro_vae.data.splits import Share

__all__ = ["Digits"]


class Digits(Source):
    """The 1797 handwritten digits of 8 x 8 pixels that travel with scikit-learn.

    Their 17 grey levels become intensities in [0, 1]. Nothing is downloaded.

    Shapes:
        each datum is ``(1, 8, 8)``.

    Args:
        test: Fraction of the data in [0, 1), or a whole number of them, to test on.

    References:
        | Optical recognition of handwritten digits (Alpaydin and Kaynak, 1998)
        | https://doi.org/10.24432/C50P49

    Example:
        >>> Digits(binarization="threshold").load().train.x.unique()
        tensor([0., 1.])
    """

    def __init__(self, test: Share = 0.2, **preprocessing: Any) -> None:
        super().__init__(**preprocessing)
        self.test = test

    def read(self) -> Raw:
        """Intensities (1797, 1, 8, 8) and labels, from scikit-learn's own copy."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        return Raw(digits.images[:, None] / 16, digits.target)
