"""The best member of the guide's family for each datum, by optimizing its parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.errors import NonFiniteLoss, at_least
from pyro_vae.core.modes import alone, isolated_copy
from pyro_vae.evidence.exact import linear_gaussian
from pyro_vae.objectives.kl import kl_exact, kl_method
from pyro_vae.report.progress import Progress, progress
from pyro_vae.vae import VAE

__all__ = ["Refined", "exact_elbo", "refine", "sampled_elbo"]

ITERATIONS = 500
WEIGHTLESS = 1e-13


@dataclass(frozen=True)
class Refined:
    """Variational parameters optimized for each datum.

    Args:
        parameters: Of the posterior, ``(N, *parameter_shape)``, in float64.
        start: The encoder's output, of the same shape.
        curve: Mean ELBO over the data at each step, in nats per datum.
        method: The optimizer.
    """

    parameters: Tensor
    start: Tensor
    curve: list[float]
    method: str


@alone()
def refine(
    vae: VAE,
    x: Tensor,
    *,
    steps: int = 500,
    lr: float = 0.05,
    particles: int = 16,
    seed: int = 0,
    show_progress: bool = False,
) -> Refined:
    """Maximize each datum's ELBO over its own variational parameters, from the encoder's output.

    The model and the posterior's own weights stay fixed. Where the ELBO has a closed form, L-BFGS
    finds the optimum to rounding; elsewhere Adam follows reparameterized gradients under a cosine
    learning rate. It runs in float64 on a copy of the model, in evaluation mode.

    Args:
        vae: The model.
        x: Data, ``(N, *event_shape)``.
        steps: Steps of Adam, at least 10.
        lr: Initial learning rate.
        particles: Draws for each datum and step, at least 1.
        seed: Seed of every draw; the global generators keep their state.
        show_progress: Whether to show a progress bar.

    Raises:
        DataError: if a number is too small, or ``x`` does not fit the model.
        NonFiniteLoss: if the optimization diverges.

    References:
        | Inference suboptimality in variational autoencoders (Cremer et al., 2018), section 3
        | https://arxiv.org/abs/1801.03558

    Example:
        >>> vae = VAE(event_shape=(4,), latent_dim=2, decoder="linear")
        >>> refined = refine(vae, torch.zeros(3, 4))
        >>> refined.parameters.shape, refined.curve[-1] > refined.curve[0]
        (torch.Size([3, 2, 2]), True)
    """
    at_least(10, steps=steps)
    at_least(1, particles=particles)
    x = vae.rows(x).detach().double()
    curve: list[float] = []
    with isolated_copy(vae, torch.float64, seed, validate=False) as model, torch.enable_grad():
        model.requires_grad_(requires_grad=False)
        start = model.encoder(x).detach()
        free = start.clone().requires_grad_()
        closed = exact_elbo(model, x, model.posterior(free))
        total = ITERATIONS if closed is not None else steps
        with progress(total, "Refining q(z|x)", enabled=show_progress) as bar:
            if closed is not None:
                _exactly(model, x, free, curve, bar)
                method = "L-BFGS on the closed-form ELBO"
            else:
                _by_draws(model, x, free, curve, bar, steps, lr, particles)
                method = f"{steps} steps of Adam, {particles} draws each, seed {seed}"
    if not free.isfinite().all():
        raise NonFiniteLoss(
            "The refinement of q(z|x) diverged: expected finite parameters of q, got NaN or "
            "inf; lower lr, or look at the model's weights"
        )
    return Refined(free.detach(), start, curve, method)


def exact_elbo(vae: VAE, x: Tensor, q: TorchDistribution) -> Tensor | None:
    """The ELBO of any q in closed form, ``(N,)``, where the model is linear-Gaussian; or None."""
    linear, p = linear_gaussian(vae), vae.prior()
    if linear is None or kl_method(q, p) != "exact":
        return None
    log_likelihood = linear.expected_log_likelihood(x, q)
    return None if log_likelihood is None else log_likelihood - kl_exact(q, p)


def sampled_elbo(vae: VAE, x: Tensor, q: TorchDistribution, draws: int) -> Tensor:
    """The ELBO of any q by each draw, ``(draws, N)``, its KL exact where it has a closed form."""
    p = vae.prior()
    z = q.rsample(torch.Size([draws]))
    log_likelihood: Tensor = vae.decode(z, x).log_prob(x)
    if kl_method(q, p) == "exact":
        return log_likelihood - kl_exact(q, p)
    ratio: Tensor = q.log_prob(z) - p.log_prob(z)
    return log_likelihood - ratio


def _exactly(vae: VAE, x: Tensor, free: Tensor, curve: list[float], bar: Progress) -> None:
    optimizer = torch.optim.LBFGS(
        [free], max_iter=ITERATIONS, tolerance_grad=WEIGHTLESS, tolerance_change=WEIGHTLESS**1.2,
        line_search_fn="strong_wolfe", history_size=50,
    )  # fmt: skip

    def loss() -> Tensor:
        elbo = exact_elbo(vae, x, vae.posterior(free))
        assert elbo is not None
        optimizer.zero_grad()
        total = -elbo.sum()
        torch.autograd.backward(total, inputs=[free])
        curve.append(elbo.mean().item())
        bar.advance(elbo=curve[-1])
        return total

    step: Callable[..., object] = optimizer.step
    step(loss)


def _by_draws(
    vae: VAE,
    x: Tensor,
    free: Tensor,
    curve: list[float],
    bar: Progress,
    steps: int,
    lr: float,
    particles: int,
) -> None:
    optimizer = torch.optim.Adam([free], lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        elbo = sampled_elbo(vae, x, vae.posterior(free), particles).mean(0)
        optimizer.zero_grad()
        torch.autograd.backward(-elbo.sum(), inputs=[free])
        optimizer.step()
        schedule.step()
        curve.append(elbo.mean().item())
        bar.advance(elbo=curve[-1])
