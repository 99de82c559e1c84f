"""The multinomial likelihood, for documents as counts of words."""

from __future__ import annotations

from pydantic import PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_vae import distributions as dist
from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.likelihoods.data_mean import DataMean, Offset, mean_count

__all__ = ["Multinomial"]


class Multinomial(DataMean):
    r"""A bag of words; the decoder returns one logit for each word.

    .. math:: p(x \mid z, n) = \frac{n!}{\prod_d x_d!} \prod_d \pi_d^{x_d}, \quad
              \pi = \mathrm{softmax}(f(z))

    The model conditions on the length n, the total of a datum. Without a datum, as in generating,
    it is ``total_count``. ``log_prob`` includes the multinomial coefficient, which many papers
    leave out.

    Shapes:
        maps ``(*, *event_shape)`` to batch_shape ``(*,)`` and event_shape ``event_shape``;
        ``log_prob`` is in nats, for the whole event.

    Args:
        event_shape: Shape of one datum; the vocabulary, all dimensions together.
        total_count: Length of a generated document, at least 1.
        offset: Where the decoder returns 0: zero (all words alike), or the data_mean.

    References:
        | Autoencoding variational inference for topic models (Srivastava and Sutton, 2017)
        | https://arxiv.org/abs/1703.01488

    Example:
        >>> import torch
        >>> likelihood, x = Multinomial(event_shape=(2,)), torch.tensor([[3.0, 1.0]])
        >>> likelihood(torch.zeros(1, 2), x).mean, likelihood(torch.zeros(1, 2)).mean
        (tensor([[2., 2.]]), tensor([[50., 50.]]))
    """

    support = constraints.nonnegative_integer
    remedies = (
        "give whole counts, neither scaled nor normalized, or choose a likelihood for real values "
        "(model.likelihood: gaussian)"
    )

    def __init__(
        self,
        event_shape: tuple[int, ...],
        total_count: PositiveInt = 100,
        offset: Offset = "zero",
    ) -> None:
        super().__init__(event_shape, offset)
        self.total_count = total_count
        if not event_shape:
            raise IncompatibleComponents(
                "multinomial: expected a datum of at least one dimension, the vocabulary, "
                "got event_shape (); for a single count choose model.likelihood: poisson"
            )

    def at_mean(self, x: Tensor) -> Tensor:
        """The logarithm of each word's share; of a word that does not occur, as if half did."""
        mean = mean_count(x)
        return (mean / mean.sum()).log()

    def forward(self, parameters: Tensor, x: Tensor | None = None) -> TorchDistribution:
        """Counts of n words, with n the total of ``x``."""
        dims = len(self.event_shape)
        total = parameters.new_tensor(self.total_count) if x is None else x.flatten(-dims).sum(-1)
        return dist.Multinomial(total, self.with_offset(parameters), dims)
