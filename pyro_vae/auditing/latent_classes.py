"""Rows about classes that a model sums out: Pyro's enumeration against sums by hand."""

from __future__ import annotations

from functools import partial
from typing import Any

import pyro.infer
import torch
from torch import Tensor

from pyro_vae.auditing.checks import Check
from pyro_vae.auditing.gradients import by_pyro, gradient_checks, groups_of
from pyro_vae.auditing.objective import value_check
from pyro_vae.objectives.kl import KL, kl_method
from pyro_vae.objectives.terms import elbo_terms
from pyro_vae.vae import VAE

__all__ = ["summed_out_checks"]


def summed_out_checks(
    vae: VAE, x: Tensor, loss: Any, draws: int, gradients: int, seed: int, eps: float
) -> list[Check]:
    """Pyro's ``TraceEnum_ELBO``, and the training's loss, against the sum by hand."""

    def by_hand(kl: KL) -> Tensor:
        return elbo_terms(vae, x, kl=kl).elbo.sum()

    given = vae.given(0, len(x))
    exact = kl_method(given.encode(x), given.prior()) == "exact"
    methods: list[KL] = ["sampled", "exact"] if exact else ["sampled"]
    pyros: Any = pyro.infer.TraceEnum_ELBO(max_plate_nesting=1)
    pyros.name = "elbo, classes summed out"
    losses = {"Pyro's TraceEnum_ELBO": pyros}
    if loss is not None:
        losses[f"the training's {type(loss).__name__}"] = loss
    sums: list[Any] = [partial(by_hand, kl) for kl in methods]
    checks = [value_check(vae, x, each, sums, draws, seed, eps) for each in losses.values()]
    if not gradients:
        return checks
    with torch.enable_grad():
        return checks + gradient_checks(
            groups_of(vae), {name: by_pyro(vae, x, each) for name, each in losses.items()},
            lambda: -by_hand("sampled") / len(x), "by hand, the same seeds", gradients, seed, eps,
            bound="ELBO, classes summed out",
        )  # fmt: skip
