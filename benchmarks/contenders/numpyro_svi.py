"""NumPyro: ``SVI.update`` under ``jax.jit``, alone or in a ``lax.scan`` over a chunk of steps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import lax
from numpyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO

from benchmarks.contenders.training import Losses, Rows, Training, Unavailable
from benchmarks.sizes import Size

__all__ = ["build"]

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh}
PICTURES = ("NHWC", "HWIO", "NHWC")


class Net:
    """The networks, whose weights begin as PyTorch's do; pictures are (B, H, W, C)."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.act: Callable[[Any], Any] = ACTIVATIONS[size.activation]
        self.masks = [_masks(size, step) for step in range(size.flow_steps)]

    def encode(self, x: Any) -> Any:
        """Means, log scales and context, ``(B, encoded)``."""
        size = self.size
        if not size.channels:
            return self._mlp("encoder", x, size.pixels, *size.hidden, size.encoded)
        channels = (size.event_shape[0], *size.channels)
        for level, (before, after) in enumerate(pairwise(channels)):
            w = _weights(f"encoder.conv{level}", (3, 3, before, after), (after,), 9 * before)
            x = lax.conv_general_dilated(x, w["w"], (2, 2), [(1, 1), (1, 1)],
                                         dimension_numbers=PICTURES)  # fmt: skip
            x = self.act(x + w["b"])
        return _affine("encoder.out", x.reshape(len(x), -1), size.encoded)

    def decode(self, z: Any) -> Any:
        """Logits, of the data's shape."""
        size = self.size
        if not size.channels:
            return self._mlp("decoder", z, size.latent, *reversed(size.hidden), size.pixels)
        side = size.sides()[-1]
        h = _affine("decoder.in", z, size.channels[-1] * side**2)
        h = h.reshape(len(z), side, side, size.channels[-1])
        channels = (*reversed(size.channels), size.event_shape[0])
        for level, (before, after) in enumerate(pairwise(channels)):
            w = _weights(f"decoder.conv{level}", (4, 4, before, after), (after,), 16 * after)
            h = lax.conv_transpose(self.act(h), w["w"], (2, 2), "SAME", dimension_numbers=PICTURES)
            h = h + w["b"]
        return h

    def flow(self, step: int, z: Any, context: Any) -> tuple[Any, Any]:
        """One step of the inverse autoregressive flow: the new z, and its log scales."""
        first, last = self.masks[step]
        h = jnp.tanh(_affine(f"flow{step}.0", jnp.concatenate([context, z], -1), len(first.T),
                             first))  # fmt: skip
        mean, raw = jnp.split(_affine(f"flow{step}.1", h, 2 * self.size.latent, last), 2, -1)
        log_scale = jnp.clip(raw, -5, 3)
        return mean + jnp.exp(log_scale) * z, log_scale

    def _mlp(self, name: str, x: Any, *widths: int) -> Any:
        for layer, (_, after) in enumerate(pairwise(widths)):
            x = _affine(f"{name}.{layer}", self.act(x) if layer else x, after)
        return x


class AutoregressiveFlow(dist.transforms.Transform):  # type: ignore[misc]
    """One step of the flow, whose log-determinant comes from the draw itself."""

    domain = codomain = dist.constraints.real_vector

    def __init__(self, net: Net, step: int, context: Any) -> None:
        self.apply = lambda z: net.flow(step, z, context)

    def __call__(self, x: Any) -> Any:
        return self.apply(x)[0]

    def call_with_intermediates(self, x: Any) -> tuple[Any, Any]:
        return self.apply(x)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        log_scale = self.apply(x)[1] if intermediates is None else intermediates
        return log_scale.sum(-1)

    def tree_flatten(self) -> Any:
        return (), ((), {"apply": self.apply})


def _masks(size: Size, step: int) -> tuple[Any, Any]:
    """MADE's masks ``(inputs, hidden)`` and ``(hidden, outputs)``, turned at odd steps."""
    degrees = np.arange(1, size.latent + 1)
    degrees = degrees[::-1] if step % 2 else degrees
    hidden = np.round(np.linspace(1, size.latent, size.flow_hidden)) - 1
    inputs = np.concatenate([np.zeros(size.context), degrees])
    first = hidden >= inputs[:, None]
    last = np.tile(degrees, 2) > hidden[:, None]
    return first.astype(np.float32), last.astype(np.float32)


def _weights(name: str, shape: tuple[int, ...], bias: tuple[int, ...], fan_in: int) -> Any:
    def begin(key: Any) -> dict[str, Any]:
        bound = fan_in**-0.5
        one, other = jax.random.split(key)
        return {
            "w": jax.random.uniform(one, shape, minval=-bound, maxval=bound),
            "b": jax.random.uniform(other, bias, minval=-bound, maxval=bound),
        }

    return numpyro.param(name, begin)


def _affine(name: str, x: Any, outputs: int, mask: Any = None) -> Any:
    w = _weights(name, (x.shape[-1], outputs), (outputs,), x.shape[-1])
    return x @ (w["w"] if mask is None else w["w"] * mask) + w["b"]


class NumPyroTraining(Training):
    """The state is donated, so that it is updated in place."""

    def __init__(self, variant: str, size: Size, data: Any) -> None:
        self.size, self.net, self.batch = size, Net(size), size.batch
        self.scanned = variant == "scan"
        if size.channels:
            data = np.moveaxis(data, 1, -1)
        self.data = jnp.asarray(data)
        loss = Trace_ELBO() if size.flow_steps else TraceMeanField_ELBO()
        svi = SVI(self.model, self.guide, numpyro.optim.Adam(1e-3), loss)
        state = svi.init(jax.random.key(0), self.data[: size.batch])
        self.state = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), state)
        leaves = jax.tree.leaves(svi.get_params(self.state))
        self.parameters = sum(leaf.size for leaf in leaves)

        def update(state: Any, data: Any, rows: Any) -> Any:
            return svi.update(state, data[rows])

        def scan(state: Any, data: Any, rows: Any) -> Any:
            return lax.scan(lambda state, rows: update(state, data, rows), state, rows)

        self.update = jax.jit(scan if self.scanned else update, donate_argnums=0)

    def model(self, x: Any) -> None:
        event = len(self.size.event_shape)
        with numpyro.plate("data", len(x)):
            z = numpyro.sample("z", dist.Normal(jnp.zeros(self.size.latent), 1.0).to_event(1))
            numpyro.sample("x", dist.Bernoulli(logits=self.net.decode(z)).to_event(event), obs=x)

    def guide(self, x: Any) -> None:
        m = self.size.latent
        loc, log_scale, context = jnp.split(self.net.encode(x), [m, 2 * m], -1)
        q: Any = dist.Normal(loc, jnp.exp(log_scale)).to_event(1)
        if self.size.flow_steps:
            steps = [AutoregressiveFlow(self.net, k, context) for k in range(self.size.flow_steps)]
            q = dist.TransformedDistribution(q, steps)
        with numpyro.plate("data", len(x)):
            numpyro.sample("z", q)

    def place(self, rows: Rows) -> Any:
        placed = [jnp.asarray(row) for row in rows.astype(np.int32)]
        return jnp.stack(placed) if self.scanned else placed

    def train(self, batches: Any) -> Losses:
        if self.scanned:
            self.state, losses = self.update(self.state, self.data, batches)
        else:
            losses = []
            for rows in batches:
                self.state, loss = self.update(self.state, self.data, rows)
                losses.append(loss)
        jax.block_until_ready(self.state)
        return np.asarray(jax.device_get(losses), np.float64) / self.batch


def build(variant: str, size: Size, data: Any, device: str) -> Training:
    """``jit`` or ``scan``."""
    if device == "cuda" and jax.default_backend() != "gpu":
        raise Unavailable("not on this GPU: jax has no CUDA plugin here (pip install 'jax[cuda]')")
    jax.config.update("jax_default_matmul_precision", "float32")  # as PyTorch has it
    return NumPyroTraining(variant, size, data)
