"""What ``fit`` calls as it trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.modes import seeded
from pyro_vae.training.result import FitResult

__all__ = ["Callback", "Callbacks"]


class Callback:
    """Something to do while ``fit(..., callbacks=[...])`` trains; override what you need.

    Each method gets the result so far, of which ``result.vae`` is the model. To stop a training,
    raise ``KeyboardInterrupt``; any other error ends ``fit`` with that error. Random draws within
    a callback come from the training's seed, and leave its own draws as they would have been.

    Example:
        >>> class Print(Callback):
        ...     def on_epoch(self, result):
        ...         print(f"epoch {len(result.history)}: KL > 0 is {result.history[-1]['kl'] > 0}")
        >>> from pyro_vae import VAE, fit
        >>> vae = VAE(event_shape=(3,), latent_dim=2)
        >>> options = {"epochs": 2, "show_progress": False}
        >>> result = fit(vae, torch.randn(200, 3), callbacks=[Print()], **options)
        epoch 1: KL > 0 is True
        epoch 2: KL > 0 is True
    """

    def on_start(self, result: FitResult) -> None:
        """Called before the first step; a training that is resumed has a history already."""

    def on_epoch(self, result: FitResult) -> None:
        """Called after each epoch, whose record is ``result.history[-1]``."""

    def on_end(self, result: FitResult) -> None:
        """Called at the end, whatever the reason: ``result.ended``, which may be ``failed``."""


class Callbacks:
    """Several as one.

    Args:
        several: What is called.
        on_epoch: A function that is called after each epoch, if there is one.
        seed: Of the draws within a call.
        device: Of the training.

    Raises:
        DeclarationError: if one is no callback.
    """

    def __init__(
        self,
        several: Sequence[Callback],
        on_epoch: Callable[[FitResult], None] | None,
        seed: int,
        device: torch.device,
    ) -> None:
        for each in several if isinstance(several, (list, tuple)) else [several]:
            if not isinstance(each, Callback):
                name = each.__name__ if isinstance(each, type) else type(each).__name__
                raise DeclarationError(
                    f"callbacks: expected a list of objects of a class derived from "
                    f"pyro_vae.Callback, got {name}; a plain function is given as on_epoch=",
                    "How to train",
                )
        self.several, self.function = list(several), on_epoch
        self.seed, self.device = seed, device

    def on_start(self, result: FitResult) -> None:
        """Call each in turn."""
        self._call("on_start", result)

    def on_epoch(self, result: FitResult) -> None:
        """Call each in turn, the function first."""
        if self.function is not None:
            with seeded(self.seed, self.device):
                self.function(result)
        self._call("on_epoch", result)

    @contextmanager
    def to_the_end(self, result: FitResult) -> Iterator[None]:
        """Call each ``on_end`` at the end of the block, also after an error of another's."""
        with ExitStack() as stack:
            for each in reversed(self.several):
                stack.callback(each.on_end, result)
            try:
                yield
            except BaseException:
                result.ended = "failed"
                raise

    def _call(self, method: str, result: FitResult) -> None:
        for each in self.several:
            with seeded(self.seed, self.device):
                call: Any = getattr(each, method)
                call(result)
