"""The guide against chains of Pyro's NUTS on the same model's posterior."""

from __future__ import annotations

import copy
import time
import warnings

import pyro
import torch
from pyro import poutine
from pyro.infer import MCMC, NUTS
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.core.modes import alone
from pyro_vae.diagnostics.mcmc_result import MCMCComparison
from pyro_vae.evidence.hmc import check_real_codes
from pyro_vae.report.progress import Progress, progress
from pyro_vae.vae import VAE

__all__ = ["compare_with_mcmc"]


@alone()
def compare_with_mcmc(
    vae: VAE,
    x: Tensor,
    *,
    samples: int = 500,
    warmup: int = 300,
    chains: int = 4,
    seed: int = 0,
    show_progress: bool = True,
) -> MCMCComparison:
    """Run NUTS on p(z|x) for a few data, and hold q(z|x) against its chains.

    The chains run on ``vae.model`` itself, on a copy in float64, on the CPU, each from its own
    draw of the prior. As many codes are drawn from q(z|x).

    Args:
        vae: The model; its codes are real.
        x: A few data, ``(N, *event_shape)``: each takes some seconds for each chain.
        samples: Codes that each chain gives, at least 4.
        warmup: Steps before them, in which NUTS adapts, at least 10.
        chains: Chains for each datum, at least 2.
        seed: Seed of every draw; the global generators are left as they were.
        show_progress: Whether to show a progress bar.

    Raises:
        DataError: if a number is too small, or ``x`` does not fit the model.
        IncompatibleComponents: if the codes are no real vectors.

    References:
        | The No-U-Turn sampler (Hoffman and Gelman, 2014) https://arxiv.org/abs/1111.4246
        | Rank-normalization, folding, and localization: an improved R-hat
        | (Vehtari et al., 2021) https://arxiv.org/abs/1903.08008

    Example:
        >>> vae = VAE(event_shape=(4,), latent_dim=1)
        >>> found = compare_with_mcmc(
        ...     vae, torch.zeros(1, 4), samples=20, warmup=20, chains=2, show_progress=False
        ... )
        >>> found.chains.shape, found.guide.shape
        (torch.Size([1, 2, 20, 1]), torch.Size([1, 40, 1]))
    """
    for name, value, least in (("samples", samples, 4), ("warmup", warmup, 10),
                               ("chains", chains, 2)):  # fmt: skip
        if value < least:
            raise DataError(f"{name}: expected at least {least}, got {value}")
    x = vae._data(x).detach().cpu().double()
    if not len(x):
        raise DataError("x: expected at least one datum, got none")
    check_real_codes(vae, "NUTS")
    model = copy.deepcopy(vae).cpu().double().eval().requires_grad_(requires_grad=False)
    drawn: list[Tensor] = []
    seconds: list[float] = []
    total = len(x) * chains * (samples + warmup)
    with (
        torch.random.fork_rng(devices=[]),
        pyro.validation_enabled(False),
        progress(total, "NUTS", enabled=show_progress) as bar,
    ):
        for index, datum in enumerate(x.split(1)):
            began = time.perf_counter()
            starts = [seed + 1000 * index + chain for chain in range(chains)]
            drawn.append(torch.stack([_chain(model, datum, samples, warmup, start, bar)
                                      for start in starts]))  # fmt: skip
            seconds.append(time.perf_counter() - began)
        torch.manual_seed(seed)
        began = time.perf_counter()
        with torch.no_grad():
            guide = model.encode(x).sample(torch.Size([chains * samples])).movedim(0, 1)
        each = (time.perf_counter() - began) / len(x)
    return MCMCComparison(torch.stack(drawn), guide, seconds, [each] * len(x), warmup, seed)


def _chain(vae: VAE, x: Tensor, samples: int, warmup: int, seed: int, bar: Progress) -> Tensor:
    """One chain for one datum, ``(samples, M)``."""
    torch.manual_seed(seed)
    start = {"z": vae.prior().sample(torch.Size([1]))}

    def potential(codes: dict[str, Tensor]) -> Tensor:
        """Minus log p(x, z) by the program itself; codes are real, so nothing is transformed."""
        trace = poutine.trace(poutine.condition(vae.model, data=codes)).get_trace(x)
        return -torch.as_tensor(trace.log_prob_sum())

    run = MCMC(
        NUTS(potential_fn=potential), samples, warmup_steps=warmup, initial_params=start,
        disable_progbar=True, hook_fn=lambda *state: bar.advance(),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="pyro")
        run.run(x)
    codes: Tensor = run.get_samples()["z"].squeeze(1)
    return codes
