"""A model whose classes y are known for some data, and latent for the others."""

from __future__ import annotations

from typing import Any, Self

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer.util import is_validation_enabled
from torch import Tensor, nn

from pyro_vae.core.condition import MISSING, ConditionalModule, bound
from pyro_vae.core.errors import DataError
from pyro_vae.core.modes import evaluating

__all__ = ["LABEL", "LatentClasses"]

LABEL = "label"  # the site of log q(y|x) for the classes that are known


class LatentClasses(ConditionalModule):
    """A model that may sum out its condition, where that is ``semi_supervised``.

    Attributes:
        classifier: Network to the logits of q(y|x); None for a model that sums out nothing.
    """

    classifier: nn.Module | None
    _labels: Tensor | None = None  # of the data whose p(x, y) it is; None where all are missing

    @property
    def sums_out(self) -> bool:
        """Whether y is latent here: p(x) = sum over y of p(y) p(x|y)."""
        return self._latent and self._conditions is None

    @property
    def _latent(self) -> bool:
        return self.condition is not None and self.condition.latent

    @property
    def batch(self) -> tuple[int, ...]:
        """``(N,)``, given N conditions; ``()`` without a condition, or where it is summed out."""
        return () if self.sums_out else super().batch

    def at(self, index: Any) -> Self:
        """Given the conditions at these of its data; without a condition, the model itself."""
        return super().at(index) if self._labels is None else self._unbound(self._labels[index])

    def classify(self, x: Any) -> Tensor:
        """q(y|x): the probability of each class, ``(N, count)``, in evaluation mode.

        Args:
            x: As ``encode`` takes it.

        Raises:
            DataError: if the model's condition is not ``semi_supervised``.
        """
        with torch.no_grad(), evaluating(self):
            return self.with_missing().log_q(self._data(x)).exp()

    def with_missing(self) -> Self:
        """This model with y latent for all data; one that sums out nothing as it is.

        It is what scores are of: they see no labels.
        """
        return self._unbound(None) if self._latent else self

    def most_probable(self, x: Tensor) -> Self:
        """This model given the most probable class of each datum, where y is latent."""
        return self.given(self.log_q(self._data(x)).argmax(1)) if self.sums_out else self

    def completed(self, x: Tensor, classes: Tensor | None) -> Tensor | None:
        """Classes, with the most probable one where it is missing; others as they are."""
        if classes is None or not self._latent or not (classes == MISSING).any():
            return classes
        probable = self.classify(x).argmax(1).to(classes)
        return torch.where(classes == MISSING, probable, classes)

    def each_class(self) -> Self:
        """Given each class at once, where y is latent: what it computes is ``(K, N, ...)``."""
        if not self.sums_out:
            return self
        return self._bound(torch.arange(len(self.log_p)).unsqueeze(1))

    @property
    def log_p(self) -> Tensor:
        """The log of p(y), ``(K, 1)``; given some classes ``(K, N)``, and -inf at the others."""
        log_p: Tensor = self._prior_of_classes.logits.unsqueeze(1)
        if self._labels is None:
            return log_p
        labels = self._labels.to(log_p.device)
        possible = (labels == MISSING) | (labels == torch.arange(len(log_p)).to(labels)[:, None])
        return torch.where(possible, log_p, -torch.inf)

    @property
    def _prior_of_classes(self) -> dist.Categorical:
        c: Any = self.condition
        return dist.Categorical(logits=c.log_prior)

    def log_q(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """The log of q(y|x), ``(N, K)``; at a class that is known, that of a point mass there.

        Raises:
            DataError: if the model's condition is not ``semi_supervised``.
        """
        if self.classifier is None:
            known = "none" if self.condition is None else self.condition.kind
            raise DataError(
                "Expected a model that classifies, with condition: {kind: semi_supervised, "
                f"count: ...}}, got one with condition: {known}"
            )
        log_q: Tensor = self.classifier(x).log_softmax(-1)
        labels = self._labels if labels is None else labels
        if labels is None:
            return log_q
        if len(labels) != len(x):
            raise DataError(
                f"condition: expected one for each of {len(x)} data, got {len(labels)}"
            )
        labels = labels.to(x.device).unsqueeze(-1)
        there = labels == torch.arange(log_q.shape[-1], device=x.device)
        return torch.where(labels == MISSING, log_q, there.to(log_q).log())

    def _given(self, c: Tensor) -> Self:
        """A view given classes; with some missing, its networks know none."""
        if not self._latent or not (c == MISSING).any():
            return self._bound(c)
        return self._unbound(c)

    def _unbound(self, labels: Tensor | None) -> Self:
        view = bound(self, None)
        view.__dict__.update(_labels=labels, _conditions=None)
        return view

    def _bound(self, c: Tensor) -> Self:
        view = super()._bound(c)
        view.__dict__["_labels"] = None
        return view

    def _for_new(self, condition: Any, size: int) -> Self:
        """Given a condition of new data; where y is latent and none is given, y ~ p(y)."""
        vae = self.given(condition, size)
        if condition is None and vae.sums_out:
            return vae._bound(self._prior_of_classes.sample(torch.Size([size])))
        return vae

    def _in_program(
        self, condition: Tensor | None, x: Tensor | None = None, *, guide: bool = False
    ) -> Self:
        """The model within its programs, where a latent y is a site of each of them."""
        c: Any = self.condition
        if not self._latent or (condition is None and not self.sums_out):
            return super()._in_program(condition)
        if condition is not None and is_validation_enabled():
            condition = c.rows(condition)
        labels = self._labels if condition is None else condition
        if guide:
            assert x is not None
            q = dist.Categorical(logits=self.log_q(x, labels))
            return self._bound(pyro.sample("y", q, infer={"enumerate": "parallel"}))
        y = pyro.sample("y", self._prior_of_classes)
        if x is not None and labels is not None and c.weight:
            labels = labels.to(x.device)
            known: Any = labels != MISSING
            with poutine.scale(scale=c.weight), poutine.mask(mask=known):
                q = dist.Categorical(logits=self.with_missing().log_q(x))
                pyro.sample(LABEL, q, obs=labels.clamp(min=0))
        return self._bound(y)
