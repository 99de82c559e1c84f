"""A class that is known for some data, and latent for the others."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from pyro_vae.conditions.classes import Classes
from pyro_vae.core.bounds import Size
from pyro_vae.core.condition import MISSING
from pyro_vae.core.declaration import Declared, parse
from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.messages import shown
from pyro_vae.core.network import Network

__all__ = ["SemiSupervised"]


class SemiSupervised(Classes):
    r"""A class y of each datum, or -1 where it is missing: then it is summed out (the model M2).

    .. math:: \log p(x) \ge \sum_y q(y \mid x) \left[ E_{q(z \mid x, y)}[\log p(x \mid z, y)]
              - KL(q(z \mid x, y) \,\|\, p(z)) \right] - KL(q(y \mid x) \,\|\, p(y))

    Of a datum whose class is known, q(y|x) is a point mass there, so that this is a bound on
    log p(x, y); and training adds ``weight`` log q(y|x), by which the classifier q(y|x) learns
    from labels. Kingma's alpha = 0.1 is a weight of 0.1 N / L for L labels of N data.

    Shapes:
        maps ``(N,)`` to ``(N, count)``.

    Args:
        count: Number of classes, at least 2, which are numbered from 0.
        classifier: Network from x to the logits of q(y|x), as a name or a mapping with kind.
        prior: p(y), the probability of each class; None for equal ones.
        weight: Of log q(y|x) for each datum whose class is known, at least 0.

    Raises:
        DeclarationError: if an argument does not fit.

    References:
        | Semi-supervised learning with deep generative models (Kingma et al., 2014), M2, eq. 9
        | https://arxiv.org/abs/1406.5298

    Example:
        >>> from pyro_vae import VAE
        >>> vae = VAE((4,), 2, condition={"kind": "semi_supervised", "count": 3})
        >>> vae.classify(torch.zeros(5, 4)).shape
        torch.Size([5, 3])
    """

    latent: ClassVar[bool] = True
    log_prior: Tensor

    def __init__(
        self,
        count: Size,
        classifier: str | dict[str, Any] = "mlp",
        prior: list[float] | None = None,
        weight: NonNegativeFloat = 1.0,
    ) -> None:
        super().__init__(count)
        problems = [] if count > 1 else [f"count: must be at least 2, got {count}"]
        if prior is not None and not (
            len(prior) == count and min(prior) > 0 and math.isclose(sum(prior), 1, rel_tol=1e-4)
        ):
            problems.append(
                f"prior: must be {count} probabilities above 0 whose sum is 1, got {shown(prior)}"
            )
        if problems:
            raise DeclarationError([f"condition.{line}" for line in problems], "The condition")
        self.classifier: Declared = parse(Network, classifier, "condition.classifier")
        self.weight = weight
        log_prior = torch.zeros(count) if prior is None else torch.tensor(prior).log()
        self.register_buffer("log_prior", log_prior, persistent=False)  # up to a constant

    def rows(self, given: Any, size: int | None = None, name: str = "condition") -> Tensor:
        """Classes as a tensor, ``(N,)``; NaN becomes -1."""
        if isinstance(given, Tensor) and given.is_floating_point():
            given = given.nan_to_num(nan=MISSING)
        return super().rows(given, size, name)

    def problem(self, c: Tensor) -> str:
        """Whether each is a class, or missing."""
        valid = (c >= MISSING) & (c < self.size) & (c == c.round())
        several = f"classes, whole numbers from 0 to {self.size - 1}, or -1 where one is missing"
        return "" if bool(valid.all()) else several
