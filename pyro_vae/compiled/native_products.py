"""Ways of making a matrix product that PyTorch has no operators for, in C++."""

from __future__ import annotations

import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["binary_product", "narrow_product", "native_products", "tile_product"]

HERE = Path(__file__).parent
PLAIN = "(Tensor left, Tensor right)"


@cache
def native_products() -> Any:
    """The operators, of float32 matrices on a CPU, by their names.

    - ``split_product(left, right, dim)``: along ``dim`` of the product (0: its rows, 1: its
      columns) each thread makes a part with the BLAS, which by itself may share a narrow product
      out badly, or not at all.
    - ``onednn_product(left, right)``: by oneDNN, which PyTorch offers for weights that never
      change.

    They are compiled at the first call, in two seconds, by Inductor's compiler, which keeps them
    for other processes.

    Returns:
        What has them as attributes; None where they do not compile, with a warning of the reason.
    """
    schemas = {"split_product": "(Tensor left, Tensor right, int dim)"}
    schemas["onednn_product"] = PLAIN
    return None if _loaded(schemas, "native_products.cpp") is None else torch.ops.pyro_vae


@cache
def binary_product() -> Any:
    """An operator for float32 matrices of which one holds noughts and ones alone.

    ``binary_product(left, right, side)``: of ``left`` (side 0) or ``right`` (1). Four terms of
    a sum have sixteen values, which are made once for a row of the other matrix and looked up in
    a register, for sixteen sums at a time. The sums are as exact as the BLAS's. If the
    matrix holds anything else after all, or the other one an infinity or a NaN, the BLAS makes
    the product.

    Returns:
        The operator; None where the processor has no AVX-512 or PyTorch does not use it, and,
        with a warning of the reason, where it does not compile.

    References:
        | V. L. Arlazarov, E. A. Dinic, M. A. Kronrod, I. A. Faradzev, "On economical construction
        | of the transitive closure of a directed graph", 1970
    """
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return None
    schema = {"binary_product": "(Tensor left, Tensor right, int side)"}
    library = _loaded(schema, "matrix_lines.h", "binary_products.cpp")
    return torch.ops.pyro_vae.binary_product if library else None


@cache
def narrow_product() -> Any:
    """An operator for float32 matrices of few rows, columns or terms.

    ``narrow_product(left, right)`` reads both matrices where they lie. A BLAS packs them first,
    which takes as long as the product itself where each number is used a few dozen times only.

    Returns:
        The operator; None where the processor has no AVX-512 or PyTorch does not use it, and,
        with a warning of the reason, where it does not compile.
    """
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return None
    library = _loaded({"narrow_product": PLAIN}, "matrix_lines.h", "narrow_products.cpp")
    return torch.ops.pyro_vae.narrow_product if library else None


@cache
def tile_product() -> Any:
    """An operator that makes a product of float32 matrices on Intel's matrix tiles (AMX).

    Tiles multiply bfloat16 numbers alone, and add in float32. Each float32 is the sum of three
    such numbers, and of the products of their parts those are added up that float32 does not
    round away: what comes is no less exact than the BLAS's float32. A matrix with an infinity, a
    NaN or a number beyond 3.39e38 is left to the BLAS; numbers below 1e-32 have fewer digits than
    float32's. Each thread that has used it keeps up to 1.5 MiB until it ends.

    Returns:
        The operator; None where the processor or the system has no tiles, and, with a warning of
        the reason, where it does not compile.
    """
    if sys.platform != "linux" or not torch.cpu.get_capabilities().get("amx_bf16", False):
        return None
    sources = "matrix_lines.h", "tile_packing.h", "tile_products.cpp"
    library = _loaded({"tile_product": PLAIN}, *sources)
    return torch.ops.pyro_vae.tile_product if library and library.has_tiles() else None


def _loaded(schemas: dict[str, str], *sources: str) -> Any:
    """The library of operators that files in C++ compile to, one after the other."""
    from torch._inductor.codecache import CppCodeCache  # takes a second to import

    try:
        for name, arguments in schemas.items():
            _declare(f"pyro_vae::{name}", arguments)
        return CppCodeCache.load("".join((HERE / source).read_text() for source in sources))
    except Exception as error:  # whatever the compiler raises, there is the BLAS
        first = next(iter(str(error).splitlines()), "")
        warnings.warn(
            f"Matrix products are left to the BLAS: {sources[-1]} did not compile "
            f"({type(error).__name__}: {first})",
            stacklevel=3,
        )
        return None


def _declare(name: str, arguments: str) -> None:
    torch.library.define(name, f"{arguments} -> Tensor", tags=torch.Tag.flexible_layout)
    torch.library.register_fake(name)(_without_values)


def _without_values(left: Tensor, right: Tensor, which: int = 0) -> Tensor:
    return left.new_empty(left.shape[0], right.shape[1])
