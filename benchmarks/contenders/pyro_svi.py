"""Pyro alone: a VAE as in its own tutorial."""

from __future__ import annotations

from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from benchmarks.contenders import nets
from benchmarks.contenders.training import Losses, Rows, Steps, Weights
from benchmarks.sizes import Size

__all__ = ["PyroVAE", "SVISteps", "build"]


class PyroVAE(nn.Module):
    """Model and guide over a batch ``(B, *event_shape)``."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.encoder, self.decoder = nets.encoder(size), nets.decoder(size)
        self.flow = nets.flow_networks(size)

    def model(self, x: Tensor) -> None:
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", len(x)):
            zero = x.new_zeros(len(x), self.size.latent)
            z = pyro.sample("z", dist.Normal(zero, torch.ones_like(zero)).to_event(1))
            p = dist.Bernoulli(logits=self.decoder(z))
            pyro.sample("x", p.to_event(len(self.size.event_shape)), obs=x)

    def guide(self, x: Tensor) -> None:
        pyro.module("encoder", self.encoder)
        size = self.size
        with pyro.plate("data", len(x)):
            loc, log_scale, context = self.encoder(x).split(
                [size.latent, size.latent, size.context], -1
            )
            q: Any = dist.Normal(loc, log_scale.exp()).to_event(1)
            if self.flow:
                pyro.module("flow", self.flow)
                steps = [
                    dist.transforms.ConditionalAffineAutoregressive(network).condition(context)
                    for network in self.flow
                ]
                q = dist.TransformedDistribution(dist.Normal(loc, log_scale.exp()), steps)
            pyro.sample("z", q)


class SVISteps(Steps):
    """``SVI.step`` on each batch; Pyro waits for the loss of each step."""

    def __init__(self, svi: Any, module: nn.Module, size: Size, data: Any, device: str) -> None:
        self.rows = nets.rows_of(data, device)
        self.device, self.batch = device, size.batch
        self.svi, self.parameters = svi, nets.count(module)

    def place(self, rows: Rows) -> list[Tensor]:
        return nets.on_device(torch.from_numpy(rows), self.device)

    def train(self, batches: list[Tensor]) -> Losses:
        losses = [self.svi.step(self.rows(rows)) for rows in batches]
        return nets.in_nats(losses, self.batch, self.device)


def build(variant: str, size: Size, data: Any, weights: Weights, device: str) -> SVISteps:
    """``Trace_ELBO``, without validation, which is fastest."""
    pyro.enable_validation(False)
    pyro.clear_param_store()
    vae = PyroVAE(size)
    nets.initialize_all(vae, weights)
    vae.to(device)
    loss = getattr(pyro.infer, variant)(max_plate_nesting=1)
    svi = pyro.infer.SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 1e-3}), loss)
    return SVISteps(svi, vae, size, data, device)
