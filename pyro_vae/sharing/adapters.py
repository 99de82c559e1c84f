"""Another library's encoder and decoder, as networks of this package."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pyro_vae.core.errors import IncompatibleComponents

__all__ = ["MAX_SCALE", "ForeignDecoder", "ForeignEncoder"]

MAX_SCALE = 1e18
Call = Callable[[nn.Module, Tensor], Any]


class ForeignEncoder(nn.Module):
    """Mean and raw scale of a diagonal normal, of which ``bounded_scale`` is the scale.

    Args:
        model: What computes them.
        call: How it does, given data.
    """

    def __init__(self, model: nn.Module, call: Call) -> None:
        super().__init__()
        self.model, self._call = model, call

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the log variance, each of the code's shape.

        Raises:
            IncompatibleComponents: if the model gives something else.
        """
        found = _called("encode", self._call, self.model, x)
        found = getattr(found, "latent_dist", found)
        for names in (("embedding", "log_covariance"), ("mean", "logvar")):
            if all(hasattr(found, name) for name in names) and not isinstance(found, Tensor):
                found = tuple(getattr(found, name) for name in names)
        alike = isinstance(found, tuple | list) and len(found) == 2
        if not alike or not all(isinstance(each, Tensor) for each in found):
            raise IncompatibleComponents(
                f"encode: expected the mean and the log variance of a diagonal normal, two "
                f"tensors, got {type(found).__name__}"
            )
        mean, log_var = found
        if mean.shape != log_var.shape or mean.shape[:1] != x.shape[:1]:
            raise IncompatibleComponents(
                f"encode: expected a mean and a log variance of one shape (N, ...), got "
                f"{tuple(mean.shape)} and {tuple(log_var.shape)} for N = {len(x)}"
            )
        return mean, log_var

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 2, M)``, NaN for a scale beyond 1e18 or below 1e-18."""
        mean, log_var = (each.flatten(1) for each in self.moments(x))
        half = math.log(MAX_SCALE)
        part = log_var / (2 * half)  # of the bounded range; its inverse is not bounded
        return torch.stack([mean, half * part / (1 - part * part).sqrt()], 1)


class ForeignDecoder(nn.Module):
    """What the likelihood takes: means, or the logits of probabilities.

    Args:
        model: What computes means or probabilities.
        call: How it does, given codes.
        code_shape: Of a code, as the model takes it.
        event_shape: Of one datum.
        binary: Whether it computes probabilities. If they are a sigmoid's, their logits are what
            it was given, and exact; if not, those of the probabilities.
    """

    def __init__(
        self, model: nn.Module, call: Call, code_shape: Sequence[int], event_shape: Sequence[int],
        *, binary: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.model, self._call = model, call
        self.code_shape, self.event_shape = tuple(code_shape), tuple(event_shape)
        self.binary, self.ends_in_sigmoid = binary, False
        if binary:
            with torch.no_grad(), Sigmoids() as seen:
                p = self.probabilities(torch.zeros(2, *self.code_shape))
            if not ((p >= 0) & (p <= 1)).all():
                raise IncompatibleComponents(
                    f"decode: expected probabilities, as a binary cross-entropy takes them, got "
                    f"{p.min():.3g} to {p.max():.3g}; return torch.sigmoid(logits)"
                )
            last = seen.last
            self.ends_in_sigmoid = (
                last is not None and last.numel() == p.numel()
                and torch.equal(last.sigmoid().reshape(p.shape), p)
            )  # fmt: skip

    def probabilities(self, z: Tensor) -> Tensor:
        """What the model gives, ``(N, *event_shape)``.

        Raises:
            IncompatibleComponents: if it is of another size.
        """
        codes = z.reshape(len(z), *self.code_shape)
        found = _called("decode", self._call, self.model, codes)
        for name in ("sample", "reconstruction"):
            if not isinstance(found, Tensor) and hasattr(found, name):
                found = getattr(found, name)
        if not isinstance(found, Tensor) or found.numel() != len(z) * math.prod(self.event_shape):
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise IncompatibleComponents(
                f"decode: expected data of shape (N, {', '.join(map(str, self.event_shape))}), "
                f"got {got} for N = {len(z)}"
            )
        return found.reshape(len(z), *self.event_shape)

    def forward(self, z: Tensor) -> Tensor:
        """``(N, *event_shape)``."""
        if not self.binary:
            return self.probabilities(z)
        with Sigmoids() as seen:
            p = self.probabilities(z)
        if self.ends_in_sigmoid and seen.last is not None:
            return seen.last.reshape(p.shape)
        return p.logit()


def _called(name: str, call: Call, model: nn.Module, given: Tensor) -> Any:
    try:
        return call(model, given)
    except (RuntimeError, TypeError, ValueError) as error:
        raise IncompatibleComponents(
            f"{name}: expected a function of such data, but it failed on {tuple(given.shape)}: "
            f"{error}"
        ) from error


class Sigmoids(TorchFunctionMode):
    """Remembers what the last sigmoid within it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Tensor | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by PyTorch in place of each of its functions."""
        if getattr(func, "__name__", "") in ("sigmoid", "sigmoid_", "expit"):
            self.last = args[0].clone() if func.__name__ == "sigmoid_" else args[0]
        return func(*args, **(kwargs or {}))
