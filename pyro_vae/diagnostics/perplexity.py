"""Perplexity per word of documents."""

from __future__ import annotations

import math

from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.report.estimate import Estimate

__all__ = ["perplexity"]


def perplexity(elbo: Tensor, x: Tensor) -> Estimate:
    r"""An upper bound on the perplexity per word, from each document's ELBO under a multinomial.

    .. math:: \exp\Big( -\frac1N \sum_n \frac{1}{l_n}
              \Big( \mathrm{ELBO}_n - \log \frac{l_n!}{\prod_d x_{nd}!} \Big) \Big)

    with l the documents' lengths. Topic models are scored on words in order, without the
    multinomial coefficient, which counts the orders. Documents have equal weights whatever their
    length, as in the papers on neural topic models.

    Args:
        elbo: Of each document, with its multinomial coefficient, in nats, ``(N,)``.
        x: The documents' counts, ``(N, *vocabulary)``.

    Returns:
        The perplexity, without a unit, and its standard error over documents by the delta method.

    Raises:
        DataError: if the shapes differ, or a document is empty.

    References:
        | Autoencoding variational inference for topic models (Srivastava and Sutton, 2017)
        | https://arxiv.org/abs/1703.01488

    Example:
        >>> import torch
        >>> x = torch.tensor([[2.0, 1.0], [0.0, 1.0]])  # words drawn evenly from two
        >>> elbo = torch.distributions.Multinomial(3, torch.ones(2)).log_prob(x[0])
        >>> round(perplexity(torch.stack([elbo, torch.tensor(0.5).log()]), x).value, 6)
        2.0
    """
    counts = x.flatten(1).double()
    lengths = counts.sum(1)
    if elbo.shape != lengths.shape or not (lengths > 0).all():
        raise DataError(
            f"perplexity: expected one ELBO for each of {len(x)} documents with words in them, "
            f"got {tuple(elbo.shape)}, and {int((lengths == 0).sum())} empty documents"
        )
    orders = (lengths + 1).lgamma() - (counts + 1).lgamma().sum(1)
    mean = Estimate.of((orders - elbo.double()) / lengths)
    value = math.exp(mean.value)
    return Estimate(value, value * mean.stderr, unit="", draws=mean.draws)
