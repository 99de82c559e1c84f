"""NumPyro: ``SVI.update`` under ``jax.jit``, alone or in a ``lax.scan`` over a chunk of steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import lax
from numpyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO

from benchmarks.contenders.training import Losses, Rows, Steps, Unavailable, Weights, is_grey
from benchmarks.sizes import Size

__all__ = ["build"]

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh}
PICTURES = ("NHWC", "HWIO", "NHWC")


class Net:
    """The networks; pictures are (B, H, W, C), which is fastest in XLA."""

    def __init__(self, size: Size, weights: Weights) -> None:
        self.size = size
        self.act: Callable[[Any], Any] = ACTIVATIONS[size.activation]
        self.masks = [_masks(size, step) for step in range(size.flow_steps)]
        self.initial = _jax_layout(size, weights)

    def encode(self, x: Any) -> Any:
        """Means, log scales and context, ``(B, encoded)``."""
        size = self.size
        if not size.channels:
            return self._mlp("encoder", x, len(size.hidden) + 1)
        for level in range(len(size.channels)):
            w = self._weights(f"encoder.{level}")
            x = lax.conv_general_dilated(x, w["w"], (2, 2), [(1, 1), (1, 1)],
                                         dimension_numbers=PICTURES)  # fmt: skip
            x = self.act(x + w["b"])
        return self._affine(f"encoder.{len(size.channels)}", x.reshape(len(x), -1))

    def decode(self, z: Any) -> Any:
        """Logits, of the data's shape."""
        size = self.size
        if not size.channels:
            return self._mlp("decoder", z, len(size.hidden) + 1)
        side = size.sides()[-1]
        h = self._affine("decoder.0", z).reshape(len(z), side, side, size.channels[-1])
        for level in range(1, len(size.channels) + 1):
            w = self._weights(f"decoder.{level}")
            h = lax.conv_transpose(self.act(h), w["w"], (2, 2), "SAME", dimension_numbers=PICTURES)
            h = h + w["b"]
        return h

    def flow(self, step: int, z: Any, context: Any) -> tuple[Any, Any]:
        """One step of the inverse autoregressive flow: the new z, and its log scales."""
        first, last = self.masks[step]
        h = self._affine(f"flow{step}.0", jnp.concatenate([context, z], -1), first)
        mean, raw = jnp.split(self._affine(f"flow{step}.1", jnp.tanh(h), last), 2, -1)
        log_scale = jnp.clip(raw, -5, 3)
        return mean + jnp.exp(log_scale) * z, log_scale

    def _mlp(self, name: str, x: Any, layers: int) -> Any:
        for layer in range(layers):
            x = self._affine(f"{name}.{layer}", self.act(x) if layer else x)
        return x

    def _affine(self, name: str, x: Any, mask: Any = None) -> Any:
        w = self._weights(name)
        return x @ (w["w"] if mask is None else w["w"] * mask) + w["b"]

    def _weights(self, name: str) -> Any:
        return numpyro.param(name, self.initial[name])


def _jax_layout(size: Size, weights: Weights) -> dict[str, dict[str, Any]]:
    """The initial weights in JAX's layout: inputs before outputs, channels last."""
    found = {}
    for name in dict.fromkeys(key.rpartition(".")[0] for key in weights):
        w, b = weights[f"{name}.w"], weights[f"{name}.b"]
        if w.ndim == 2:
            w, b = _channels_last(size, name, w.T, b)
        elif name.startswith("decoder"):  # a transposed convolution
            w = w.transpose(2, 3, 0, 1)[::-1, ::-1]
        else:
            w = w.transpose(2, 3, 1, 0)
        found[name] = {"w": jnp.asarray(w.copy()), "b": jnp.asarray(b.copy())}
    return found


def _channels_last(size: Size, name: str, w: Any, b: Any) -> tuple[Any, Any]:
    """A linear layer between a vector and a conv net's innermost feature maps."""
    if not size.channels:
        return w, b
    side = size.sides()[-1]
    order = np.arange(size.inner).reshape(-1, side, side).transpose(1, 2, 0).ravel()
    return (w[order], b) if name.startswith("encoder") else (w[:, order], b[order])


def _masks(size: Size, step: int) -> tuple[Any, Any]:
    """MADE's masks ``(inputs, hidden)`` and ``(hidden, outputs)``, reversed at odd steps."""
    degrees = np.arange(1, size.latent + 1)
    degrees = degrees[::-1] if step % 2 else degrees
    hidden = np.round(np.linspace(1, size.latent, size.flow_hidden)) - 1
    inputs = np.concatenate([np.zeros(size.context), degrees])
    first = hidden >= inputs[:, None]
    last = np.tile(degrees, 2) > hidden[:, None]
    return first.astype(np.float32), last.astype(np.float32)


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


class NumPyroSteps(Steps):
    """``SVI.update``; the state is donated, so that it is updated in place."""

    def __init__(self, variant: str, size: Size, data: Any, weights: Weights) -> None:
        self.size, self.net, self.batch = size, Net(size, weights), size.batch
        self.scanned = variant == "scan"
        if size.channels:
            data = np.moveaxis(data, 1, -1)
        self.data = jnp.asarray(data)
        loss = Trace_ELBO() if size.flow_steps else TraceMeanField_ELBO()
        svi = SVI(self.model, self.guide, numpyro.optim.Adam(1e-3), loss)
        state = svi.init(jax.random.key(0), self.data[: size.batch])
        leaves = jax.tree.leaves(svi.get_params(state))
        self.parameters = sum(leaf.size for leaf in leaves)
        state = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), state)
        self.state, grey = (state, jax.random.key(1)), is_grey(data)

        def update(state: Any, data: Any, rows: Any) -> Any:
            (state, key), x = state, data[rows]
            if grey:
                key, now = jax.random.split(key)
                x = jax.random.bernoulli(now, x).astype(x.dtype)
            state, loss = svi.update(state, x)
            return (state, key), loss

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
        rows = rows.astype(np.int32)
        return jnp.asarray(rows) if self.scanned else [jnp.asarray(row) for row in rows]

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


def build(variant: str, size: Size, data: Any, weights: Weights, device: str) -> NumPyroSteps:
    """``jit`` or ``scan``."""
    if device == "cuda" and jax.default_backend() != "gpu":
        raise Unavailable("not on this GPU: jax has no CUDA plugin here (pip install 'jax[cuda]')")
    jax.config.update("jax_default_matmul_precision", "float32")  # PyTorch's default
    return NumPyroSteps(variant, size, data, weights)
