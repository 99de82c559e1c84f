"""Closed forms from torch's registry, for pairs whose types are exactly torch's or Pyro's own."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Distribution, Independent, TransformedDistribution, kl_divergence

__all__ = ["kl_from_registry"]

OWNERS = ("torch.distributions.", "pyro.distributions.")


def kl_from_registry(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q || p) in nats as torch computes it, of shape ``q.batch_shape``; None where it cannot.

    The registry also accepts subclasses, whose density may differ: those are left out.

    Example:
        >>> import pyro.distributions as dist, torch
        >>> q = dist.Laplace(torch.zeros(2), 1.0).to_event(1)
        >>> kl_from_registry(q, dist.Normal(torch.zeros(2), 1.0).to_event(1)).round(decimals=3)
        tensor(0.4520)
        >>> kl_from_registry(q, dist.StudentT(3.0).expand([2]).to_event(1)) is None
        True
    """
    if not (_is_owned(q) and _is_owned(p)):
        return None
    try:
        value: Tensor = kl_divergence(q, p)  # type: ignore[no-untyped-call,unused-ignore]
    except NotImplementedError:
        return None
    return value.expand(q.batch_shape)


def _is_owned(d: Distribution) -> bool:
    """Whether a distribution and its base are of torch's or Pyro's own types."""
    if isinstance(d, TransformedDistribution):
        return False
    if type(d).__name__ == "Delta":
        return False  # Pyro gives it a KL, but a point mass has no density
    own = f"{type(d).__module__}.".startswith(OWNERS)
    return own and (not isinstance(d, Independent) or _is_owned(d.base_dist))
