"""Two vectors, the second given the first, as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Size, Tensor

from pyro_vae.core.errors import DeclarationError
from pyro_vae.distributions.bounds import bounded_scale

__all__ = ["Chain", "layer_sizes", "normal_of"]


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


def normal_of(parameters: Tensor) -> TorchDistribution:
    """Independent normals from means and raw scales, ``(*, 2 M)``."""
    loc, raw_scale = parameters.chunk(2, -1)
    return dist.Normal(loc, bounded_scale(raw_scale)).to_event(1)


def layer_sizes(
    kind: str, latent_dim: int, layers: int | Sequence[int], top: int | None
) -> list[int]:
    """Sizes of the stochastic layers z_1, ..., z_L of a code of size M.

    Args:
        kind: The kind that messages name.
        latent_dim: Size M of the code.
        layers: Number L of layers, or their sizes, which sum to M.
        top: Size of z_L; the others share the rest. By default all have the same, and the
            remainder of M / L goes to the first.

    Raises:
        DeclarationError: if a layer would have no size, or the sizes do not sum to M.

    Example:
        >>> layer_sizes("hierarchical", 8, 3, None), layer_sizes("hierarchical", 8, 3, top=2)
        ([3, 3, 2], [3, 3, 2])
    """
    if not isinstance(layers, int):
        if top is not None:
            raise DeclarationError(
                f"{kind}.top: must be left out where layers has the sizes, got {top}"
            )
        if sum(layers) != latent_dim:
            raise DeclarationError(
                f"{kind}.layers: must sum to latent_dim ({latent_dim}), got {list(layers)}, "
                f"which sum to {sum(layers)}"
            )
        return list(layers)
    if layers > latent_dim:
        raise DeclarationError(
            f"{kind}.layers: must be <= latent_dim ({latent_dim}), so that each layer has a size, "
            f"got {layers}"
        )
    if top is None:
        return _shared(latent_dim, layers)
    rest = latent_dim - top
    if layers == 1 or rest < layers - 1:
        most = latent_dim - layers + 1
        expected = f"<= {most}" if layers > 1 else "left out where there is one layer"
        raise DeclarationError(
            f"{kind}.top: must be {expected}, so that each of {layers} layers of a code of "
            f"{latent_dim} has a size, got {top}"
        )
    return [*_shared(rest, layers - 1), top]


def _shared(total: int, parts: int) -> list[int]:
    return [total // parts + (part < total % parts) for part in range(parts)]
