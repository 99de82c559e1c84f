"""This package: the step that ``fit`` takes, the compiled one, and ``fit`` itself."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor

import pyro_vae
from benchmarks.contenders import nets
from benchmarks.contenders.pyro_svi import SVITraining
from benchmarks.contenders.training import Losses, Rows, Training, Unavailable, is_grey
from benchmarks.data import Weights
from benchmarks.sizes import Size
from pyro_vae import VAE, CompiledSVI
from pyro_vae.data.feed import binarized
from pyro_vae.objectives.elbo import ELBO

__all__ = ["build"]


def vae_of(size: Size, weights: Weights) -> VAE:
    """The model as this package declares it, at its first weights."""
    net: dict[str, Any] = {"kind": "mlp", "hidden": list(size.hidden)}
    if size.channels:
        net = {"kind": "conv", "channels": list(size.channels)}
    net["activation"] = size.activation
    posterior: Any = "diagonal_normal"
    if size.flow_steps:
        posterior = {"kind": "iaf", "transforms": size.flow_steps, "context": size.context}
    vae = VAE(
        size.event_shape, size.latent, likelihood="bernoulli", decoder=net | _reversed(net),
        encoder=net, posterior=posterior,
    )  # fmt: skip
    flow = getattr(vae.posterior, "networks", ())
    encoder = vae.encoder.modules()
    if size.channels:
        encoder = [*vae.encoder.levels.modules(), vae.encoder.affine]
    nets.begin(
        weights, encoder=encoder, decoder=vae.decoder.modules(),
        **{f"flow{step}": network.layers for step, network in enumerate(flow)},
    )  # fmt: skip
    return vae


def _reversed(net: dict[str, Any]) -> dict[str, Any]:
    return {"hidden": net["hidden"][::-1]} if "hidden" in net else {}


class Compiled(Training):
    """``CompiledSVI.step`` on the rows of each batch."""

    def __init__(self, variant: str, size: Size, data: Any, weights: Weights, device: str) -> None:
        rows_of = nets.rows_of(data, device, draw=binarized)
        self.device, self.batch = device, size.batch
        vae = vae_of(size, weights).to(device)
        self.parameters = nets.count(vae)
        exact = variant != "compiled" and not size.flow_steps
        self.svi = CompiledSVI(
            vae.model, vae.guide, pyro.optim.Adam({"lr": 1e-3}),
            ELBO(kl="exact" if exact else "sampled").pyro_loss(),
            batch=lambda rows: (rows_of(rows),),
        )  # fmt: skip

    def place(self, rows: Rows) -> Any:
        return list(torch.from_numpy(rows).to(self.device))

    def train(self, batches: Any) -> Losses:
        losses = [self.svi.step(rows) for rows in batches]
        return nets.in_nats(losses, self.batch, self.device)


class Function(Compiled):
    """What ``CompiledSVI`` has compiled, called without it: the rest of its step is Python."""

    def train(self, batches: Any) -> Losses:
        if not self.svi.compiled:
            return super().train(batches)
        (kind,) = self.svi._kinds.values()
        replay, inputs = kind.replay, [*kind.replay.inputs]
        if replay.remembered:
            raise Unavailable("its loss remembers something of the step before")
        outputs = []
        for rows in batches:
            inputs[replay.given.start] = rows
            outputs.append(replay.run([*inputs]))
        losses = [kind.outputs.unpacked(values)[0] for values in outputs]
        return nets.in_nats(losses, self.batch, self.device)


class Fit(Training):
    """``pyro_vae.fit``: an epoch of it, from one call of ``on_epoch`` to the next."""

    def __init__(self, size: Size, data: Any, weights: Weights, device: str) -> None:
        self.vae, self.batch, self.device = vae_of(size, weights), size.batch, device
        self.parameters = nets.count(self.vae)
        binarization = "dynamic" if is_grey(data) else "none"
        self.data = pyro_vae.as_dataset(data, binarization=binarization, validation=0, test=0)

    def place(self, rows: Rows) -> Tensor:
        raise NotImplementedError("fit takes whole epochs")

    def train(self, batches: Any) -> Losses:
        raise NotImplementedError("fit takes whole epochs")

    def epoch(self, order: Rows) -> tuple[Losses, float]:
        """Seconds of the second of two epochs, before which all is compiled; the first's loss."""
        ends: list[float] = []
        result = pyro_vae.fit(
            self.vae, self.data, epochs=2, batch_size=self.batch, device=self.device,
            step="compiled", show_progress=False,
            on_epoch=lambda _: ends.append(time.perf_counter()),
        )  # fmt: skip
        return np.array([-result.history[0]["elbo"]]), ends[1] - ends[0]


def build(variant: str, size: Size, data: Any, weights: Weights, device: str) -> Training:
    """``pyro``, ``compiled``, ``compiled exact``, its ``function`` alone, or ``fit``."""
    pyro.enable_validation(False)
    if variant == "fit":
        return Fit(size, data, weights, device)
    if variant == "function":
        return Function(variant, size, data, weights, device)
    if variant != "pyro":
        return Compiled(variant, size, data, weights, device)
    vae = vae_of(size, weights).to(device)
    loss = ELBO().pyro_loss()
    svi = pyro.infer.SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 1e-3}), loss)
    return SVITraining(svi, vae, size, data, device, draw=binarized)
