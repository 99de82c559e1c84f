"""Two vectors, the second given the first, as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Size, Tensor

__all__ = ["Chain"]


class Chain(TorchDistribution):
    r"""A root, and a branch whose distribution depends on it, concatenated.

    .. math:: p(r, b) = p(r) \, p(b \mid r)

    Shapes:
        batch_shape is the root's; event_shape is ``(R + B,)``.

    Args:
        root: p(r), of event_shape ``(R,)``.
        branch: From r, ``(*, R)``, to p(b|r), of batch_shape ``(*,)`` and event_shape ``(B,)``.
        size: Size B of the branch.
        root_first: Whether the root's dimensions stand before the branch's.

    Example:
        >>> import pyro.distributions as dist
        >>> root = dist.Normal(torch.zeros(2), 1.0).to_event(1)
        >>> chain = Chain(root, lambda r: dist.Normal(r[..., :1], 1.0).to_event(1), size=1)
        >>> chain.sample((5,)).shape, chain.log_prob(chain.sample((5,))).shape
        (torch.Size([5, 3]), torch.Size([5]))
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        root: TorchDistribution,
        branch: Callable[[Tensor], TorchDistribution],
        size: int,
        root_first: bool = True,
        validate_args: bool | None = None,
    ) -> None:
        self.root, self.branch, self.size, self.root_first = root, branch, size, root_first
        event_shape = Size([root.event_shape[0] + size])
        super().__init__(root.batch_shape, event_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Chain:
        """The same chain, of a larger batch."""
        root = self.root.expand(Size(batch_shape))
        return Chain(root, self.branch, self.size, self.root_first, validate_args=False)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """The root, then the branch given it."""
        r = self.root.rsample(Size(sample_shape))
        return self._joined(r, self.branch(r).rsample())

    def log_prob(self, value: Tensor) -> Tensor:
        """Log p(r) + log p(b|r), in nats."""
        r, b = self.parted(value)
        return self.root.log_prob(r) + self.branch(r).log_prob(b)

    @property
    def mean(self) -> Tensor:
        """The mean of the root, and that of the branch at it; not the mean of the branch."""
        r = self.root.mean
        return self._joined(r, self.branch(r).mean)

    def _joined(self, r: Tensor, b: Tensor) -> Tensor:
        return torch.cat([r, b] if self.root_first else [b, r], -1)

    def parted(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """The root and the branch of a value, ``(*, R)`` and ``(*, B)``."""
        sizes = [self.root.event_shape[0], self.size]
        parts = value.split(sizes if self.root_first else sizes[::-1], -1)
        return (parts[0], parts[1]) if self.root_first else (parts[1], parts[0])
