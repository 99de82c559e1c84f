"""The same steps, by Pyro's SVI and by the compiled one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyro
import torch
from pyro.infer import SVI
from torch import Tensor

from pyro_vae.compiled import CompiledSVI
from tests.compiled.programs import Program

STEPS = 60


def adam() -> Any:
    """Pyro's Adam."""
    return pyro.optim.Adam({"lr": 1e-2})


def trained(
    kind: type[SVI],
    make: Callable[[], Program],
    optimizer: Callable[[], Any] = adam,
    steps: int = STEPS,
    each: Callable[[int, SVI], Any] = lambda number, svi: None,
    **options: Any,
) -> tuple[Tensor, dict[str, Tensor], SVI]:
    """The losses, the parameters and the SVI after some steps from one seed."""
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    program = make()
    svi = kind(program.model, program.guide, optimizer(), program.loss, **options)
    losses = []
    for number in range(steps):
        losses.append(torch.as_tensor(svi.step(*program.arguments), dtype=torch.float32))
        each(number, svi)
    store = pyro.get_param_store()
    return torch.stack(losses), {k: v.detach().clone() for k, v in store.items()}, svi


def assert_equal(
    ours: tuple[Tensor, dict[str, Tensor], SVI], pyros: tuple[Tensor, dict[str, Tensor], SVI]
) -> None:
    """The compiled one has been compiled, and did what Pyro's did, to float tolerance."""
    assert isinstance(ours[2], CompiledSVI)
    assert ours[2].compiled
    torch.testing.assert_close(ours[0], pyros[0], rtol=1e-3, atol=1e-3)
    assert ours[1].keys() == pyros[1].keys()
    for name, value in pyros[1].items():
        torch.testing.assert_close(ours[1][name], value, rtol=1e-3, atol=1e-3, msg=name)


def same(make: Callable[[], Program], **options: Any) -> CompiledSVI:
    """Hold the compiled SVI to Pyro's."""
    pyros = trained(SVI, make, **options)
    ours = trained(CompiledSVI, make, **options)
    assert_equal(ours, pyros)
    assert isinstance(ours[2], CompiledSVI)
    return ours[2]
