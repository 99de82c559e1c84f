"""Perplexity per word of documents, and of the half of one that is held out."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.core.modes import evaluating
from pyro_vae.likelihoods.multinomial import Multinomial
from pyro_vae.report.estimate import Estimate
from pyro_vae.vae import VAE

__all__ = ["perplexities", "perplexity", "split_words"]

BATCH = 1000
ESTIMATORS = {
    "bound": "at most; from the ELBO",
    "corpus": "at most; from the ELBO, with equal weights for words in place of documents",
    "completion": "half of each document's words, given z at the centre of q(z | the others)",
}


def perplexity(
    elbo: Tensor, x: Tensor, weights: Literal["documents", "words"] = "documents"
) -> Estimate:
    r"""An upper bound on the perplexity per word, from each document's ELBO under a multinomial.

    .. math:: \exp\Big( -\frac1N \sum_n \frac{1}{l_n}
              \Big( \mathrm{ELBO}_n - \log \frac{l_n!}{\prod_d x_{nd}!} \Big) \Big)

    with l the documents' lengths. Topic models are scored on words in order, without the
    multinomial coefficient, which counts the orders. Documents have equal weights whatever their
    length, as in the papers on neural topic models; or words have, as in those on LDA:

    .. math:: \exp\Big( -\sum_n \Big( \mathrm{ELBO}_n - \log \frac{l_n!}{\prod_d x_{nd}!} \Big)
              \Big/ \sum_n l_n \Big)

    Args:
        elbo: Of each document, with its multinomial coefficient, in nats, ``(N,)``.
        x: The documents' counts, ``(N, *vocabulary)``.
        weights: Which have equal ones.

    Returns:
        The perplexity, without a unit, and its standard error over documents by the delta method.

    Raises:
        DataError: if the shapes differ, or a document is empty.

    References:
        | Autoencoding variational inference for topic models (Srivastava and Sutton, 2017)
        | https://arxiv.org/abs/1703.01488
        | Latent Dirichlet allocation (Blei, Ng and Jordan, 2003), section 7.1
        | https://www.jmlr.org/papers/v3/blei03a.html

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
    nats = orders - elbo.double()
    each = nats / lengths
    if weights == "words":
        rate = nats.sum() / lengths.sum()
        each = rate + (nats - rate * lengths) / lengths.mean()  # the ratio's delta method
    mean = Estimate.of(each)
    value = math.exp(mean.value)
    return Estimate(value, value * mean.stderr, unit="", draws=mean.draws)


@torch.no_grad()
def perplexities(vae: VAE, x: Tensor, elbo: Tensor, seed: int = 0) -> dict[str, Estimate]:
    r"""The perplexity per word of a model with a multinomial likelihood; of others, nothing.

    ``bound`` is :func:`perplexity` of the ELBO, ``corpus`` that with equal weights for words.
    ``completion`` is that of one random half of each
    document's words, given the other half: :math:`p(x_{held} \mid z)`, with z the point estimate
    of :math:`q(z \mid x_{seen})`. It needs no bound, so that it compares models of any kind.
    Documents without a word to score are left out, and counted in the estimator.

    Args:
        vae: The model; ``completion`` needs an amortized posterior.
        x: The documents' counts, ``(N, *vocabulary)``.
        elbo: Of each, in nats, ``(N,)``.
        seed: Of the halves.

    References:
        | Evaluation methods for topic models (Wallach et al., 2009), section 5
        | https://doi.org/10.1145/1553374.1553515
    """
    if not isinstance(vae.likelihood, Multinomial):
        return {}
    scored = {"bound": (elbo, x), "corpus": (elbo, x)}
    if vae.posterior.amortized:
        seen, held = split_words(x, seed)
        with evaluating(vae):
            parts = zip(vae.split(seen, BATCH), held.split(BATCH), strict=True)
            found = [model.decode(model.point_estimate(given), rest).log_prob(rest)
                     for (model, given), rest in parts]  # fmt: skip
        scored["completion"] = (torch.cat(found), held)
    return {name: _of_documents(name, *of) for name, of in scored.items() if of[1].any()}


def split_words(x: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Each document's words in two random halves; the first has the odd word.

    Args:
        x: The documents' counts, ``(N, *vocabulary)``.
        seed: Of the halves.

    Example:
        >>> seen, held = split_words(torch.tensor([[2.0, 3.0], [0.0, 1.0]]))
        >>> seen.sum(1), held.sum(1)
        (tensor([3., 1.]), tensor([2., 0.]))
    """
    counts = x.flatten(1).cpu()
    document, word = counts.nonzero(as_tuple=True)
    times = counts[document, word].long()
    document, word = document.repeat_interleave(times), word.repeat_interleave(times)
    order = torch.randperm(len(document), generator=torch.Generator().manual_seed(seed))
    order = order[document[order].argsort(stable=True)]  # document by document, words shuffled
    document, word = document[order], word[order]
    lengths = counts.sum(1).long()
    place = torch.arange(len(document)) - (lengths.cumsum(0) - lengths)[document]
    second = place % 2 == 1
    held = torch.zeros_like(counts)
    one = torch.ones((), dtype=counts.dtype)
    held.index_put_((document[second], word[second]), one, accumulate=True)
    held = held.reshape(x.shape).to(x.device)
    return x - held, held


def _of_documents(name: str, log_prob: Tensor, x: Tensor) -> Estimate:
    filled = x.flatten(1).any(1)
    weights: Any = "words" if name == "corpus" else "documents"
    found = perplexity(log_prob[filled].cpu(), x[filled].cpu(), weights)
    left = int((~filled).sum())
    note = f"; {left} documents without words left out" if left else ""
    return replace(found, estimator=ESTIMATORS[name] + note)
