"""A step of SVI whose batch several processes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pyro.optim import PyroOptim
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from pyro_vae.compiled import FiniteSVI
from pyro_vae.core.errors import NonFiniteLoss, ProcessError
from pyro_vae.core.processes import Processes
from pyro_vae.core.whole_batch import summing_by
from pyro_vae.objectives.pyro_elbos import Trace_ELBO
from pyro_vae.training.shared_norm import normalized_together

__all__ = ["SharedSVI", "WholeDraws"]


class WholeDraws(TorchDispatchMode):
    """Every random draw within the block is that of the whole batch, of which a share is kept.

    All processes draw from generators of one state, so that they stay in one state, and a share's
    rows are those that a single process would draw. What a draw depends on, such as the
    concentrations of gammas, is gathered from all processes.

    Args:
        processes: Those that share the batch.
        count: The size of the whole batch.
        particles: The number of particles, which are before the batch in a tensor's shape, or
            flattened with it.

    Raises:
        ProcessError: for a draw without one row for each datum.
    """

    def __init__(self, processes: Processes, count: int, particles: int) -> None:
        super().__init__()
        self.processes, self.count, self.particles = processes, count, particles
        self.rows = processes.rows(count)
        self.mine = self.rows.stop - self.rows.start

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **(kwargs or {}))
        if func._schema.is_mutable:  # its first argument is filled, whatever it held
            whole = args[0].new_empty(self._whole(args[0].shape))
            func(whole, *self._widened(args[1:]), **self._widened(kwargs or {}))
            return args[0].copy_(self._share(whole))
        drawn = func(*self._widened(args), **self._widened(kwargs or {}))
        return tree_map(lambda t: self._share(t) if isinstance(t, Tensor) else t, drawn)

    def _widened(self, given: Any) -> Any:
        """Sizes and tensors as those of the whole batch."""
        return tree_map(self._wide, given, is_leaf=lambda value: isinstance(value, list))

    def _wide(self, given: Any) -> Any:
        if isinstance(given, list):
            return self._whole(given)
        if not isinstance(given, Tensor) or not given.dim():
            return given
        whole = given.new_zeros(self._whole(given.shape))
        place, each = self._place(given.shape, self.mine)
        self._part(whole).copy_(given.unflatten(place, (each, self.mine)))
        return self.processes.add(whole)

    def _whole(self, shape: Any) -> list[int]:
        sizes, (place, each) = list(shape), self._place(shape, self.mine)
        sizes[place] = each * self.count
        return sizes

    def _share(self, whole: Tensor) -> Tensor:
        place, _ = self._place(whole.shape, self.count)
        return self._part(whole).flatten(place, place + 1)

    def _part(self, whole: Tensor) -> Tensor:
        """A view of this process's rows, their dimension split into particles and data."""
        place, each = self._place(whole.shape, self.count)
        split = whole.unflatten(place, (each, self.count))
        return split.narrow(place + 1, self.rows.start, self.mine)

    def _place(self, shape: Any, count: int) -> tuple[int, int]:
        """The dimension of the batch, and how many particles are flattened with it."""
        sizes, particles = list(shape), self.particles
        if particles > 1 and sizes[:2] == [particles, count]:
            return 1, 1
        if sizes[:1] == [count]:
            return 0, 1
        if sizes[:1] == [particles * count]:
            return 0, particles
        raise ProcessError(
            f"Expected random draws with a row for each of the {count} data of a batch, so that "
            f"several processes can share them, got draws of shape {tuple(sizes)}; train in one "
            f"process, without torchrun"
        )


class SharedSVI(FiniteSVI):
    """Pyro's SVI on a batch that several processes share: each makes the step of the whole batch.

    Each process computes the loss and the gradients of its rows. One sum over all processes, of
    one flat tensor, holds the gradients, the loss, its terms, and whether any process failed or
    was asked to stop. To rounding, the steps are those of a single process.

    Args:
        model: As for Pyro, a method of the VAE.
        guide: Likewise.
        optim: As for Pyro.
        loss: Summed over the data.
        processes: Those that share each batch.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        optim: PyroOptim,
        loss: Trace_ELBO,
        processes: Processes,
    ) -> None:
        super().__init__(model, guide, optim, loss)
        self.terms, self.processes = loss, processes
        self.vae: nn.Module = model.__self__  # type: ignore[attr-defined]
        self.loss_and_grads = self._of_all

    def _of_all(self, model: Any, guide: Any, x: Tensor, *condition: Tensor) -> float:
        """The loss of the whole batch ``x``, and its gradients in the parameters' ``grad``."""
        draws = WholeDraws(self.processes, len(x), self.terms.num_particles)
        failures: list[NonFiniteLoss] = []
        self.terms.failures = failures  # raised after what all processes do together
        with summing_by(self.processes.add), normalized_together(self.vae):
            share = [each[draws.rows] for each in (x, *condition)]
            loss = self.terms.loss_and_grads(_within(draws, model), _within(draws, guide), *share)
        return self._summed(loss, failures[0] if failures else None, draws.rows)

    def _summed(self, loss: float, failed: NonFiniteLoss | None, rows: slice) -> float:
        weights = [weight for weight in self.vae.parameters() if weight.requires_grad]
        names = [name for name in ("log_likelihood", "kl", "bound")
                 if getattr(self.terms, name) is not None]  # fmt: skip
        gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
        like = next(self.vae.parameters())
        flags = like.new_tensor([failed is not None, self.processes.asked, loss])
        terms = [getattr(self.terms, name).to(like.device) for name in names]
        parts = [*gradients, flags, *terms]
        flat = self.processes.add(torch.cat([part.detach().flatten() for part in parts]))
        found = flat.split([part.numel() for part in parts])
        failures, stops, total = found[len(weights)].tolist()
        self.processes.stopping = stops > 0
        if failures:
            self._raise(failed, rows)
        for weight, gradient in zip(weights, found, strict=False):
            if weight.grad is not None:
                weight.grad.copy_(gradient.view_as(weight))
        for name, value in zip(names, found[len(weights) + 1 :], strict=True):
            setattr(self.terms, name, value.squeeze(0))
        return float(total)

    def _raise(self, failed: NonFiniteLoss | None, rows: slice) -> None:
        """Raise the first process's error in all of them."""
        place = f"rows counted within those {rows.start} to {rows.stop - 1} of the batch"
        mine = failed and f"{failed} (process {self.processes.rank}; {place})"
        raise NonFiniteLoss(next(message for message in self.processes.all_of(mine) if message))


def _within(draws: WholeDraws, program: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        with draws:
            return program(*args)

    return run
