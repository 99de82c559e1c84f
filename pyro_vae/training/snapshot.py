"""Everything that a training goes on from, as tensors and JSON."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.core.errors import CheckpointError
from pyro_vae.training.sums import Sums

if TYPE_CHECKING:
    from pyro_vae.training.loop import Loop

__all__ = ["Snapshot"]

MODEL, BEST, ADAM, RANDOM = "model.", "best.", "adam.", "random."


@dataclass
class Snapshot:
    """The state of a training between two steps.

    Args:
        tensors: Weights, the best epoch's weights, Adam's state, and the random generators'; all
            on the CPU, and none shared.
        facts: The rest, as JSON: the place in the data, the history, the form of the step.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    @classmethod
    def of(cls, loop: Loop) -> Snapshot:
        """That of a training."""
        found = _prefixed(MODEL, loop.vae.state_dict())
        if loop.best is not None:
            found |= _prefixed(BEST, loop.best[1])
        for name, _, state in _adam(loop):
            found |= _prefixed(f"{ADAM}{name}.", state)
        numpy: Any = np.random.get_state()
        version, words, gauss = random.getstate()
        found |= {
            "order": loop.order_of_epoch,
            f"{RANDOM}torch": torch.get_rng_state(),
            f"{RANDOM}numpy": torch.from_numpy(numpy[1].astype(np.int64)),
            f"{RANDOM}python": torch.tensor(words),
        }
        if loop.device.type == "cuda":
            found[f"{RANDOM}cuda"] = torch.cuda.get_rng_state(loop.device)
        result = loop.result
        facts = {
            "epoch": len(result.history),
            "batch": loop.batch,
            "steps": loop.done,
            "epochs": result.settings.epochs,
            "history": list(result.history),
            "rollbacks": loop.rollbacks,
            "sums": loop.sums.facts,
            "best": [result.best_epoch, None if loop.best is None else loop.best[0]],
            "step": loop.stepper.facts(),
            "seconds": loop.seconds(),
            "numpy": [numpy[0], *numpy[2:]],
            "python": [version, gauss],
            "run": loop.facts,
        }
        tensors = {
            name: value.detach().cpu().contiguous().clone() for name, value in found.items()
        }
        return cls(tensors, facts)

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin so, without the prefix."""
        return {
            name.removeprefix(prefix): value
            for name, value in self.tensors.items()
            if name.startswith(prefix)
        }

    def restore(self, loop: Loop) -> None:
        """Give a training this state, in place: weights, Adam, generators, and its place.

        Raises:
            CheckpointError: if the weights are those of another model.
        """
        try:
            loop.vae.load_state_dict(self.part(MODEL))
        except RuntimeError as error:
            raise CheckpointError(
                f"Expected the state of this model, got another's: {' '.join(str(error).split())}"
            ) from None
        facts, result = self.facts, loop.result
        loop.rollbacks = facts.get("rollbacks", 0)
        self._restore_adam(loop)
        result.history[:] = [dict(record) for record in facts["history"]]
        result.best_epoch, value = facts["best"]
        loop.best = None
        if value is not None:
            loop.best = value, {n: v.to(loop.device) for n, v in self.part(BEST).items()}
        loop.batch, loop.done = facts["batch"], facts["steps"]
        loop.sums = Sums.from_facts(loop.loss, facts["sums"])
        loop.order_of_epoch = self.tensors["order"]
        loop.order.set_state(loop.order_of_epoch)
        self._restore_generators(loop.device)

    def _restore_adam(self, loop: Loop) -> None:
        weights = dict(loop.vae.named_parameters())
        for name, weight in weights.items():
            state = self.part(f"{ADAM}{name}.")
            if state and weight not in loop.optimizer.optim_objs:
                loop.optimizer.optim_objs[weight] = loop.optimizer._get_optim(weight)
                loop.optimizer.grad_clip[weight] = loop.optimizer._get_grad_clip(weight)
        for name, scheduler, memory in _adam(loop):
            state = self.part(f"{ADAM}{name}.")
            for value in memory.values() if not state else ():
                value.zero_()  # as before its first step
            for key, value in state.items():
                if key in memory:
                    memory[key].copy_(value)
                else:
                    memory[key] = value.to("cpu" if key == "step" else loop.device, copy=True)
            scheduler.last_epoch = epochs = self.facts["epoch"]
            scheduler._step_count = epochs + 1
            rate = scheduler.base_lrs[0] * scheduler.lr_lambdas[0](epochs)
            scheduler.optimizer.param_groups[0]["lr"] = rate
            scheduler._last_lr = [rate]
            scheduler.optimizer._opt_called = True

    def _restore_generators(self, device: torch.device) -> None:
        random_state = self.part(RANDOM)
        torch.set_rng_state(random_state["torch"])
        if device.type == "cuda" and "cuda" in random_state:
            torch.cuda.set_rng_state(random_state["cuda"], device)
        name, *rest = self.facts["numpy"]
        np.random.set_state((name, random_state["numpy"].numpy().astype(np.uint32), *rest))
        version, gauss = self.facts["python"]
        random.setstate((version, tuple(random_state["python"].tolist()), gauss))


def _adam(loop: Loop) -> Iterator[tuple[str, Any, dict[str, Tensor]]]:
    """Of each parameter that was trained: its name, its scheduler, and Adam's state."""
    made = loop.optimizer.optim_objs
    for name, weight in loop.vae.named_parameters():
        if weight in made:
            yield name, made[weight], made[weight].optimizer.state[weight]


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in tensors.items()}
