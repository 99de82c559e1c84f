"""The loop that a PyTorch user writes: closed-form KL, or a flow's sampled one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from benchmarks.contenders import nets
from benchmarks.contenders.training import Losses, Rows, Steps, Weights
from benchmarks.sizes import Size

__all__ = ["Loop", "NegativeELBO", "build"]

MODES = {"cpu": "max-autotune-no-cudagraphs", "cuda": "max-autotune"}


class NegativeELBO(nn.Module):
    """The loss in nats, summed over a batch ``(B, *event_shape)``."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.encoder, self.decoder = nets.encoder(size), nets.decoder(size)
        self.flow = nets.flow_networks(size)
        self.sizes = [size.latent, size.latent, size.context]

    def forward(self, x: Tensor) -> Tensor:
        loc, log_scale, context = self.encoder(x).split(self.sizes, -1)
        noise = torch.randn_like(loc)
        z = loc + log_scale.exp() * noise
        if self.flow:
            log_q = -0.5 * noise.square() - log_scale
            for network in self.flow:
                mean, raw = network(z, context)
                step = raw.clamp(-5, 3)
                z = mean + step.exp() * z
                log_q = log_q - step
            kl = (log_q + 0.5 * z.square()).sum()
        else:
            kl = 0.5 * (loc.square() + (2 * log_scale).exp() - 1 - 2 * log_scale).sum()
        logits = self.decoder(z)
        return kl + F.binary_cross_entropy_with_logits(logits, x, reduction="sum")


class Loop(Steps):
    """Zero the gradients, backpropagate, step; no step waits for the device."""

    def __init__(self, variant: str, size: Size, data: Any, weights: Weights, device: str) -> None:
        self.rows = nets.rows_of(data, device)
        self.device, self.batch = device, size.batch
        module = NegativeELBO(size)
        nets.initialize_all(module, weights)
        module.to(device)
        self.parameters = nets.count(module)
        fused = {} if variant == "eager" else {"fused": True}
        self.optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, **fused)
        self.loss = self._compiled(module, variant)

    def _compiled(self, module: nn.Module, variant: str) -> Any:
        if variant not in {"compile", "autotune"}:
            return module
        mode = MODES[self.device] if variant == "autotune" else None
        return torch.compile(module, mode=mode)

    def step(self, x: Tensor) -> Tensor:
        """One step on a batch; the loss, summed over it."""
        loss: Tensor = self.loss(x)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def place(self, rows: Rows) -> list[Tensor]:
        return nets.on_device(torch.from_numpy(rows), self.device)

    def train(self, batches: list[Tensor]) -> Losses:
        losses = [self.step(self.rows(rows)).clone() for rows in batches]
        return nets.in_nats(losses, self.batch, self.device)


def build(variant: str, size: Size, data: Any, weights: Weights, device: str) -> Loop:
    """``eager``, ``fused``, ``compile`` or ``autotune``."""
    return Loop(variant, size, data, weights, device)
