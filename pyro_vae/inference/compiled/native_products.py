"""Ways of making a matrix product that PyTorch has no operators for, in C++."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["native_products"]

SOURCE = Path(__file__).with_suffix(".cpp")


@cache
def native_products() -> Any:
    """The operators, of float32 matrices on a CPU, by their names.

    - ``split_product(left, right, dim)``: along ``dim`` of the product (0: its rows, 1: its
      columns) each thread makes a part with the BLAS. A BLAS by itself may keep a narrow product
      on one thread: MKL takes as long with two threads as with one for 20 rows.
    - ``onednn_product(left, right)``: by oneDNN, which PyTorch offers for weights that never
      change.

    They are compiled at the first call, in two seconds, by Inductor's compiler, which keeps them
    for other processes.

    Returns:
        What has them as attributes; None where they do not compile, with a warning of the reason.
    """
    from torch._inductor.codecache import CppCodeCache  # takes a second to import

    try:
        _declare("split_product(Tensor left, Tensor right, int dim) -> Tensor")
        _declare("onednn_product(Tensor left, Tensor right) -> Tensor")
        CppCodeCache.load(SOURCE.read_text())
    except Exception as error:  # whatever the compiler raises, there is the BLAS
        first = next(iter(str(error).splitlines()), "")
        warnings.warn(
            f"Matrix products are left to the BLAS: {SOURCE.name} did not compile "
            f"({type(error).__name__}: {first})",
            stacklevel=2,
        )
        return None
    return torch.ops.pyro_vae


def _declare(schema: str) -> None:
    name = f"pyro_vae::{schema.partition('(')[0]}"
    torch.library.define(name, schema.removeprefix(name[10:]), tags=torch.Tag.flexible_layout)
    torch.library.register_fake(name)(_without_values)


def _without_values(left: Tensor, right: Tensor, dim: int = 0) -> Tensor:
    return left.new_empty(left.shape[0], right.shape[1])
