"""The topics of a topic model: their words, and how well these go together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_vae.core.errors import DataError, IncompatibleComponents
from pyro_vae.core.modes import evaluating
from pyro_vae.data.identity import Identity
from pyro_vae.data.loading import load_data
from pyro_vae.data.support import check_support
from pyro_vae.diagnostics.evaluate import Split
from pyro_vae.networks.linear import Linear
from pyro_vae.networks.topic_decoder import TopicDecoder
from pyro_vae.report.html import data_uri
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Table
from pyro_vae.vae import VAE

if TYPE_CHECKING:
    from pyro_vae.plots.style import Picture

__all__ = ["Topics", "npmi", "topics"]

BATCH = 1000


@dataclass(frozen=True, repr=False)
class Topics(ShownAsTable):
    """The topics of a model; Jupyter shows a table and a picture, most coherent first.

    Args:
        words: The top words of each topic.
        npmi: Coherence of each topic's words on the split, ``(K,)``, in [-1, 1].
        share: Mean share of each topic over the documents, ``(K,)``; None for a linear decoder,
            whose codes are no shares.
        split: ``train``, ``validation`` or ``test``.
        count: Number of documents.
        identity: The identity of the data.
    """

    words: list[list[str]]
    npmi: Tensor
    share: Tensor | None
    split: str
    count: int
    identity: Identity
    derived = ("coherence", "diversity")

    @property
    def coherence(self) -> float:
        """Mean NPMI over the topics."""
        return self.npmi.mean().item()

    @property
    def diversity(self) -> float:
        """Share of distinct words among the top words of all topics (Dieng et al., 2020)."""
        every = [word for topic in self.words for word in topic]
        return len(set(every)) / len(every)

    @property
    def order(self) -> list[int]:
        """The topics, most coherent first."""
        order: list[int] = self.npmi.argsort(descending=True, stable=True).tolist()
        return order

    def table(self) -> Table:
        """A row for each topic."""
        title = f"Topics: NPMI {self.coherence:.3f}, diversity {self.diversity:.3f}"
        caption = (
            f"{len(self.words[0])} words a topic; NPMI and share on {self.count} {self.split} "
            f"documents of {self.identity}."
        )
        shares = [] if self.share is None else ["share"]
        table = Table(title, ["topic", "words", "NPMI", *shares], caption)
        for k in self.order:
            share = [] if self.share is None else [f"{self.share[k]:.3f}"]
            table.add(k, " ".join(self.words[k]), f"{self.npmi[k]:.3f}", *share)
        return table

    def figure(self) -> Picture:
        """NPMI and share of each topic."""
        from pyro_vae.plots import plot_topics
        from pyro_vae.plots.style import panels

        count = 1 if self.share is None else 2
        height = 0.9 + 0.2 * min(len(self.words), 40)
        picture, axes = panels(count, count, 4.5 + 2.5 * count, height, sharey=True)
        title = f"Coherence of {len(self.words)} topics; diversity {self.diversity:.2f}"
        plot_topics(self, title=title, ax=axes[0])
        for ax in axes[1:]:
            plot_topics(self, "share", title="", ax=ax)
        return picture

    def _repr_html_(self) -> str:
        return f'{super()._repr_html_()}<img src="{data_uri(self.figure()._repr_png_())}">'


@torch.no_grad()
def topics(vae: VAE, data: Any, words: int = 10, *, split: Split = "test") -> Topics:
    """The top words of each topic, their coherence on a split, and each topic's share of it.

    A topic is a dimension of the code. Its words are those whose log-odds rise fastest with its
    share, or with the code of a linear decoder: by the decoder's weights, divided by the scale of
    its batch normalization if it has one (ProdLDA's authors rank the weights undivided). Shares
    are those of the softmax of each document's point estimate.

    Args:
        vae: A model of counts whose decoder is ``topic_decoder`` or ``linear``.
        data: As :func:`~pyro_vae.evaluate` takes it. Words are named by its ``columns``, and
            numbered where it has none.
        words: Top words of each topic, at least 2.
        split: Of which NPMI and shares are taken.

    Raises:
        DataError: if the split is empty, or ``words`` is not from 2 to the size of the vocabulary.
        IncompatibleComponents: if the model has no topics, or the data do not fit it.

    References:
        | Autoencoding variational inference for topic models (Srivastava and Sutton, 2017)
        | https://arxiv.org/abs/1703.01488
        | Topic modeling in embedding spaces (Dieng et al., 2020), for the diversity
        | https://arxiv.org/abs/1907.04907

    Example:
        >>> vae = VAE((30,), 4, "dirichlet", "multinomial", decoder="topic_decoder")
        >>> counts = torch.poisson(torch.ones(50, 30))
        >>> topics(vae, counts, words=5).npmi.shape
        torch.Size([4])
    """
    weights = _weights(vae)
    size = weights.shape[1]
    if not 2 <= words <= size:
        raise DataError(f"words: expected 2 to {size}, the size of the vocabulary, got {words}")
    data = load_data(data, vae.standardization, vae.on_missing)
    if tuple(data.event_shape) != tuple(vae.event_shape):
        raise IncompatibleComponents(
            f"Expected data of event shape {tuple(vae.event_shape)}, got {data.event_shape}"
        )
    check_support(vae.likelihood, data, vae.on_missing)
    documents = data.splits[split]
    if not len(documents):
        raise DataError(f"Expected data in the {split} split, got none; choose another split")
    x = documents.batch(torch.arange(len(documents)), torch.Generator().manual_seed(0))
    top = weights.topk(words).indices.cpu()
    names = data.columns if len(data.columns) == size else [str(d) for d in range(size)]
    return Topics([[names[d] for d in topic] for topic in top.tolist()], npmi(x.cpu(), top),
                  _shares(vae, x), split, len(x), data.identity)  # fmt: skip


def npmi(x: Tensor, words: Tensor) -> Tensor:
    r"""Coherence of each topic: the normalized pointwise mutual information of its pairs of words.

    .. math:: \mathrm{NPMI}(a, b) = \log \frac{p(a, b)}{p(a) \, p(b)} \Big/ -\log p(a, b)

    averaged over all pairs, where p(a) is the share of documents with the word a, and p(a, b) of
    those with both. It is -1 for words that never occur together (also where one does not occur
    at all), 0 for independent ones, and 1 for words that occur only together. Two words that are
    in every document count as independent.

    Args:
        x: Counts of words, ``(N, *vocabulary)``.
        words: Places of each topic's words in the vocabulary, ``(K, W)`` with W at least 2.

    Returns:
        ``(K,)``, in float64.

    References:
        | Normalized (pointwise) mutual information in collocation extraction (Bouma, 2009)
        | Machine reading tea leaves (Lau et al., 2014) https://doi.org/10.3115/v1/E14-1056

    Example:
        >>> x = torch.tensor([[1.0, 2.0, 0.0], [3.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 2.0]])
        >>> npmi(x, torch.tensor([[0, 1], [0, 2]]))
        tensor([ 1., -1.], dtype=torch.float64)
    """
    present = x.flatten(1) > 0
    upper = torch.ones(words.shape[1], words.shape[1]).triu(1).bool()
    means = []
    for topic in words:
        found = present[:, topic].double()
        joint = found.T @ found / len(found)  # (W, W)
        p = joint.diagonal()
        value = (joint / (p * p[:, None])).log() / -joint.log()
        value[joint == 0] = -1.0
        value[joint == 1] = 0.0
        means.append(value[upper].mean())
    return torch.stack(means)


def _weights(vae: VAE) -> Tensor:
    """How fast the log-odds of each word rise with each topic, ``(K, vocabulary)``."""
    counts = vae.likelihood.support in (constraints.nonnegative_integer, constraints.boolean)
    counts = counts and vae.likelihood.parameter_shape == vae.event_shape
    decoder = vae.decoder
    if counts and isinstance(decoder, TopicDecoder):
        norm = getattr(decoder.norm, "standardize", None)  # by which the logits are divided
        scale = 1.0 if norm is None else (norm.running_var + norm.eps).sqrt()
        return decoder.topics.weight.T / scale
    if counts and isinstance(decoder, Linear):
        return decoder.affine.weight.T
    given = getattr(decoder, "kind", "") if vae.condition is None else "one of conditions"
    raise IncompatibleComponents(
        "topics: expected a model of counts with the decoder topic_decoder or linear, got "
        f"likelihood: {vae.likelihood.kind}, decoder: {given}; train one with likelihood: "
        "multinomial, decoder: topic_decoder"
    )


def _shares(vae: VAE, x: Tensor) -> Tensor | None:
    if not isinstance(vae.decoder, TopicDecoder):
        return None
    weight = next(vae.parameters())
    total = torch.zeros(math.prod(vae.decoder.input_shape), dtype=torch.float64)
    with evaluating(vae):
        for batch in x.split(BATCH):
            z = vae.point_estimate(batch.to(weight.device, weight.dtype))[:, vae.code]
            total += z.softmax(-1).sum(0).double().cpu()
    return total / len(x)
