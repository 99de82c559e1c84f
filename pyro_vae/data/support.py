"""Data held to a likelihood's support, before anything is trained."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.core.missing import REMEDY, Missing
from pyro_vae.core.network import Network
from pyro_vae.data.checks import first_where, locate
from pyro_vae.data.chunks import rows_at_once
from pyro_vae.data.dataset import DataSet, Split

__all__ = ["check_support", "check_values", "warn_of_raw_counts"]

Check = Callable[[Tensor], Tensor]
LARGE = 10.0
WORDS = {
    constraints.boolean: "0 or 1",
    constraints.nonnegative_integer: "whole numbers from 0",
    constraints.nonnegative: "numbers from 0",
    constraints.positive: "numbers above 0",
    constraints.unit_interval: "numbers in [0, 1]",
    constraints.real: "real numbers",
}


def check_support(likelihood: Likelihood, data: DataSet, missing: Missing = "refuse") -> None:
    """Refuse data that the likelihood gives no density to.

    A split that is drawn for every batch is judged by what it can become, not by its grey
    intensities.

    Args:
        likelihood: Its ``support`` says which values a datum may have.
        data: All three splits are checked.
        missing: Whether the model takes NaN for a missing value.

    Raises:
        IncompatibleComponents: naming, for each split, how many values are outside, where the
            first one is, and what to do.

    Example:
        >>> from pyro_vae.data import Digits
        >>> from pyro_vae.likelihoods import Bernoulli
        >>> check_support(Bernoulli(event_shape=(1, 8, 8)), Digits(binarization="static").load())
        >>> check_support(Bernoulli(event_shape=(1, 8, 8)), Digits().load())
        Traceback (most recent call last):
        ...
        pyro_vae.core.errors.IncompatibleComponents: bernoulli: expected data of 0 or 1, got ...
    """
    if missing == "refuse":
        _check_complete(data)
    support = likelihood.support
    if constraints.is_dependent(support):
        return
    found = [
        text for name, split in data.splits.items() if (text := _outside(support, name, split))
    ]
    if found:
        raise IncompatibleComponents(
            f"{likelihood.kind}: expected data of {_words(support)}, got others in "
            f"{data.identity}:\n"
            + "\n".join(f"  {line}" for line in found)
            + f"\n{likelihood.remedies}"
        )


def _check_complete(data: DataSet) -> None:
    for name, split in data.splits.items():
        if text := _where(torch.isnan, split):
            raise IncompatibleComponents(
                f"Expected data without missing values, got {name}: {text}; fill them in, {REMEDY}"
            )


def check_values(likelihood: Likelihood, x: Tensor) -> None:
    """Refuse new data, ``(N, *event_shape)``, that the likelihood gives no density to.

    Raises:
        IncompatibleComponents: saying how many values are outside, and where the first one is.
    """
    support = likelihood.support
    if not constraints.is_dependent(support) and (text := _outside(support, "x", Split(x))):
        raise IncompatibleComponents(
            f"{likelihood.kind}: expected data of {_words(support)}, got others:\n  {text}\n"
            f"{likelihood.remedies}"
        )


def warn_of_raw_counts(likelihood: Likelihood, encoder: nn.Module, data: DataSet) -> None:
    """Warn where large and rare counts would go as they are into an encoder that can do better.

    One that normalizes its batches is left alone: with ProdLDA's, log1p was no better.
    """
    counts = likelihood.support is constraints.nonnegative_integer
    normalized = any(isinstance(module, nn.BatchNorm1d) for module in encoder.modules())
    declared = encoder.declaration if isinstance(encoder, Network) else None
    if not counts or normalized or not isinstance(declared, dict):
        return
    x = data.train.x
    largest, typical = x.max().item(), x.norm().item() / x.numel() ** 0.5
    if declared.get("input") == "none" and largest > LARGE * max(1.0, typical):
        warnings.warn(
            f"Expected counts without outliers at the encoder's input, got up to {largest:g}, "
            f"where their root mean square is {typical:.2g}; give the encoder log(1 + x), with "
            f"input: log1p (guide.encoder.input)",
            stacklevel=5,
        )


def _words(support: Constraint) -> str:
    if isinstance(support, constraints.integer_interval):
        return f"whole numbers from {support.lower_bound} to {support.upper_bound}"
    return WORDS.get(support, str(support))


def _outside(support: Constraint, name: str, split: Split) -> str:
    """Which of a split's values are outside, in words; empty if none is."""

    def bad(x: Tensor) -> Tensor:
        outside: Tensor = ~support.check(x)
        return outside & ~x.isnan() if outside.shape == x.shape else outside

    views = [torch.floor, torch.ceil] if split.dynamic else [torch.positive]
    for view in views:  # the least and the greatest that a draw can be, or the data
        if text := _where(bad, split, view):
            return f"{name}: {text}"
    return ""


def _where(bad: Check, split: Split, view: Check = torch.positive) -> str:
    """Where a split's values are bad, in words; empty if none is.

    They are judged part by part. Of data that stream, those of the first bad part are counted.
    """
    count = rows_at_once(split.x.shape[1:])
    for start in range(0, len(split), count):
        part = split.x[start : start + count]
        if not bad(view(part)).any():
            continue
        x, first = (part, start) if split.streams else (split.x, 0)
        found = bad(view(x))
        row = first + first_where(found)[0]
        among = f" of those counted from row {first:,}" if first else ""
        read = "" if split.rows is None else f" (row {split.rows[row]} as it was read)"
        return f"{locate(found, view(x))}{among}{read}"
    return ""
