"""Checks of a distribution's shape and support."""

from __future__ import annotations

from typing import Any

import torch
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint, MixtureSameFamilyConstraint, independent

from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.core.modes import device_of, evaluating

__all__ = ["check_components", "check_shapes", "check_supports", "same_support", "support_name"]

BOUNDS = ("lower_bound", "upper_bound")


@torch.no_grad()
def check_components(vae: Any) -> None:
    """Run each component of a model once, and check the shape and support of its distribution.

    Raises:
        IncompatibleComponents: for the first that does not fit.
    """
    device, dtype = device_of(vae), next(vae.parameters(), torch.empty(0)).dtype
    x = torch.zeros(2, *vae.event_shape, device=device, dtype=dtype)
    z = torch.zeros(2, vae.latent_dim, device=device, dtype=dtype)
    with evaluating(vae):
        vae = vae.example(2)
        code, data = (vae.latent_dim,), vae.event_shape
        prior, posterior = vae.prior(), vae.encode(x)
        depends = vae.condition is not None and prior.batch_shape  # on the condition
        check_shapes("prior()", prior, (2,) if depends else (), code)
        check_shapes("posterior(encoder(x))", posterior, (2,), code)
        check_supports(posterior, prior)
        check_shapes("likelihood(decoder(z))", vae.decode(z), (2,), data)


def check_shapes(
    what: str, d: Distribution, batch: tuple[int, ...], event: tuple[int, ...]
) -> None:
    """Refuse a distribution whose shape differs from its contract.

    Raises:
        IncompatibleComponents: with both shapes.
    """
    if (tuple(d.batch_shape), tuple(d.event_shape)) != (batch, event):
        raise IncompatibleComponents(
            f"{what}: expected a distribution of batch_shape {batch} and event_shape {event}, "
            f"got {tuple(d.batch_shape)} and {tuple(d.event_shape)}"
        )


def check_supports(q: Distribution, p: Distribution) -> None:
    """Refuse a posterior whose support differs from the prior's.

    A distribution that does not define its support is accepted.

    Raises:
        IncompatibleComponents: with both supports.
    """
    drawn: Any
    known: Any
    try:
        drawn, known = q.support, p.support
    except NotImplementedError:
        return
    if not same_support(drawn, known):
        raise IncompatibleComponents(
            f"posterior(encoder(x)): expected draws in the support of the prior "
            f"({support_name(known)}), got a posterior whose support is another "
            f"({support_name(drawn)}), so that KL(q || p) does not exist; choose a prior and a "
            f"posterior that share their support"
        )


def same_support(a: Constraint, b: Constraint) -> bool:
    """Whether two constraints on events of the same shape are equivalent.

    Example:
        >>> from pyro.distributions import constraints
        >>> same_support(constraints.real_vector, constraints.independent(constraints.real, 1))
        True
        >>> same_support(constraints.real_vector, constraints.sphere)
        False
    """
    return _elementary(a) == _elementary(b)


def support_name(constraint: Constraint) -> str:
    """A support in words.

    Example:
        >>> from pyro.distributions import constraints
        >>> support_name(constraints.real_vector), support_name(constraints.unit_interval)
        ('real', 'interval from 0.0 to 1.0')
    """
    name, bounds = _elementary(constraint)
    limits = {word: bound for word, bound in zip(("from", "to"), bounds, strict=True) if bound}
    return " ".join([name, *(f"{word} {', '.join(map(str, b))}" for word, b in limits.items())])


def _elementary(constraint: Any) -> tuple[str, tuple[tuple[float, ...], ...]]:
    """The name and bounds of a constraint, without ``independent`` and mixture wrappers."""
    while isinstance(constraint, (independent, MixtureSameFamilyConstraint)):
        constraint = constraint.base_constraint
    bounds = (getattr(constraint, name, None) for name in BOUNDS)
    return type(constraint).__name__.strip("_").lower(), tuple(
        () if bound is None else tuple(torch.as_tensor(bound).double().unique().tolist())
        for bound in bounds
    )
