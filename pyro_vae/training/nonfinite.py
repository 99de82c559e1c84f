"""What becomes of a training at a step that is not finite: ``train.on_nonfinite``."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from pyro_vae.compiled.finite import all_finite, bad_step
from pyro_vae.core.errors import NonFiniteLoss
from pyro_vae.training.snapshot import Snapshot

if TYPE_CHECKING:
    from pyro_vae.training.loop import Loop

__all__ = ["OnNonFinite", "keep_for_rollback", "report_skipped", "roll_back"]

OnNonFinite = Literal["stop", "skip", "rollback"]
EVERY = 5  # epochs between two states to go back to, where no checkpoints are declared


def keep_for_rollback(loop: Loop) -> None:
    """Keep the state to go back to: of the start, and of every epoch that has a checkpoint."""
    how, epochs = loop.settings.checkpoint, len(loop.result.history)
    if loop.settings.on_nonfinite == "rollback" and epochs % (how.every if how else EVERY) == 0:
        loop.kept = Snapshot.of(loop)


def roll_back(loop: Loop, error: NonFiniteLoss) -> int:
    """Go back to the state that was kept, with half the learning rate from there on.

    Returns:
        How many steps are undone.

    Raises:
        NonFiniteLoss: if that was not asked for, or was done too often.
    """
    settings, kept = loop.settings, loop.kept
    if settings.on_nonfinite != "rollback" or kept is None:
        raise error
    if loop.rollbacks == settings.max_rollbacks:
        raise NonFiniteLoss(
            f"{error}. This is after {loop.rollbacks} rollbacks (train.max_rollbacks), each with "
            f"half the learning rate: it is not the learning rate"
        ) from None
    before, epoch = loop.done, kept.facts["epoch"]
    kept.facts["rollbacks"] = loop.rollbacks + 1
    kept.restore(loop)
    loop.stepper.rewind(loop.done)
    warnings.warn(
        f"{error}. Rollback {loop.rollbacks} of at most {settings.max_rollbacks}: training goes "
        f"on from epoch {epoch} with 1/{2**loop.rollbacks} of the declared learning rate",
        stacklevel=2,
    )
    return before - loop.done


def report_skipped(loop: Loop, epoch: int, order: Tensor) -> None:
    """Say which steps of an epoch were skipped, and why the first was.

    Raises:
        NonFiniteLoss: if it was every step of the epoch.
    """
    skipped, steps = sorted(loop.sums.skipped), -(-loop.size // loop.settings.batch_size)
    if not loop.stepper.skips or not skipped:
        return
    reason = loop.reasons.get(skipped[0])
    if reason is None:  # a compiled step, which Pyro's own explains; it shall change nothing
        now, place = Snapshot.of(loop), loop.order.get_state()
        number = (epoch - 1) * steps + skipped[0]
        reason = loop.named(bad_step(number, kept=True), epoch, skipped[0], order)
        now.restore(loop)
        loop.order.set_state(place)
    if not all_finite(loop.vae.parameters()):
        raise NonFiniteLoss(
            f"{reason}. Weights are not finite either, which no skipped step mends: go back to a "
            f"checkpoint, as train.on_nonfinite=rollback does"
        )
    if len(skipped) == steps:
        raise NonFiniteLoss(f"{reason}. So is every step of the epoch: none is left to train on")
    warnings.warn(
        f"Skipped {len(skipped)} of the {steps} steps of epoch {epoch}. The first: {reason}",
        stacklevel=2,
    )
