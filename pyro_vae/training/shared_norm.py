"""Batch normalization by the statistics of a batch that several processes share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pyro_vae.core.whole_batch import batch_sum

__all__ = ["normalized_together"]


@contextmanager
def normalized_together(root: nn.Module) -> Iterator[None]:
    """Within the block, a module's batch normalizations see the whole batch while they train.

    PyTorch's ``SyncBatchNorm`` does so on GPUs alone.
    """
    norms = [module for module in root.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.forward = partial(_forward, norm)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


def _forward(norm: _BatchNorm, x: Tensor) -> Tensor:
    if not norm.training:
        return type(norm).forward(norm, x)
    dims = [0, *range(2, x.dim())]
    shape = [1, -1, *[1] * (x.dim() - 2)]
    count = batch_sum(x.new_tensor([x.numel() / x.shape[1]]))
    mean = batch_sum(x.sum(dims)) / count
    centered = x - mean.view(shape)
    variance = batch_sum(centered.square().sum(dims)) / count
    if norm.running_mean is not None and norm.running_var is not None:
        with torch.no_grad():
            assert norm.num_batches_tracked is not None
            norm.num_batches_tracked.add_(1)
            weight = norm.momentum or 1 / float(norm.num_batches_tracked)
            norm.running_mean.lerp_(mean, weight)
            norm.running_var.lerp_(variance * count / (count - 1), weight)
    y = centered * (variance + norm.eps).rsqrt().view(shape)
    return y if norm.weight is None else y * norm.weight.view(shape) + norm.bias.view(shape)
