"""Data held to a likelihood's support, before anything is trained."""

from __future__ import annotations

import warnings

from torch import Tensor, nn
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.core.missing import REMEDY, Missing
from pyro_vae.core.network import Network
from pyro_vae.data.checks import first_where, locate
from pyro_vae.data.dataset import DataSet, Split

__all__ = ["check_support", "check_values", "warn_of_raw_counts"]

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
        bad = split.x.isnan()
        if bad.any():
            raise IncompatibleComponents(
                f"Expected data without missing values, got {name}: {locate(bad, split.x)}"
                f"{_row_as_read(bad, split)}; fill them in, {REMEDY}"
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
    largest, typical = x.max().item(), x.square().mean().sqrt().item()
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
    possible = [split.x.floor(), split.x.ceil()] if split.dynamic else [split.x]
    for x in possible:  # the least and the greatest that a draw can be, or the data
        bad: Tensor = ~support.check(x)
        bad = bad & ~x.isnan() if bad.shape == x.shape else bad
        if bad.any():
            return f"{name}: {locate(bad, x)}{_row_as_read(bad, split)}"
    return ""


def _row_as_read(bad: Tensor, split: Split) -> str:
    if split.rows is None:
        return ""
    return f" (row {split.rows[first_where(bad)[0]]} as it was read)"
