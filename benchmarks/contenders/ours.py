"""This package: Pyro's step on its VAE, the compiled step, and ``fit``."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyro
import torch

import pyro_vae
from benchmarks.contenders import nets
from benchmarks.contenders.pyro_svi import SVISteps
from benchmarks.contenders.training import (
    Losses,
    Rows,
    Steps,
    Training,
    Unavailable,
    Weights,
    is_grey,
)
from benchmarks.sizes import Size
from pyro_vae import VAE, CompiledSVI
from pyro_vae.objectives.elbo import ELBO

__all__ = ["build", "vae_of"]


def vae_of(size: Size, weights: Weights) -> VAE:
    """The model as this package declares it, with the initial weights."""
    net: dict[str, Any] = {"activation": size.activation}
    if size.channels:
        encoder = decoder = net | {"kind": "conv", "channels": list(size.channels)}
    else:
        encoder = net | {"kind": "mlp", "hidden": list(size.hidden)}
        decoder = net | {"kind": "mlp", "hidden": list(reversed(size.hidden))}
    posterior: Any = "diagonal_normal"
    if size.flow_steps:
        posterior = {"kind": "iaf", "transforms": size.flow_steps, "context": size.context}
    vae = VAE(
        size.event_shape, size.latent, likelihood="bernoulli", decoder=decoder, encoder=encoder,
        posterior=posterior,
    )  # fmt: skip
    _initialize(vae, size, weights)
    return vae


def _initialize(vae: VAE, size: Size, weights: Weights) -> None:
    layers: Any = vae.encoder.modules()
    if size.channels:
        layers = [*vae.encoder.levels.modules(), vae.encoder.affine]
    flow = [module for module in vae.posterior.modules() if hasattr(module, "weight")]
    steps = {f"flow{k}": flow[2 * k : 2 * k + 2] for k in range(size.flow_steps)}
    nets.initialize(weights, encoder=layers, decoder=vae.decoder.modules(), **steps)


class CompiledSteps(Steps):
    """``CompiledSVI.step`` on the rows of each batch."""

    def __init__(self, kl: Any, size: Size, data: Any, weights: Weights, device: str) -> None:
        rows_of = nets.rows_of(data, device)
        self.device, self.batch = device, size.batch
        vae = vae_of(size, weights).to(device)
        self.parameters = nets.count(vae)
        self.svi = CompiledSVI(
            vae.model, vae.guide, pyro.optim.Adam({"lr": 1e-3}), ELBO(kl=kl).pyro_loss(),
            batch=lambda rows: (rows_of(rows),),
        )  # fmt: skip

    def place(self, rows: Rows) -> Any:
        return nets.on_device(torch.from_numpy(rows), self.device)

    def train(self, batches: Any) -> Losses:
        losses = [self.svi.step(rows) for rows in batches]
        return nets.in_nats(losses, self.batch, self.device)


class Fit(Training):
    """``pyro_vae.fit``."""

    def __init__(self, size: Size, data: Any, weights: Weights, device: str) -> None:
        self.vae, self.batch, self.device = vae_of(size, weights), size.batch, device
        self.parameters = nets.count(self.vae)
        binarization = "dynamic" if is_grey(data) else "none"
        self.data = pyro_vae.as_dataset(data, binarization=binarization, validation=0, test=0)

    def epoch(self, order: Rows) -> tuple[Losses, float]:
        """The first epoch's loss; seconds of the second, when everything is compiled."""
        ends: list[float] = []
        result = pyro_vae.fit(
            self.vae, self.data, epochs=2, batch_size=self.batch, device=self.device,
            step="compiled", show_progress=False,
            on_epoch=lambda _: ends.append(time.perf_counter()),
        )  # fmt: skip
        return np.array([-result.history[0]["elbo"]]), ends[1] - ends[0]


def build(variant: str, size: Size, data: Any, weights: Weights, device: str) -> Training:
    """``pyro``, ``compiled``, ``compiled exact`` or ``fit``."""
    pyro.enable_validation(False)
    if variant == "compiled exact" and size.flow_steps:
        raise Unavailable("a flow guide has no closed-form KL")
    if variant == "fit":
        return Fit(size, data, weights, device)
    if variant != "pyro":
        kl = "exact" if variant == "compiled exact" else "sampled"
        return CompiledSteps(kl, size, data, weights, device)
    vae = vae_of(size, weights).to(device)
    loss = ELBO().pyro_loss()
    svi = pyro.infer.SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 1e-3}), loss)
    return SVISteps(svi, vae, size, data, device)
