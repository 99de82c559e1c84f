"""Brings a new ``CompiledSVI`` to where another one was, for a run that is resumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyro_vae.compiled.signature import signature
from pyro_vae.compiled.svi import CompiledSVI
from pyro_vae.compiled.variants import RARE

__all__ = ["recall"]


def recall(svi: CompiledSVI, seen: Sequence[tuple[tuple[Any, ...], int]], done: int) -> None:
    """Capture what another ``CompiledSVI`` had captured, so that both go on to the same bit.

    The steps that this takes are steps like any other. Afterwards the caller undoes what they
    changed: in place the parameters, the optimizers' state and the buffers; and the generators.

    Args:
        svi: A new one, before its first step.
        seen: Arguments of ``step`` for each layout, in the order in which they first came, and
            how many steps the other one made of it, its very first step not counted.
        done: How many steps there were in all, from which on steps are counted.
    """
    svi.step(*seen[0][0])
    for args, made in seen:
        key = signature(args, {})[0], svi._program.number
        variant = svi._variants.find(key, svi._program.change)
        variant.made = min(made, 0 if variant.first else RARE)
        for _ in range(min(made - variant.made, 2)):
            svi.step(*args)
        variant.made = max(made, variant.made)
    svi.check()
    svi._steps = svi._checked = done
