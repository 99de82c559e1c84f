r"""Whether a distribution's draws follow its density, and whether that integrates to one.

Draws with a smooth density are compared by Stein's identity, for vector fields f:

.. math:: E_q[\operatorname{div} f(z) + f(z) \cdot \nabla \log q(z)] = 0

The support is first mapped to the real line. Discrete draws are compared with their probabilities.
Where a draw has an implicit gradient in its parameters, as Gamma's has, that is compared with the
score function's: E_q[grad_z f(z) . dz/da] = E_q[f(z) d log q(z)/da].
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import StudentT, biject_to
from torch.distributions.constraints import MixtureSameFamilyConstraint, boolean, unit_interval

from pyro_vae.auditing.checks import Check, not_compared, numerical, paired
from pyro_vae.auditing.densities import log_density_by_hand
from pyro_vae.auditing.program import PATHWISE, Draw, base_of, innermost, sites

__all__ = ["density_checks", "draw_checks", "follows_density", "implicit_gradient"]

LEAST, MOST = 100_000, 4_000_000  # numbers drawn for a site
WIDEST = 512  # dimensions of an event that are mixed with each other
CATEGORIES, PROJECTIONS = 200, 4
MOST_BITS = 8  # binary numbers of an event, whose values are summed over
FEW = 3  # dimensions in which a density is integrated
PERIODIC = ("VonMises", "SineBivariateVonMises", "SineSkewed")  # on a circle, not on the line
ADVICE = "Make sample() or rsample() and log_prob() of the distribution describe the same density."


def density_checks(draw: Draw, eps: float) -> list[Check]:
    """Each site's log-probability against the formula written by hand, where there is one."""
    checks: list[Check] = []
    for side, name, fn, value in _distributions(draw):
        by_hand = log_density_by_hand(fn, value)
        if by_hand is not None:
            checks.append(numerical(f"log-density of {name}, {side}", "log_prob",
                                    "by hand, the same draws", fn.log_prob(value), by_hand,
                                    eps))  # fmt: skip
            checks[-1].advice = "Check the distribution's log_prob, its normalizer included."
    return checks


def draw_checks(draw: Draw, particles: int, eps: float) -> list[Check]:
    """Each site's draws against its density, holding the values that it depends on fixed."""
    checks: list[Check] = []
    skipped: list[str] = []
    for side, name, fn, _ in _distributions(draw):
        rows = follows_density(f"draws of {name}, {side}", fn, particles, eps)
        checks += rows
        named = f"{name} ({type(base_of(fn)).__name__})"
        if not rows:
            skipped.append(named)
        if side == "guide" and fn.has_rsample and type(innermost(fn)).__name__ not in PATHWISE:
            try:
                checks.append(implicit_gradient(f"draws of {name}, guide", fn, particles, eps))
            except (RuntimeError, AttributeError, TypeError, ValueError):  # of another make
                skipped.append(f"the gradient of {named}")
    if skipped:
        reason = f"no test is known here for {', '.join(dict.fromkeys(skipped))}"
        checks.append(not_compared("draws", reason))
    return checks


def implicit_gradient(quantity: str, fn: Any, particles: int, eps: float) -> Check:
    """A row that draws move with their parameters as the density does, for a bounded function.

    Args:
        quantity: What the row is called.
        fn: A reparameterized distribution that can be made again from its parameters.
        particles: Least number of draws for each member of its batch.
        eps: Relative rounding error.

    Example:
        >>> import pyro.distributions as dist
        >>> row = implicit_gradient("z", dist.Gamma(torch.tensor([0.5, 3.0]), 2.0), 600, 1e-4)
        >>> row.method, abs(row.worst_z) < 5
        ('implicit gradient', True)
    """
    inner = innermost(fn)
    inner = inner.expand(inner.batch_shape)
    draws = _number(inner, particles)
    to_support = _to_support(inner)
    pilot = inner.rsample(torch.Size([200])).detach()
    loc = to_support.inv(pilot).mean(0)
    scale = to_support.inv(pilot).std(0).clamp(min=1e-30)
    weights = torch.randn(loc.shape).to(loc)

    def bounded(z: Tensor) -> Tensor:
        curve = ((to_support.inv(z) - loc) / scale).tanh() * weights
        return curve.reshape(*z.shape[: z.dim() - len(inner.event_shape)], -1).sum(-1)

    with torch.enable_grad():
        given = {name: getattr(inner, name).detach() for name in inner.arg_constraints}
        leaves = {name: value.expand(draws, *value.shape).clone().requires_grad_()
                  for name, value in given.items()}  # fmt: skip
        q = type(inner)(**leaves, validate_args=False)
        z = q.rsample()
        along = _gradients(bounded(z), leaves)
        z, mean = z.detach(), bounded(pilot).mean(0)
        scored = _gradients((bounded(z).detach() - mean) * q.log_prob(z), leaves)
    columns = []
    for moved, wanted in zip(along, scored, strict=True):
        gap = (moved - wanted).reshape(*q.batch_shape, -1).sum(-1)
        columns += [gap, torch.randn(gap.shape[1:]).to(gap) * gap]
    row = _zero(quantity, "implicit gradient", columns, eps)
    row.advice = "Let rsample() move the draw with the parameters as log_prob() says."
    return row


def _gradients(total: Tensor, leaves: dict[str, Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(
        total.sum(),
        list(leaves.values()),
        retain_graph=True,
        allow_unused=True,
        materialize_grads=True,
    )


def _number(fn: Any, particles: int) -> int:
    """How many draws to make for each member of the batch."""
    numbers = max(math.prod(fn.batch_shape) * math.prod(fn.event_shape), 1)
    return max(50, min(max(particles, math.ceil(LEAST / numbers)), MOST // numbers))


def follows_density(quantity: str, fn: Any, particles: int, eps: float) -> list[Check]:
    """Rows of one distribution; none where no test is known.

    Args:
        quantity: What the rows are called.
        fn: A distribution of any batch and event shape.
        particles: Least number of draws for each member of its batch.
        eps: Relative rounding error.

    Example:
        >>> import pyro.distributions as dist
        >>> rows = follows_density("z", dist.Normal(torch.zeros(8), 1.0), 600, 1e-4)
        >>> [row.method for row in rows]
        ['Stein', 'cdf', 'integral']
    """
    draws, base = _number(fn, particles), base_of(fn)
    if type(base).__name__ in PERIODIC:
        return []
    methods = [_counts] if getattr(base.support, "is_discrete", False) else CONTINUOUS
    rows: list[Check] = []
    for method in methods:
        try:
            with torch.no_grad():
                row = method(quantity, base if method in (_counts, _cdf) else fn, draws, eps)
        except (NotImplementedError, KeyError, AttributeError):  # no cdf, inverse or values
            row = None
        if row is not None:
            row.advice = ADVICE
            rows.append(row)
    return rows


def _distributions(draw: Draw) -> list[tuple[str, str, Any, Tensor]]:
    return [
        (side, name, site["fn"], site["value"])
        for side, trace in zip(("model", "guide"), draw, strict=True)
        for name, site in sites(trace).items()
        if type(base_of(site["fn"])).__name__ not in ("Delta", "Unit")
    ]


def _stein(quantity: str, fn: Any, draws: int, eps: float) -> Check | None:
    """Stein's identity for shifts, scalings, a bounded field and a linear one."""
    to_support = _to_support(fn)
    loc, scale = _pilot(fn, to_support)
    drawn = fn(torch.Size([draws])).detach()
    if _is_at_an_end(fn, drawn):
        return not_compared(quantity, "draws come nearer to 0 or 1 than floats can tell")
    with torch.enable_grad():
        y = to_support.inv(drawn).requires_grad_()
        (gradient,) = torch.autograd.grad(_log_prob(fn, to_support, y).sum(), y)
    shape = (draws, *fn.batch_shape, -1)
    u, score = ((y - loc) / scale).reshape(shape), (gradient * scale).reshape(shape)
    if not (u.isfinite().all() and score.isfinite().all()):
        return None
    weights = torch.randn(u.shape[1:]).to(u)
    curve = u.tanh()
    each = [1 + u * score, score, (1 - curve.square()) + curve * score]
    columns = [(weight * part).sum(-1) for part in each for weight in (1.0, weights)]
    if 1 < u.shape[-1] <= WIDEST:
        mixing = torch.randn(u.shape[-1], u.shape[-1]).to(u)
        columns.append(mixing.trace() + ((u @ mixing.mT) * score).sum(-1))
    return _zero(quantity, "Stein", columns, eps)


def _is_at_an_end(fn: Any, drawn: Tensor) -> bool:
    support, near = getattr(fn.support, "base_constraint", fn.support), torch.finfo(drawn.dtype)
    ends = (drawn >= 1 - 4 * near.eps) | (drawn <= 4 * near.tiny)
    return support is unit_interval and bool(ends.any())


def _to_support(fn: Any) -> Any:
    """The map from unconstrained values; a mixture has its components' support."""
    support = fn.support
    while isinstance(support, MixtureSameFamilyConstraint):
        support = support.base_constraint
    return biject_to(support)


def _pilot(fn: Any, to_support: Any) -> tuple[Tensor, Tensor]:
    """Location and scale of the unconstrained draws, from draws of their own."""
    y = to_support.inv(fn(torch.Size([200])))
    return y.mean(0), y.std(0).clamp(min=1e-30)


def _log_prob(fn: Any, to_support: Any, y: Tensor) -> Tensor:
    """The log-density of unconstrained values."""
    z = to_support(y)
    volume = to_support.log_abs_det_jacobian(y, z)
    log_prob: Tensor = fn.log_prob(z)
    return log_prob + volume.reshape(*log_prob.shape, -1).sum(-1)


def _cdf(quantity: str, fn: Any, draws: int, eps: float) -> Check | None:
    """Uniform moments of the probability integral transform."""
    if fn.event_shape:
        return None
    u = fn.cdf(fn(torch.Size([draws]))).double()
    weights = torch.randn(u.shape[1:]).to(u)
    moments = [u - 0.5, u.square() - 1 / 3, u**4 - 0.2]
    return _zero(quantity, "cdf", [w * m for m in moments for w in (1.0, weights)], eps)


def _integral(quantity: str, fn: Any, draws: int, eps: float) -> Check | None:
    """The integral of the density by importance sampling, in few dimensions."""
    to_support = _to_support(fn)
    loc, scale = _pilot(fn, to_support)
    event = loc.dim() - len(fn.batch_shape)
    if loc[(0,) * len(fn.batch_shape)].numel() > FEW:
        return None
    wide = StudentT(3.0, loc, 1.5 * scale).expand(loc.shape)
    y = wide.sample(torch.Size([draws]))
    proposal = wide.log_prob(y).reshape(*y.shape[: y.dim() - event], -1).sum(-1)
    weights = (_log_prob(fn, to_support, y) - proposal).exp()
    return _zero(quantity, "integral", [weights - 1], eps) if weights.isfinite().all() else None


def _counts(quantity: str, fn: Any, draws: int, eps: float) -> Check | None:
    """How often each value comes, and that the probabilities sum to one."""
    x = fn(torch.Size([draws]))
    values = _every_value(fn)
    finite = values is not None
    if values is None:
        if fn.event_shape:
            return None
        values = torch.arange(min(CATEGORIES, int(x.max()) + 1)).to(x)
        values = values.reshape(-1, *[1] * len(fn.batch_shape))
    p = fn.log_prob(values).exp()
    total = p.sum(0)
    if finite and (total - 1).abs().max() > 10 * eps:
        return numerical(
            quantity, "sum", "probabilities sum to 1", total, torch.ones(()), 10 * eps
        )
    columns = [torch.zeros(draws, *p.shape[1:]).to(p) for _ in range(2 * PROJECTIONS)]
    pooled = torch.randn(PROJECTIONS, len(p)).to(p)
    weights = torch.randn(PROJECTIONS, *p.shape).to(p)
    for k, value in enumerate(values):
        same = x == value
        if fn.event_shape:
            same = same.flatten(-len(fn.event_shape)).all(-1)
        gap = same.to(p) - p[k]
        for column in range(PROJECTIONS):
            columns[column] += pooled[column, k] * gap
            columns[PROJECTIONS + column] += weights[column, k] * gap
    return _zero(quantity, "counts", columns, eps)


def _every_value(fn: Any) -> Tensor | None:
    """Every value of a finite event, ``(K, 1, ..., *event_shape)``; None where there are many."""
    if fn.has_enumerate_support:
        return fn.enumerate_support(expand=False)
    support, numbers = fn.support, math.prod(fn.event_shape)
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    if support is not boolean or numbers > MOST_BITS:
        return None
    values = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * numbers)
    return values.reshape(-1, *[1] * len(fn.batch_shape), *fn.event_shape)


def _zero(quantity: str, method: str, columns: list[Tensor], eps: float) -> Check:
    """A row that the means of all columns are zero; each has one value a draw."""
    values = torch.stack([column.double().flatten() for column in columns], -1)
    return paired(quantity, method, "0, if draws and density agree", values,
                  torch.zeros_like(values), eps)  # fmt: skip


CONTINUOUS = [_stein, _cdf, _integral]
