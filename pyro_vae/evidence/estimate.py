"""The log of a mean of weights given by their logarithms, as an estimate of log p(x)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_vae.core.errors import NonFiniteLoss

__all__ = ["EvidenceEstimate", "LogMean", "error_of_mean"]


class LogMean:
    r"""The logarithm of a mean of weights, one for each datum, added up chunk by chunk.

    .. math:: \log \frac1K \sum_k w_k = t + \log \sum_k e^{\log w_k - t} - \log K

    with t the largest log-weight so far, so that no chunk overflows or underflows. Sums are in
    float64.

    Example:
        >>> mean = LogMean()
        >>> for chunk in torch.tensor([[-1000.0], [-1001.0], [-990.0]]).split(1):
        ...     mean.add(chunk)
        >>> round(mean.value.item(), 4), round(mean.effective.item(), 4)
        (-991.0986, 1.0001)
    """

    def __init__(self) -> None:
        self.count = 0
        self._top: Tensor | None = None
        self._first: Tensor
        self._second: Tensor

    def add(self, log_weights: Tensor) -> None:
        """Add log-weights, ``(K, N)``.

        Raises:
            NonFiniteLoss: if one is NaN or +inf; -inf is a weight of 0.
        """
        log_weights = log_weights.detach().double()
        wrong = log_weights.isnan() | (log_weights == math.inf)
        if wrong.any():
            datum = int(wrong.any(0).nonzero()[0])
            raise NonFiniteLoss(
                f"log p(x, z) - log q(z): expected finite values, got NaN or inf for "
                f"{int(wrong.sum())} of {wrong.numel()} draws, the first at datum {datum} of its "
                f"batch; look at the model's weights, or score it in float64"
            )
        top = log_weights.amax(0)
        if self._top is None:
            self._top = torch.full_like(top, -math.inf)
            self._first, self._second = torch.zeros_like(top), torch.zeros_like(top)
        new = torch.maximum(self._top, top)
        base = torch.where(new.isinf(), 0.0, new)  # where every weight so far is 0
        kept = (self._top - base).exp()
        weights = (log_weights - base).exp()
        self._first = self._first * kept + weights.sum(0)
        self._second = self._second * kept.square() + weights.square().sum(0)
        self._top, self.count = new, self.count + len(log_weights)

    def cpu(self) -> LogMean:
        """The same, on the CPU."""
        if self._top is not None:
            self._top, self._first = self._top.cpu(), self._first.cpu()
            self._second = self._second.cpu()
        return self

    @property
    def value(self) -> Tensor:
        """Log of the mean weight, ``(N,)``."""
        assert self._top is not None
        base = torch.where(self._top.isinf(), 0.0, self._top)
        return base + self._first.log() - math.log(self.count)

    @property
    def effective(self) -> Tensor:
        """Effective sample size (sum w)^2 / sum w^2, between 1 and K, ``(N,)``; 0 without weight.

        References:
            | Monte Carlo strategies in scientific computing (Liu, 2001), section 2.5
        """
        return torch.where(self._second > 0, self._first.square() / self._second, 0.0)

    @property
    def stderr(self) -> Tensor:
        r"""Standard error of ``value`` by the delta method, ``(N,)``; NaN for a single weight.

        .. math:: \mathrm{sd}(w) / (\sqrt K \, \bar w)
                  = \sqrt{\tfrac{K}{K - 1} \left( \tfrac1{K_{eff}} - \tfrac1K \right)}
        """
        if self.count < 2:
            return torch.full_like(self._first, math.nan)
        spread = (1 / self.effective - 1 / self.count).clamp(min=0.0)
        return (spread * self.count / (self.count - 1)).sqrt()


@dataclass(frozen=True)
class EvidenceEstimate:
    """Estimates of log p(x) from weights, in nats, one for each datum.

    The mean weight estimates p(x) without bias, so its logarithm is too small in expectation (by
    about half the square of its Monte Carlo error): a stochastic lower bound on log p(x).

    Args:
        log_evidence: ``(N,)``.
        stderr: Monte Carlo standard error of each, ``(N,)``.
        effective: Effective sample size of each datum's weights, ``(N,)``.
        samples: Number K of weights for each datum.
        estimator: The method and its settings.
    """

    log_evidence: Tensor
    stderr: Tensor
    effective: Tensor
    samples: int
    estimator: str

    @classmethod
    def of(cls, means: list[LogMean], estimator: str) -> EvidenceEstimate:
        """From the batches of a data set."""
        value, stderr, effective = (
            torch.cat([getattr(mean, name) for mean in means]).cpu()
            for name in ("value", "stderr", "effective")
        )
        return cls(value, stderr, effective, means[0].count, estimator)

    @property
    def monte_carlo(self) -> float:
        """Monte Carlo standard error of the mean over the data, in nats per datum."""
        return error_of_mean(self.stderr)

    @property
    def effective_note(self) -> str:
        """The effective sample sizes, in words."""
        least, median = self.effective.min().item(), self.effective.median().item()
        return f"least {least:,.1f}, median {median:,.1f} of {self.samples:,}"


def error_of_mean(errors: Tensor) -> float:
    """Standard error of the mean of independent estimates from their own, ``(N,)``."""
    return errors.square().sum().sqrt().item() / len(errors)
