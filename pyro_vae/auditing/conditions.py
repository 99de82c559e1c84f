"""Whether a conditional model depends on its condition, in both of its halves."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_vae.auditing.checks import Check, finding, not_compared
from pyro_vae.core.condition import Condition
from pyro_vae.vae import VAE

__all__ = ["condition_checks"]

CLAIM = "p(x|z, c) and q(z|x, c) change with c, and no two conditions look alike to a network"
ADVICE = "See that model and guide are given the same condition, and that no network drops it"


@torch.no_grad()
def condition_checks(vae: VAE, x: Tensor) -> list[Check]:
    """What must hold of a model given the conditions of data ``(N, *event_shape)``.

    Each datum takes the condition of another: the densities of the model and of the guide must
    change. They are compared bit for bit, so that only a model that never sees it fails.
    """
    if vae.condition is None:
        return []
    given = vae.conditions.to(x.device)
    c = given.reshape(len(x), -1)
    differs = (c.unsqueeze(0) != c.unsqueeze(1)).any(-1)  # (N, N)
    if not differs.any():
        return [not_compared("condition", "all these data have the same; give data of several")]
    other = vae.at(differs.int().argmax(1).cpu())
    p, z = vae.prior(), vae.encode(x).sample()
    pairs = {"p(x|z, c)": (vae.decode(z, x).log_prob(x), other.decode(z, x).log_prob(x))}
    if vae.posterior.amortized:
        pairs["q(z|x, c)"] = (vae.encoder(x), other.encoder(x))
    if p.batch_shape:
        pairs["p(z|c)"] = (p.log_prob(z), other.prior().log_prob(z))
    problems = [
        f"{name} is the same for every condition"
        for name, (one, another) in pairs.items()
        if torch.equal(one, another)
    ]
    for name, part in vae.named_modules():
        if isinstance(part, Condition):
            seen = part(given)
            alike = differs & (seen.unsqueeze(0) == seen.unsqueeze(1)).all(-1)
            if alike.any():
                found = [given[row].tolist() for row in alike.nonzero()[0]]
                problems.append(f"{name} gives conditions {found[0]} and {found[1]} one embedding")
    return [finding("condition", CLAIM, problems, ADVICE)]
