"""One training step of the same model, as each contender writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyro
import pyro.infer
import pyro.optim
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from pyro_vae import VAE
from pyro_vae.objectives.elbo import ELBO

Step = Callable[[Tensor], object]


@dataclass(frozen=True)
class Size:
    """A Bernoulli VAE with one hidden layer on either side."""

    name: str
    data: int
    hidden: int
    latent: int
    batch: int

    def vae(self) -> VAE:
        """The model as this package builds it."""
        net = {"kind": "mlp", "hidden": [self.hidden]}
        return VAE((self.data,), self.latent, likelihood="bernoulli", decoder=net, encoder=net)


SIZES = (
    Size("digits MLP, 64-64-8, batch 64", 64, 64, 8, 64),
    Size("MNIST MLP, 784-400-20, batch 128", 784, 400, 20, 128),
)


def this_package(size: Size, device: torch.device, kl: str) -> Step:
    """The step that ``fit`` takes: SVI with a loss that remembers its terms."""
    vae = size.vae().to(device)
    loss = ELBO(kl=kl).pyro_loss()
    svi = pyro.infer.SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 1e-3}), loss)
    return svi.step


def pyro_svi(size: Size, device: torch.device) -> Step:
    """Pyro's own SVI with Pyro's own loss, on the same program."""
    vae = size.vae().to(device)
    optimiser = pyro.optim.Adam({"lr": 1e-3})
    return pyro.infer.SVI(vae.model, vae.guide, optimiser, pyro.infer.Trace_ELBO()).step


def by_hand(size: Size, device: torch.device) -> Step:
    """The loop that a PyTorch user writes, eagerly, with the closed-form KL."""
    encoder = nn.Sequential(nn.Linear(size.data, size.hidden), nn.ReLU(),
                            nn.Linear(size.hidden, 2 * size.latent)).to(device)  # fmt: skip
    decoder = nn.Sequential(nn.Linear(size.latent, size.hidden), nn.ReLU(),
                            nn.Linear(size.hidden, size.data)).to(device)  # fmt: skip
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)

    def step(x: Tensor) -> float:
        loc, log_variance = encoder(x).chunk(2, -1)
        z = loc + (0.5 * log_variance).exp() * torch.randn_like(loc)
        likelihood = F.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
        kl = 0.5 * (loc.square() + log_variance.exp() - 1 - log_variance).sum()
        loss = likelihood + kl
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


CONTENDERS: dict[str, Callable[[Size, torch.device], Step]] = {
    "pyro_vae, kl: sampled": lambda size, device: this_package(size, device, "sampled"),
    "pyro_vae, kl: exact": lambda size, device: this_package(size, device, "exact"),
    "Pyro SVI.step, Trace_ELBO": pyro_svi,
    "PyTorch by hand, eager": by_hand,
}
