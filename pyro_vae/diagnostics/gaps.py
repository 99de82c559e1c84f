"""Where the bound is lost: by the guide's family, and by the encoder."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor

from pyro_vae.core.errors import DataError, IncompatibleComponents
from pyro_vae.core.modes import alone
from pyro_vae.diagnostics.gap_result import InferenceGaps
from pyro_vae.diagnostics.refine import Refined, exact_elbo, refine, sampled_elbo
from pyro_vae.evidence.annealed import Annealing, annealed_importance_sampling
from pyro_vae.evidence.exact import linear_gaussian
from pyro_vae.evidence.importance import importance_sampling
from pyro_vae.evidence.quadrature import MOST_DIMENSIONS, quadrature
from pyro_vae.vae import VAE

__all__ = ["Evidence", "inference_gaps"]

Evidence = Literal["auto", "exact", "quadrature", "ais", "importance"]
CHUNK = 100


@alone()
def inference_gaps(
    vae: VAE,
    x: Tensor,
    *,
    evidence: Evidence = "auto",
    steps: int = 500,
    lr: float = 0.05,
    particles: int = 16,
    draws: int = 2000,
    samples: int = 5000,
    annealing: Annealing | None = None,
    seed: int = 0,
    show_progress: bool = True,
) -> InferenceGaps:
    r"""Split log p(x) - ELBO into what the family loses and what the encoder loses.

    .. math:: \log p(x) - ELBO(q)
              = \underbrace{\log p(x) - ELBO(q^*)}_{\text{approximation}}
              + \underbrace{ELBO(q^*) - ELBO(q)}_{\text{amortization}}

    with q* the best member of the guide's family for this very datum, found by
    :func:`~pyro_vae.diagnostics.refine.refine`. What a posterior shares between data, such
    as the networks of a flow, is fixed, and counts as part of the family.

    Args:
        vae: The model; a copy is scored in float64, in evaluation mode.
        x: Data, ``(N, *event_shape)``; some tens of them.
        evidence: How log p(x) is found: ``exact`` (linear-Gaussian models), ``quadrature`` (codes
            of at most 3 dimensions), ``ais``, ``importance``; ``auto`` takes the first that can
            be, and annealing where neither of the first two can.
        steps: Steps of the refinement, where it samples.
        lr: Its learning rate at first.
        particles: Its draws for each datum and step.
        draws: Draws of each ELBO, where it is neither closed form nor quadrature.
        samples: Importance samples for each datum, where they are asked for.
        annealing: Temperatures, chains and trajectories, where codes are annealed.
        seed: Seed of every draw; the global generators are left as they were.
        show_progress: Whether to show progress bars.

    Raises:
        IncompatibleComponents: if log p(x) cannot be found in the way that is asked for.
        DataError: if a number is too small, or ``x`` does not fit the model.

    References:
        | Inference suboptimality in variational autoencoders (Cremer et al., 2018)
        | https://arxiv.org/abs/1801.03558

    Example:
        >>> vae = VAE(event_shape=(4,), latent_dim=2, decoder="linear")
        >>> gaps = inference_gaps(vae, torch.zeros(3, 4), show_progress=False)
        >>> bool((gaps.approximation + gaps.amortization - gaps.total).abs().max() < 1e-9)
        True
    """
    if draws < 2:
        raise DataError(f"draws: expected at least 2, got {draws}")
    method = _method(vae, evidence)
    device = next(iter([*vae.parameters(), *vae.buffers()]), x).device
    x = vae._data(x).detach().to(device).double()
    model = copy.deepcopy(vae).double().eval()
    log_evidence, error, said = _log_evidence(
        model, x, method, samples, annealing, seed, show_progress
    )
    refined = refine(model, x, steps=steps, lr=lr, particles=particles, seed=seed,
                     show_progress=show_progress)  # fmt: skip
    elbo, best, errors, how = _elbos(model, x, refined, method, draws, seed)
    return InferenceGaps(
        log_evidence=log_evidence.cpu(), evidence_stderr=error.cpu(), elbo=elbo.cpu(),
        best_elbo=best.cpu(), elbo_stderr=errors[0].cpu(), best_stderr=errors[1].cpu(),
        amortization_stderr=errors[2].cpu(), parameters=refined.parameters.cpu(),
        curve=refined.curve, evidence_method=said, elbo_method=how, refinement=refined.method,
        seed=seed,
    )  # fmt: skip


@torch.no_grad()
def _method(vae: VAE, evidence: Evidence) -> Evidence:
    linear, small = linear_gaussian(vae) is not None, vae.latent_dim <= MOST_DIMENSIONS
    if evidence == "exact" and not linear:
        raise IncompatibleComponents(
            "evidence: expected a linear-Gaussian model where it is exact (a linear decoder, a "
            "Gaussian likelihood, a diagonal normal prior), got another; choose quadrature, ais "
            "or importance"
        )
    if evidence != "auto":
        return evidence
    return "exact" if linear else "quadrature" if small else "ais"


@torch.no_grad()
def _log_evidence(
    vae: VAE,
    x: Tensor,
    method: Evidence,
    samples: int,
    annealing: Annealing | None,
    seed: int,
    show: bool,
) -> tuple[Tensor, Tensor, str]:
    """log p(x), its error, and how they were found."""  # noqa: D403
    linear = linear_gaussian(vae)
    if method == "exact" and linear is not None:
        value = linear.log_evidence(x)
        return value, torch.zeros_like(value), "exact, linear-Gaussian"
    if method == "quadrature":
        found = quadrature(vae, x, show_progress=show)
        return found.log_evidence, found.error, "quadrature"
    if method == "ais":
        estimate = annealed_importance_sampling(
            vae, x, how=annealing, seed=seed, show_progress=show
        )
    else:
        estimate = importance_sampling(vae, x, samples=samples, seed=seed, show_progress=show)
    return estimate.log_evidence, estimate.stderr, estimate.estimator


@torch.no_grad()
def _elbos(
    vae: VAE, x: Tensor, refined: Refined, method: Evidence, draws: int, seed: int
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor], str]:
    """ELBO of q and of q*, the errors of both and of their difference, and how."""
    both = [vae.posterior(refined.start), vae.posterior(refined.parameters)]
    closed = [exact_elbo(vae, x, q) for q in both]
    nothing = torch.zeros(len(x)).to(x)
    if closed[0] is not None and closed[1] is not None:
        return closed[0], closed[1], (nothing, nothing, nothing), "closed form"
    if method == "quadrature":
        one, other = (quadrature(vae, x, parameters=given)
                      for given in (refined.start, refined.parameters))  # fmt: skip
        errors = (one.guide_error, other.guide_error, one.guide_error + other.guide_error)
        return one.elbo, other.elbo, errors, "quadrature"
    drawn = [_drawn(vae, x, given, draws, seed) for given in (refined.start, refined.parameters)]
    gap = drawn[1] - drawn[0]
    stderr = [(values.var(0) / draws).sqrt() for values in (*drawn, gap)]
    how = f"{draws:,} draws, the same for both, seed {seed}"
    return drawn[0].mean(0), drawn[1].mean(0), (stderr[0], stderr[1], stderr[2]), how


def _drawn(vae: VAE, x: Tensor, parameters: Tensor, draws: int, seed: int) -> Tensor:
    """The ELBO by each draw, ``(draws, N)``; one seed gives the noise of q and q* alike."""
    q = vae.posterior(parameters)
    with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
        torch.manual_seed(seed + 1)
        counts = [min(CHUNK, draws - start) for start in range(0, draws, CHUNK)]
        return torch.cat([sampled_elbo(vae, x, q, count) for count in counts])
