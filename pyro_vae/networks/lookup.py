"""Free parameters for each datum, looked up by its values, in place of an encoder."""

from __future__ import annotations

import math
from typing import Any

import torch
from pyro.infer.util import is_validation_enabled
from torch import Tensor, nn

from pyro_vae.core.condition import Condition, Conditioned
from pyro_vae.core.declaration import Declared
from pyro_vae.core.errors import DataError, IncompatibleComponents
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.core.missing import Gaps
from pyro_vae.core.network import BatchedNetwork
from pyro_vae.core.posterior import Posterior
from pyro_vae.networks.conditioned import network_given
from pyro_vae.networks.encoder_input import EncoderInput
from pyro_vae.networks.module_network import network_for

__all__ = ["Lookup", "classifier_for", "encoder_for", "keys_of"]

GOLDEN, FIRST, SECOND = (
    value - 2**64 for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
CHUNK = 1000
SPEED = 20.0


def keys_of(x: Tensor) -> Tensor:
    r"""A 64-bit key for each datum, from its values alone: ``(N, *event_shape)`` to ``(N,)``.

    .. math:: \sum_d \mathrm{mix}(\mathrm{bits}(x_d) + d \cdot \lfloor 2^{64} / \phi \rceil)
              \bmod 2^{64}

    with mix the finalizer of SplitMix64. Integer arithmetic is exact, so a datum has the same key
    on every device, in every batch, and in every precision that represents it exactly.

    References:
        | Fast splittable pseudorandom number generators (Steele, Lea and Flood, 2014)
        | https://doi.org/10.1145/2660193.2660195

    Example:
        >>> x = torch.randn(5, 3)
        >>> torch.equal(keys_of(x)[2:3], keys_of(x[2:3].double()))
        True
    """
    size = math.prod(x.shape[1:])
    values = x.reshape(len(x), size).double()
    values = torch.where(values.isnan(), math.nan, values)  # a missing value has one pattern
    bits = torch.where(values == 0, 0.0, values).view(torch.int64)  # -0.0 is 0.0
    mixed = bits + GOLDEN * torch.arange(1, size + 1, device=x.device)
    mixed = _folded(mixed, 30) * FIRST
    mixed = _folded(mixed, 27) * SECOND
    return _folded(mixed, 31).sum(-1)


def _folded(bits: Tensor, by: int) -> Tensor:
    """Each number, XORed with its high bits shifted down; a bijection."""
    return bits ^ ((bits >> by) & ((1 << (64 - by)) - 1))


class Lookup(BatchedNetwork, Conditioned):
    """A table with one row of free parameters for each training datum, in place of an encoder.

    ``initialize`` creates the rows. Until then the table holds one datum, zeros, so that a
    model's shapes can be checked. Equal data share a row. Entries start at 0, and have twenty
    times a weight's learning rate, since each is updated only once an epoch.
    With a condition, data are equal where their conditions are too.

    A datum that is not in the table raises an error while Pyro's validation is on. While it is
    off, as in the training loop, its parameters are NaN, so that nothing waits for the device.

    Shapes:
        maps ``(*, *input_shape)`` to ``(*, *output_shape)``.

    Args:
        input_shape: Shape of one datum.
        output_shape: Shape of one datum's parameters.
        name: Its name in messages: the kind of its posterior.
        declaration: Declaration of the encoder that it replaces, kept for ``swap``.
        condition_shape: Shape of a datum's condition; None without.

    Raises:
        DataError: for a datum that is not in the table.

    References:
        | Variational inference: a review for statisticians (Blei, Kucukelbir and McAuliffe, 2017)
        | https://arxiv.org/abs/1601.00670

    Example:
        >>> lookup, x = Lookup((3,), (2, 4), "per_example"), torch.randn(5, 3)
        >>> lookup.initialize(x)
        >>> lookup(x[:2]).shape
        torch.Size([2, 2, 4])
    """

    keys: Tensor

    def __init__(
        self,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        name: str,
        declaration: Any = None,
        condition_shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(input_shape, output_shape)
        self.name, self.declaration = name, declaration
        self.condition_shape = condition_shape
        more = 0 if condition_shape is None else math.prod(condition_shape)
        self.register_buffer("keys", keys_of(torch.zeros(1, math.prod(input_shape) + more)))
        self.table = nn.Parameter(torch.zeros(1, *output_shape))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Create one row for each datum of ``x``, ``(N, *input_shape)``.

        A datum that is in the table keeps its row; any other starts at 0, and rows of other data
        are dropped. If this changes the table, ``table`` is a new parameter: create the optimizer
        afterwards.

        Raises:
            DataError: if there are no data, or two that differ have one key (for a million data,
                a chance of about 1 in 40 million).
        """
        x = self._with_condition(x)
        if not len(x):
            raise DataError(f"{self.name}: expected at least one datum to hold, got none")
        found = torch.cat([keys_of(part) for part in x.split(CHUNK)])
        sorted_keys, order = found.sort()
        repeated = sorted_keys[1:] == sorted_keys[:-1]
        one, other = x[order[1:][repeated]], x[order[:-1][repeated]]
        if ((one != other) & ~(one.isnan() & other.isnan())).any():
            raise DataError(
                f"{self.name}: expected a key of its own for each datum, but two that differ have "
                f"the same; change any value of one of them by a little"
            )
        keys = sorted_keys[~nn.functional.pad(repeated, (1, 0))].to(self.keys.device)
        if torch.equal(keys, self.keys):
            return
        row, known = self._rows(keys)
        table = self.table.new_zeros(len(keys), *self.output_shape)
        table[known] = self.table[row[known]]
        self.keys = keys
        self.table = nn.Parameter(table, requires_grad=self.table.requires_grad)

    def transform(self, x: Tensor) -> Tensor:
        """The row of each datum."""
        row, known = self._rows(keys_of(self._with_condition(x)))
        if is_validation_enabled() and not known.all():
            self._refuse(known)
        known = known.reshape(len(x), *[1] * len(self.output_shape))
        return torch.where(known, SPEED * self.table[row], math.nan)

    def extra_repr(self) -> str:
        """How many data there are, and the shape of their parameters."""
        return f"{len(self.keys)} x {self.output_shape}"

    @property
    def label(self) -> str:
        """The name that messages give it."""
        return self.name

    def _rows(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """The row of each key, and whether it has one; without one, the row is arbitrary."""
        row = torch.searchsorted(self.keys, keys).clamp(max=len(self.keys) - 1)
        return row, self.keys[row] == keys

    def _with_condition(self, x: Tensor) -> Tensor:
        """What a datum is looked up by: its values, and its condition."""
        if self.condition_shape is None:
            return x
        c = self.known(x)
        if len(c) != len(x):
            raise DataError(f"condition: expected one for each of {len(x)} data, got {len(c)}")
        return torch.cat([x.flatten(1), c.reshape(len(c), -1).to(x)], 1)

    def _refuse(self, known: Tensor) -> None:
        others = (~known).nonzero().flatten().tolist()
        raise DataError(
            f"{self.name} holds parameters only for the data that it was trained on: expected "
            f"some of those {len(self.keys)}, got {len(others)} others among {len(known)} (first "
            f"rows: {others[:5]}). Score the training data (split='train', or --split train), or "
            f"use an amortized posterior, such as diagonal_normal, to encode new data; before "
            f"training, vae.initialize(x) hands the data over, as fit does"
        )

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        """Resize the table to the saved one."""
        keys, table = (state_dict.get(prefix + name) for name in ("keys", "table"))
        fits = keys is not None and table is not None and len(keys) == len(table)
        if fits and len(keys) != len(self.keys) and table.shape[1:] == self.table.shape[1:]:
            self.keys = self.keys.new_zeros(len(keys))
            self.table = nn.Parameter(self.table.new_zeros(table.shape), self.table.requires_grad)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def encoder_for(
    declared: Declared | nn.Module,
    likelihood: Likelihood,
    posterior: Posterior,
    *,
    missing: Gaps = "none",
    condition: Condition | None = None,
) -> nn.Module:
    """The encoder that a posterior needs: the declared one, or a table of free parameters.

    Where values may be ``missing``, the declared one sees which are; where the likelihood
    has features of its own, it sees those; and with a condition, its embedding too.

    Raises:
        IncompatibleComponents: if a table would replace a ready module, whose weights would not
            be used; a declaration is kept, and not built.
    """
    event_shape = likelihood.event_shape
    own = type(likelihood).features is not Likelihood.features
    if posterior.amortized and (missing != "none" or own):
        shape = posterior.parameter_shape
        return EncoderInput(declared, likelihood, shape, missing=missing, condition=condition)
    if posterior.amortized:
        return network_given(declared, condition, event_shape, posterior.parameter_shape)
    if isinstance(declared, Declared):
        return Lookup(
            event_shape, posterior.parameter_shape, posterior.kind, declared.mapping,
            None if condition is None else condition.shape,
        )  # fmt: skip
    raise IncompatibleComponents(
        f"encoder: expected none, since {posterior.kind} has free parameters for each datum, got "
        f"a module of type {type(declared).__name__}, which would get no use; leave it out, or "
        f"give a name"
    )


def classifier_for(
    condition: Any, likelihood: Likelihood, posterior: Posterior, missing: Gaps
) -> nn.Module | None:
    """The classifier of a condition that may be missing, which sees x as an encoder does.

    Raises:
        IncompatibleComponents: if the posterior is not amortized.
    """
    if condition is None or not condition.latent:
        return None
    if not posterior.amortized:
        raise IncompatibleComponents(
            f"condition: {condition.kind} needs q(z|x, y) for every class y: expected an "
            f"amortized posterior, got {posterior.kind}; choose another, such as diagonal_normal"
        )
    part, shape = condition.classifier, (condition.size,)
    if missing != "none" or type(likelihood).features is not Likelihood.features:
        return EncoderInput(part, likelihood, shape, missing=missing)
    return network_for(part, likelihood.event_shape, shape)
