"""The ELBO as Pyro losses that keep their terms and say where a loss is not finite."""

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
from pyro_vae.distributions.marginal import Marginal
from pyro_vae.objectives.kl import kl_exact, kl_method

__all__ = [
    "SurrogateELBO",
    "TraceExactKL_ELBO",
    "Trace_ELBO",
    "check_alike",
    "latent_pairs",
    "masked",
    "site_kl",
]


class Trace_ELBO(pyro.infer.Trace_ELBO):  # noqa: N801
    """Pyro's ``Trace_ELBO``, value and gradient unchanged, which keeps its terms.

    After each loss, ``log_likelihood`` and ``kl`` hold the two terms in nats, summed over the
    batch and averaged over the particles, detached. A loss that is not finite raises before the
    gradient step, so that the parameters stay valid.

    Args:
        **options: Those of Pyro's class, such as ``num_particles``.

    Raises:
        NonFiniteLoss: naming the site, the term and the rows of the batch.
    """

    bound: Tensor | None = None  # what was maximized, if not log_likelihood - kl
    failures: list[NonFiniteLoss] | None = None  # where a failure is noted instead of raised

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
        self._check_finite(loss, model_trace, guide_trace)
        return loss, surrogate

    def _check_finite(self, loss: float | Tensor, model_trace: Trace, guide_trace: Trace) -> None:
        try:
            _check_finite(loss, model_trace, guide_trace)
        except NonFiniteLoss as error:
            if self.failures is None:
                raise
            self.failures.append(error)


class SurrogateELBO(Trace_ELBO):
    """Base of the losses whose terms are known only with the loss itself."""

    def _remember(self, model_trace: Trace, guide_trace: Trace) -> None:
        """Nothing yet."""

    def loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> float:
        """The loss in nats, summed over the batch."""
        with torch.no_grad():
            return float(torch_item(self.differentiable_loss(model, guide, *args, **kwargs)))


class TraceExactKL_ELBO(SurrogateELBO):  # noqa: N801
    """The ELBO with the KL of each latent site by its hand-written closed form.

    Unlike Pyro's ``TraceMeanField_ELBO`` it is never silent: a site without a closed form raises
    (or, with ``kl="auto"``, is sampled and listed in ``methods``), and a guide whose sites have
    another order, scale or mask than the model's is refused.

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

    def _differentiable_loss_particle(
        self, model_trace: Trace, guide_trace: Trace
    ) -> tuple[Any, Any]:
        log_likelihood = kl = torch.zeros(())
        pairs = latent_pairs(model_trace, guide_trace, ordered=True, reparameterized=True)
        for name, site, guide_site in pairs:
            check_alike(name, site, guide_site, "scale", "mask")
            self.methods[name] = kl_method(guide_site["fn"], site["fn"], self.divergence)
            kl = kl + (site_kl(site, guide_site, self.methods[name]) * guide_site["scale"]).sum()
        for _, site in _samples(model_trace):
            if site["is_observed"]:
                log_likelihood = log_likelihood + site["log_prob_sum"]
        self.log_likelihood = self.log_likelihood + log_likelihood.detach() / self.num_particles
        self.kl = self.kl + kl.detach() / self.num_particles
        surrogate = kl - log_likelihood
        loss = torch_item(surrogate.detach())
        self._check_finite(loss, model_trace, guide_trace)
        return loss, surrogate


def _samples(trace: Trace) -> list[tuple[str, Any]]:
    """The sample sites of a trace, without those of its plates."""
    return [
        (name, site)
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and type(site["fn"]).__name__ != "_Subsample"
    ]


def latent_pairs(
    model_trace: Trace, guide_trace: Trace, *, ordered: bool, reparameterized: bool
) -> list[tuple[str, Any, Any]]:
    """Each latent site's name, and its node in the model's and in the guide's trace.

    Raises:
        IncompatibleComponents: if the two sample other sites, or a site has no rsample.
    """
    model, guide = dict(_samples(model_trace)), dict(_samples(guide_trace))
    latents = [name for name, site in model.items() if not site["is_observed"]]
    if latents != list(guide) if ordered else set(latents) != set(guide):
        raise IncompatibleComponents(
            f"Expected model and guide to sample the same sites"
            f"{' in the same order' if ordered else ''}, got {latents} and {list(guide)}: use "
            f"Trace_ELBO"
        )
    for name, site in guide.items():
        if reparameterized and not site["fn"].has_rsample:
            raise IncompatibleComponents(
                f"Site {name!r}: expected a reparameterized guide, got "
                f"{type(site['fn']).__name__}, which has no rsample: choose estimator: "
                f"score_function, or Trace_ELBO"
            )
    return [(name, model[name], guide[name]) for name in latents]


def check_alike(name: str, one: Any, other: Any, *attributes: str) -> None:
    """Refuse two sites that differ in scale or mask.

    Raises:
        IncompatibleComponents: naming the site and the attributes.
    """
    if not all(_same(one[attribute], other[attribute]) for attribute in attributes):
        raise IncompatibleComponents(
            f"Site {name!r}: expected one {' and one '.join(attributes)} in model and guide, got "
            f"different ones, under which the bound has no meaning: scale both alike"
        )


def site_kl(
    model_site: Any, guide_site: Any, method: str, log_posterior: Tensor | None = None
) -> Tensor:
    """KL of a latent site, exact or sampled, in the shape of its log-probability.

    It is masked, but not scaled. ``log_posterior`` takes the place of the sampled log q(z|x).
    """
    if method == "exact":
        return masked(kl_exact(guide_site["fn"], model_site["fn"]), guide_site)
    if log_posterior is None:
        log_posterior = masked(guide_site["unscaled_log_prob"], guide_site)
    return log_posterior - masked(model_site["unscaled_log_prob"], model_site)


def masked(values: Tensor, site: Any) -> Tensor:
    """A site's values under its mask."""
    return scale_and_mask(values, 1.0, site["mask"])


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
            if isinstance(site["fn"], Marginal):
                value = site["fn"].filled(value)
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
