"""The evidence, the posterior and the ELBO of a low-dimensional code, by quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.errors import IncompatibleComponents, NonFiniteLoss
from pyro_vae.core.modes import alone, isolated_copy
from pyro_vae.core.prior import codes_of
from pyro_vae.core.supports import same_support, support_name
from pyro_vae.evidence.chunks import BUDGET, elements_per_code
from pyro_vae.evidence.cubature import Nodes, integrate
from pyro_vae.objectives.kl import kl_exact, kl_method
from pyro_vae.report.numbers import nats, number
from pyro_vae.report.progress import progress
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Table
from pyro_vae.vae import VAE

__all__ = ["MOST_DIMENSIONS", "Quadrature", "quadrature"]

MOST_DIMENSIONS = 3
DRAWS = 4096  # from the prior, to size the first box
TOLERANCE = 1e-4


@dataclass(frozen=True, repr=False)
class Quadrature(ShownAsTable):
    r"""The evidence, posterior moments and ELBO, each to a stated error; Jupyter shows a table.

    .. math:: \log p(x) = ELBO + KL(q(z \mid x) \,\|\, p(z \mid x))

    Args:
        log_evidence: log p(x), ``(N,)``, in nats.
        error: Estimated error of each, ``(N,)``.
        mean: E[z|x], ``(N, M)``.
        covariance: Cov[z|x], ``(N, M, M)``.
        elbo: E_q[log p(x|z)] by quadrature, less KL(q || p(z)), ``(N,)``.
        gap: KL(q(z|x) || p(z|x)) by quadrature, ``(N,)``.
        guide_error: Error of the integral of q, estimated or as ``|log integral|``, ``(N,)``.
        kl_method: How KL(q || p(z)) was computed.
        nodes: Number of nodes for the evidence, ``(N,)``.
    """

    log_evidence: Tensor
    error: Tensor
    mean: Tensor
    covariance: Tensor
    elbo: Tensor
    gap: Tensor
    guide_error: Tensor
    kl_method: str
    nodes: Tensor

    def table(self) -> Table:
        """Each datum: log p(x) = ELBO + KL(q || p(z|x))."""
        columns = ["datum", "log p(x)", "error", "ELBO", "KL(q || p(z|x))", "error",
                   "log p(x) - sum"]  # fmt: skip
        caption = (
            f"Nats, by adaptive Gauss-Legendre quadrature in float64. Errors: of log p(x), ten "
            f"times the change under a rule with fewer nodes; of KL, that of the integral of q. "
            f"KL(q || p(z)) by {self.kl_method}."
        )
        table = Table("log p(x) = ELBO + KL(q || p(z|x))", columns, caption=caption)
        rest = self.log_evidence - self.elbo - self.gap
        values = torch.stack(
            [self.log_evidence, self.error, self.elbo, self.gap, self.guide_error, rest], -1
        )
        for row, (evidence, error, elbo, gap, of_guide, left) in enumerate(values.tolist()):
            table.add(f"#{row}", nats(evidence), number(error, 1), nats(elbo), nats(gap),
                      number(of_guide, 1), f"{left:+.0e}")  # fmt: skip
        return table


@torch.no_grad()
@alone()
def quadrature(
    vae: VAE,
    x: Tensor,
    *,
    parameters: Tensor | None = None,
    tolerance: float = TOLERANCE,
    show_progress: bool = False,
) -> Quadrature:
    """log p(x), the posterior's moments and the ELBO, by quadrature over a code of M <= 3.

    It runs in float64 on a CPU copy of the model, in evaluation mode, and accepts any decoder,
    prior and posterior. Codes on the sphere are integrated over their angles.

    Args:
        vae: The model, with a code of one to three dimensions.
        x: Data, ``(N, *event_shape)``; a few dozen.
        parameters: Parameters of the posterior in place of the encoder's output, ``(N, *)``.
        tolerance: Requested error of log p(x), in nats; the error reached is reported, and is
            usually far smaller. The smaller it is, the more nodes a decoder with kinks (ReLU)
            needs over a smooth one.
        show_progress: Whether to show a progress bar.

    Raises:
        IncompatibleComponents: if M > 3, or the codes lie neither in a real space nor on the
            sphere.
        DataError: if ``x`` does not fit the model.
        NonFiniteLoss: if a density is NaN or +inf.

    References:
        | Methods of numerical integration (Davis and Rabinowitz, 1984)

    Example:
        >>> found = quadrature(VAE(event_shape=(4,), latent_dim=1), torch.zeros(3, 4))
        >>> bool((found.log_evidence - found.elbo - found.gap).abs().max() < 1e-8)
        True
    """  # noqa: D403
    space = _space(vae)
    x = vae.rows(x).detach().cpu().double()
    rows: list[list[Any]] = []
    with (
        isolated_copy(vae, torch.float64, 0, validate=False) as copied,
        progress(len(x), "Quadrature", unit="data", enabled=show_progress) as bar,
    ):
        model = copied.cpu()
        given = model.encoder(x) if parameters is None else parameters.detach().cpu().double()
        low, high = space.box(model)
        for (one, datum), own in zip(model.split(x, 1), given.split(1), strict=True):
            q = one.posterior(own)
            rows.append(_one(one, datum, q, space, low, high, tolerance))
            bar.advance()
        method = kl_method(model.encode(x), model.prior())
    columns = [torch.stack(column) for column in zip(*rows, strict=True)]
    evidence, error, mean, covariance, elbo, gap, guide_error, nodes = columns
    return Quadrature(evidence, error, mean, covariance, elbo, gap, guide_error,
                      "a closed form" if method == "exact" else "quadrature", nodes)  # fmt: skip


@dataclass(frozen=True)
class _Space:
    """Coordinates of the codes: themselves, or the angles of the sphere."""

    sphere: bool
    latent_dim: int

    def box(self, vae: VAE) -> tuple[Tensor, Tensor]:
        """Least and greatest corner, ``(d,)``."""
        if self.sphere:
            high = torch.tensor([math.pi] * (self.latent_dim - 1)).double()
            low = -high
            low[:-1] = 0.0  # of the angles from an axis
            return low, high
        drawn = codes_of(vae.cycled(DRAWS).prior(), DRAWS).double()
        low, high = drawn.amin(0), drawn.amax(0)
        return low - (high - low) / 4, high + (high - low) / 4

    def codes(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Codes ``(Q, M)`` and the logarithm of the volume element, ``(Q,)``."""
        if not self.sphere:
            return points, torch.zeros(len(points)).to(points)
        *polar, around = points.unbind(-1)
        circle = torch.stack([around.cos(), around.sin()], -1)
        if not polar:
            return circle, torch.zeros_like(around)
        sine = polar[0].sin().unsqueeze(-1)
        return torch.cat([polar[0].cos().unsqueeze(-1), sine * circle], -1), sine[:, 0].log()


def _space(vae: VAE) -> _Space:
    if vae.latent_dim > MOST_DIMENSIONS:
        raise IncompatibleComponents(
            f"latent_dim: expected at most {MOST_DIMENSIONS} dimensions for quadrature, got "
            f"{vae.latent_dim}; estimate log p(x) by importance_sampling or "
            f"annealed_importance_sampling"
        )
    p = vae.prior()
    try:
        support: Any = p.support
    except NotImplementedError:
        return _Space(sphere=False, latent_dim=vae.latent_dim)
    constraints = torch.distributions.constraints
    sphere = same_support(support, pyro.distributions.constraints.sphere)
    if not sphere and not same_support(support, constraints.real_vector):
        raise IncompatibleComponents(
            f"prior: expected codes in a real space or on the sphere for quadrature, got "
            f"{type(vae.prior).__name__}, whose codes lie on: {support_name(support)}"
        )
    return _Space(sphere, vae.latent_dim)


def _centres(q: TorchDistribution, p: TorchDistribution) -> Tensor | None:
    """Means of the two where they have one, ``(K, M)``: where a density may have an edge."""
    found = []
    for d in (q, p):
        try:
            mean: Tensor = d.mean
        except NotImplementedError:
            continue
        found.append(mean.reshape(-1, d.event_shape[0]))
    return torch.cat(found) if found else None


def _one(
    vae: VAE,
    x: Tensor,
    q: TorchDistribution,
    space: _Space,
    low: Tensor,
    high: Tensor,
    tolerance: float,
) -> list[Tensor]:
    """Everything of one datum, ``(1, *event_shape)``."""
    p = vae.prior()
    step = max(BUDGET["cpu"] // elements_per_code(vae, x), 1)

    def log_likelihood(z: Tensor) -> Tensor:
        return vae.decode(z.unsqueeze(1), x).log_prob(x).squeeze(1)

    def log_joint(z: Tensor) -> Tensor:
        return p.log_prob(z) + log_likelihood(z)

    def log_q(z: Tensor) -> Tensor:
        return q.log_prob(z.unsqueeze(1)).squeeze(1)

    def over(density: Callable[[Tensor], Tensor]) -> Nodes:
        def evaluated(points: Tensor) -> tuple[Tensor, Tensor]:
            z, log_volume = space.codes(points)
            values = torch.cat([density(part) for part in z.split(step)])
            if values.isnan().any() or (values == math.inf).any():
                raise NonFiniteLoss("log p(x, z): expected finite values, got NaN or inf")
            return values, log_volume

        return integrate(evaluated, low, high, closed=space.sphere, tolerance=tolerance,
                         kinks=None if space.sphere else _centres(q, p))  # fmt: skip

    def mean(nodes: Nodes, values: Callable[[Tensor], Tensor]) -> Tensor:
        z = space.codes(nodes.points)[0]
        return nodes.mean(torch.cat([values(part) for part in z.split(step)]))

    own = over(log_joint)
    evidence = torch.tensor(own.log_integral, dtype=torch.float64)
    centre = mean(own, lambda z: z)
    covariance = mean(own, lambda z: (z - centre).unsqueeze(-1) * (z - centre).unsqueeze(-2))
    guide = over(log_q)
    if kl_method(q, p) == "exact":
        kl = kl_exact(q, p).squeeze(0)
    else:
        kl = mean(guide, lambda z: log_q(z) - p.log_prob(z))
    elbo = mean(guide, log_likelihood) - kl
    gap = mean(guide, lambda z: log_q(z) - log_joint(z)) + evidence
    errors = torch.tensor([own.error, max(guide.error, abs(guide.log_integral))]).double()
    return [evidence, errors[0], centre, covariance, elbo, gap, errors[1],
            torch.tensor(len(own.points))]  # fmt: skip
