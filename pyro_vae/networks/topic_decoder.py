"""The decoder of a topic model: a product of experts over words."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from pyro_vae.core.network import Network
from pyro_vae.networks.layers import Init, ShiftedBatchNorm, init_weights

__all__ = ["TopicDecoder"]


class TopicDecoder(Network):
    r"""Word logits from topic proportions: ProdLDA's product of experts.

    .. math:: l = \mathrm{BatchNorm}(B^\top \theta), \quad \theta = \mathrm{softmax}(z)

    Each row of B is a topic: unnormalized log-probabilities of words. With a multinomial
    likelihood, the distribution of words is the weighted product of the topics' distributions; in
    latent Dirichlet allocation it is their mixture.

    Shapes:
        maps ``(*, *input_shape)`` to ``(*, *output_shape)``.

    Args:
        input_shape: Shape of one code.
        output_shape: Shape of one datum; the vocabulary, all dimensions together.
        dropout: Dropout rate of the topic proportions, in [0, 1).
        batch_norm: Whether the logits are batch-normalized, with a learned shift.
        init: Weight initialization of the topics: pytorch, xavier_uniform or kaiming_normal.

    References:
        | Autoencoding variational inference for topic models (Srivastava and Sutton, 2017)
        | https://arxiv.org/abs/1703.01488

    Example:
        >>> import torch
        >>> TopicDecoder(input_shape=(5,), output_shape=(30,))(torch.zeros(7, 5)).shape
        torch.Size([7, 30])
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        batch_norm: bool = True,
        init: Init = "xavier_uniform",
    ) -> None:
        super().__init__(input_shape, output_shape)
        topics, words = math.prod(input_shape), math.prod(output_shape)
        self.dropout = nn.Dropout(dropout)
        self.topics = nn.Linear(topics, words, bias=not batch_norm)  # weight (words, topics)
        self.norm = ShiftedBatchNorm(words) if batch_norm else nn.Identity()
        init_weights(self.topics, init)

    def transform(self, x: Tensor) -> Tensor:
        """Softmax, dropout, the topics, and the normalization."""
        shares = x.reshape(x.shape[0], math.prod(self.input_shape)).softmax(-1)
        y: Tensor = self.norm(self.topics(self.dropout(shares)))
        return y
