"""The networks in plain PyTorch, for the contenders written by hand."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pyro.nn import ConditionalAutoRegressiveNN
from torch import Tensor, nn

from benchmarks.contenders.training import Losses, Weights, is_grey
from benchmarks.sizes import Size

__all__ = [
    "count",
    "decoder",
    "encoder",
    "flow_networks",
    "in_nats",
    "initial_weights",
    "initialize",
    "initialize_all",
    "on_device",
    "rows_of",
]

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


def encoder(size: Size) -> nn.Sequential:
    """From ``(B, *event_shape)`` to means, log scales and context, ``(B, encoded)``."""
    if not size.channels:
        return _mlp(size, size.pixels, *size.hidden, size.encoded)
    layers: list[nn.Module] = []
    for before, after in pairwise((size.event_shape[0], *size.channels)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), _activation(size)]
    inner = size.channels[-1] * size.sides()[-1] ** 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(inner, size.encoded))


def decoder(size: Size) -> nn.Sequential:
    """From codes ``(B, M)`` to logits ``(B, *event_shape)``."""
    if not size.channels:
        return _mlp(size, size.latent, *reversed(size.hidden), size.pixels)
    side = size.sides()[-1]
    inner = (size.channels[-1], side, side)
    layers = [nn.Linear(size.latent, math.prod(inner)), nn.Unflatten(1, inner)]
    for before, after in pairwise((*reversed(size.channels), size.event_shape[0])):
        layers += [_activation(size), nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
    return nn.Sequential(*layers)


def flow_networks(size: Size) -> nn.ModuleList:
    """Pyro's masked networks of the inverse autoregressive flow, one for each step."""
    order = torch.arange(size.latent)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="ConditionalAutoRegressiveNN input_dim = 1")
        return nn.ModuleList(
            ConditionalAutoRegressiveNN(
                size.latent, size.context, [size.flow_hidden], nonlinearity=nn.Tanh(),
                permutation=order.flip(0) if step % 2 else order,
            )
            for step in range(size.flow_steps)
        )  # fmt: skip


def initial_weights(size: Size, seed: int = 0) -> Weights:
    """Weights drawn by PyTorch's default initialization, by layer: ``encoder.0.w`` and so on."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = _named(encoder(size), decoder(size), flow_networks(size))
    return {
        f"{name}.{place}.{part}": values.detach().numpy()
        for name, layers in networks.items()
        for place, layer in enumerate(_weighted(layers))
        for part, values in (("w", layer.weight), ("b", layer.bias))
    }


@torch.no_grad()
def initialize(weights: Weights, **modules: Iterable[nn.Module]) -> None:
    """Copy the initial weights into layers.

    Args:
        weights: By :func:`initial_weights`.
        modules: The layers of ``encoder`` and so on, in the order that the data pass; those
            without weights are skipped.
    """
    for name, layers in modules.items():
        for place, layer in enumerate(_weighted(layers)):
            layer.weight.copy_(torch.from_numpy(weights[f"{name}.{place}.w"]))
            layer.bias.copy_(torch.from_numpy(weights[f"{name}.{place}.b"]))


def initialize_all(module: Any, weights: Weights) -> None:
    """Copy the initial weights into a module's ``encoder``, ``flow`` and ``decoder``."""
    initialize(weights, **_named(module.encoder, module.decoder, module.flow))


def count(*modules: nn.Module) -> int:
    """Number of learned values."""
    return sum(weights.numel() for module in modules for weights in module.parameters())


def rows_of(data: NDArray[np.float32], device: str) -> Callable[[Tensor], Tensor]:
    """A function from row numbers to a batch, drawn as zeros and ones if the data are grey."""
    whole = torch.from_numpy(data).to(device)
    if is_grey(data):
        return lambda rows: torch.bernoulli(whole[rows])
    return lambda rows: whole[rows]


def on_device(rows: torch.Tensor, device: str) -> list[Tensor]:
    """The rows of each batch, on the device."""
    return list(rows.to(device))


def in_nats(losses: Tensor | list[Tensor] | list[float], batch: int, device: str) -> Losses:
    """Wait for the device, and turn losses summed over a batch into nats per datum."""
    if device == "cuda":
        torch.cuda.synchronize()
    if not isinstance(losses, Tensor):
        losses = torch.stack([torch.as_tensor(loss) for loss in losses])
    found: Losses = (losses.double().cpu() / batch).numpy()
    return found


def _mlp(size: Size, *widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), _activation(size)]
    return nn.Sequential(*layers[:-1])


def _activation(size: Size) -> nn.Module:
    return ACTIVATIONS[size.activation]()


def _named(encoder: Any, decoder: Any, flow: Any) -> dict[str, Iterable[nn.Module]]:
    steps = {f"flow{step}": network.layers for step, network in enumerate(flow)}
    return {"encoder": encoder, "decoder": decoder} | steps


def _weighted(layers: Iterable[nn.Module]) -> list[Any]:
    return [layer for layer in layers if hasattr(layer, "weight")]
