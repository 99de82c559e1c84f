"""A prior that depends on the condition."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
from pydantic import PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import nn

from pyro_vae.core.condition import Condition, Conditioned
from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.core.prior import Prior
from pyro_vae.distributions.bounds import bounded_scale
from pyro_vae.networks.mlp import MLP

__all__ = ["Conditional"]


class Conditional(Prior, Conditioned):
    r"""Independent normals, their means and scales given by the condition.

    .. math:: p(z \mid c) = N(z \mid \mu(c), \mathrm{diag}(\sigma(c)^2))

    It begins at the standard normal for every condition. Without hidden layers mu and the
    logarithm of sigma are affine in the condition's embedding: of classes, any values for each.

    Shapes:
        ``forward()``, given N conditions, has batch_shape ``(N,)`` and event_shape
        ``(latent_dim,)``; ``log_prob`` is in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        embedding: The model's condition; None if it has none.
        hidden: Width of each hidden layer between the condition and the code, each at least 1.

    Raises:
        IncompatibleComponents: if the model has no condition.

    References:
        | Learning structured output representation using deep conditional generative models
        | (Sohn, Lee and Yan, 2015)
        | https://papers.nips.cc/paper/2015/hash/8d55a249e6baa5c06772297520da2051-Abstract.html

    Example:
        >>> from pyro_vae import VAE
        >>> vae = VAE((4,), 2, prior="conditional", condition={"kind": "classes", "count": 3})
        >>> vae.given([0, 1, 2, 2, 2]).prior().batch_shape
        torch.Size([5])
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        embedding: Condition | None = None,
        hidden: Sequence[PositiveInt] = (),
    ) -> None:
        super().__init__()
        if embedding is None:
            raise IncompatibleComponents(
                "conditional is p(z|c): expected a model with a condition, got one without; "
                "declare it (model.condition), or choose another prior, such as diagonal_normal"
            )
        self.condition = embedding
        self.network = MLP((embedding.size,), (2, latent_dim), hidden=hidden)
        last = self.network.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self) -> TorchDistribution:
        """N(mu(c), diag(sigma(c)^2)) for each condition that is given."""
        weight = next(self.network.parameters())
        loc, raw_scale = self.network(self.condition(self.known(weight)).to(weight)).unbind(-2)
        return dist.Normal(loc, bounded_scale(raw_scale)).to_event(1)
