"""The ELBO as Pyro losses that remember their terms and report where a loss is not finite."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import pyro.infer
import torch
from pyro.distributions.util import scale_and_mask
from pyro.infer.util import torch_item
from pyro.poutine import Trace
from torch import Tensor

from pyro_vae.core.errors import IncompatibleComponents, NonFiniteLoss
from pyro_vae.objectives.kl import kl_exact, kl_method

__all__ = ["TraceExactKL_ELBO", "Trace_ELBO"]


class Trace_ELBO(pyro.infer.Trace_ELBO):  # noqa: N801
    """Pyro's ``Trace_ELBO``, value and gradient unchanged, which remembers its terms.

    After each loss, ``log_likelihood`` and ``kl`` hold the two terms in nats, summed over the
    batch and averaged over the particles, detached. A loss that is not finite raises before any
    gradient is taken, so that the parameters stay those of the last good step.

    Args:
        **options: Those of Pyro's class, such as ``num_particles``.

    Raises:
        NonFiniteLoss: naming the site, the term and the rows of the batch.
    """

    bound: Tensor | None = None  # what was maximized, where that is not log_likelihood - kl

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.log_likelihood: Tensor = torch.zeros(())
        self.kl: Tensor = torch.zeros(())

    def begin_epoch(self, epoch: int) -> None:
        """Called before each epoch, from 1 on; a loss with a schedule updates its tensors here."""

    def _get_traces(
        self, model: Any, guide: Any, args: Any, kwargs: Any
    ) -> Iterator[tuple[Trace, Trace]]:
        self.log_likelihood, self.kl = torch.zeros(()), torch.zeros(())
        for model_trace, guide_trace in super()._get_traces(model, guide, args, kwargs):
            self._remember(model_trace, guide_trace)
            yield model_trace, guide_trace

    def _remember(self, model_trace: Trace, guide_trace: Trace) -> None:
        for _, site in _samples(model_trace):
            value = site["log_prob_sum"].detach() / self.num_particles
            if site["is_observed"]:
                self.log_likelihood = self.log_likelihood + value
            else:
                self.kl = self.kl - value
        for _, site in _samples(guide_trace):
            self.kl = self.kl + site["log_prob_sum"].detach() / self.num_particles

    def _differentiable_loss_particle(
        self, model_trace: Trace, guide_trace: Trace
    ) -> tuple[Any, Any]:
        loss, surrogate = super()._differentiable_loss_particle(model_trace, guide_trace)
        _check_finite(loss, model_trace, guide_trace)
        return loss, surrogate


class TraceExactKL_ELBO(Trace_ELBO):  # noqa: N801
    """The ELBO with the KL of each latent site by its hand-written closed form.

    It differs from Pyro's ``TraceMeanField_ELBO`` where that one is silent: a site without a
    closed form raises (or, with ``kl="auto"``, is sampled and listed in ``methods``), and a guide
    whose sites come in another order than the model's, or are scaled otherwise, is refused.

    Args:
        kl: ``exact`` or ``auto``.
        **options: Those of Pyro's class, such as ``num_particles``.

    Raises:
        NoClosedFormKL: if ``kl`` is ``exact`` and a site has none.
        IncompatibleComponents: if model and guide differ in order, scale or mask, have
            auxiliary sites, or the guide is not reparameterized.
        NonFiniteLoss: naming the site, the term and the rows of the batch.
    """

    def __init__(self, kl: Literal["exact", "auto"] = "exact", **options: Any) -> None:
        super().__init__(**options)
        self.divergence = kl
        self.methods: dict[str, str] = {}

    def _remember(self, model_trace: Trace, guide_trace: Trace) -> None:
        """Nothing yet: the terms are known only with the loss."""

    def loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> float:
        """The negative ELBO in nats, summed over the batch."""
        with torch.no_grad():
            return float(torch_item(self.differentiable_loss(model, guide, *args, **kwargs)))

    def _differentiable_loss_particle(
        self, model_trace: Trace, guide_trace: Trace
    ) -> tuple[Any, Any]:
        _check_same_latents(model_trace, guide_trace)
        log_likelihood: Any = torch.zeros(())
        kl: Any = torch.zeros(())
        for name, site in _samples(model_trace):
            if site["is_observed"]:
                log_likelihood = log_likelihood + site["log_prob_sum"]
            else:
                kl = kl + self._site_kl(name, site, guide_trace.nodes[name])
        self.log_likelihood = self.log_likelihood + log_likelihood.detach() / self.num_particles
        self.kl = self.kl + kl.detach() / self.num_particles
        surrogate = kl - log_likelihood
        loss = torch_item(surrogate.detach())
        _check_finite(loss, model_trace, guide_trace)
        return loss, surrogate

    def _site_kl(self, name: str, model_site: Any, guide_site: Any) -> Tensor:
        q, p = guide_site["fn"], model_site["fn"]
        self.methods[name] = kl_method(q, p, self.divergence)
        if self.methods[name] == "sampled":
            return guide_site["log_prob_sum"] - model_site["log_prob_sum"]
        kl = scale_and_mask(kl_exact(q, p), guide_site["scale"], guide_site["mask"])
        return kl.sum()


def _samples(trace: Trace) -> list[tuple[str, Any]]:
    """The sample sites of a trace, without those of its plates."""
    return [
        (name, site)
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and type(site["fn"]).__name__ != "_Subsample"
    ]


def _check_same_latents(model_trace: Trace, guide_trace: Trace) -> None:
    in_model = [name for name, site in _samples(model_trace) if not site["is_observed"]]
    in_guide = [name for name, _ in _samples(guide_trace)]
    if in_model != in_guide:
        raise IncompatibleComponents(
            f"Expected model and guide to sample the same sites in the same order, got "
            f"{in_model} and {in_guide}; an exact KL would be wrong there: use Trace_ELBO"
        )
    for name in in_model:
        model_site, guide_site = model_trace.nodes[name], guide_trace.nodes[name]
        q: Any = guide_site["fn"]
        if not q.has_rsample:
            raise IncompatibleComponents(
                f"Site {name!r}: expected a reparameterized guide, got "
                f"{type(q).__name__}, which has no rsample: use Trace_ELBO"
            )
        if not (
            _same(model_site["scale"], guide_site["scale"])
            and _same(model_site["mask"], guide_site["mask"])
        ):
            raise IncompatibleComponents(
                f"Site {name!r}: expected one scale and one mask in model and guide, got others "
                f"in each; a closed-form KL has no meaning there: scale both alike"
            )


def _same(a: Any, b: Any) -> bool:
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        return bool(a == b)
    if a is None or b is None:
        return False
    first, second = torch.as_tensor(a), torch.as_tensor(b)
    return first.shape == second.shape and bool((first == second).all())


def _check_finite(loss: float | Tensor, model_trace: Trace, guide_trace: Trace) -> None:
    if isinstance(loss, Tensor) or math.isfinite(loss):
        return  # a tensor means that the loss is being captured: its value is never read
    named = [("q", guide_trace), ("p", model_trace)]
    for side, trace in named:
        for name, site in _samples(trace):
            value, event_dim = site["value"], site["fn"].event_dim
            for what, bad in (
                (f"the value of {name}", _rows(~torch.isfinite(value), event_dim)),
                (f"log {side}({name})", _rows(~torch.isfinite(site["log_prob"]), 0)),
            ):
                if bad.any():
                    raise NonFiniteLoss(_blame(name, what, bad, site))
    raise NonFiniteLoss(f"The loss is {loss}, though every site's log-probability is finite")


def _rows(bad: Tensor, event_dim: int) -> Tensor:
    """Whether anything is bad in each row of the batch, over the event and the particles."""
    data = bad.shape[bad.dim() - event_dim - 1] if bad.dim() > event_dim else 1
    return bad.reshape(-1, data, bad.shape[bad.dim() - event_dim :].numel()).any(2).any(0)


def _blame(name: str, what: str, bad: Tensor, site: Any) -> str:
    rows = bad.nonzero().flatten().tolist()
    return (
        f"The loss is not finite: at site {name!r} ({type(site['fn']).__name__}), {what} is not "
        f"finite in {len(rows)} of {len(bad)} rows of the batch (first: {rows[:5]}); lower "
        f"train.lr, or bound the parameters of that site's distribution"
    )
