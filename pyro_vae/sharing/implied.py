"""The likelihood that a training loss implies."""

from __future__ import annotations

import math
from typing import Any, Literal

from pyro_vae.core.errors import DeclarationError

__all__ = ["Loss", "Reduction", "implied_likelihood"]

Loss = Literal["mse", "l1", "bce"]
Reduction = Literal["sum", "mean"]
AN_ELBO = "the loss is minus the ELBO, times a constant, plus one"


def implied_likelihood(
    loss: Loss, size: int, *, weight: float = 1.0, kl_weight: float = 1.0
) -> tuple[dict[str, Any] | None, str]:
    r"""The p(x|z) for which a loss is minus an ELBO, up to constants; and the reason.

    .. math:: w \sum_d (x_d - f_d)^2 + k \, KL = k \left(-\log N(x \mid f, \sigma^2) + KL\right)
              + c, \quad \sigma^2 = \frac{k}{2 w}

    Likewise an absolute error implies a Laplace of scale k / w. A binary cross-entropy implies a
    Bernoulli if k = w; a power of a Bernoulli, which is not normalized, otherwise.

    Args:
        loss: Of the reconstruction: squared error, absolute error, or binary cross-entropy.
        size: Number of values in a datum.
        weight: w, by which the error's sum over the datum is multiplied: 1 / size for its mean.
        kl_weight: k, by which the KL's sum over the code is multiplied.

    Returns:
        The likelihood's declaration, or None; and a sentence.

    Raises:
        DeclarationError: if the loss is unknown, or a weight is negative or not finite.

    Example:
        >>> implied_likelihood("mse", 784)[0]
        {'kind': 'gaussian', 'scale': 0.7071067811865476}
    """
    if loss not in ("mse", "l1", "bce"):
        raise DeclarationError(f"loss: expected mse, l1 or bce, got {loss!r}", "import_model")
    if not (math.isfinite(weight) and weight > 0 and math.isfinite(kl_weight) and kl_weight >= 0):
        raise DeclarationError(
            f"kl_weight: expected a number of at least 0, got {kl_weight!r}", "import_model"
        )
    if kl_weight == 0:
        return None, "no likelihood: its loss has no KL, and is no ELBO of any model"
    ratio = kl_weight / weight
    if loss == "mse":
        scale = math.sqrt(ratio / 2)
        return {"kind": "gaussian", "scale": scale}, (
            f"gaussian of scale {scale:.4g}, sqrt(k / 2w) for w = {weight:.4g} times the squared "
            f"error of {size} values and k = {kl_weight:.4g} times the KL: {AN_ELBO}"
        )
    if loss == "l1":
        return {"kind": "laplace", "scale": ratio}, (
            f"laplace of scale {ratio:.4g}, k / w for w = {weight:.4g} times the absolute error "
            f"of {size} values and k = {kl_weight:.4g} times the KL: {AN_ELBO}"
        )
    if math.isclose(ratio, 1.0, rel_tol=1e-6):
        return {"kind": "bernoulli"}, (
            f"bernoulli, of data that are 0 or 1: {AN_ELBO}. Of grey values it would not be "
            f"normalized"
        )
    return None, (
        f"no likelihood: a binary cross-entropy of weight {weight:.4g} beside a KL of weight "
        f"{kl_weight:.4g} is a Bernoulli to a power, which is not normalized"
    )
