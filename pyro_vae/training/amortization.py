"""Which data a model starts from; and what it can train on without an encoder, or labels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.data.dataset import DataSet, Split
from pyro_vae.vae import VAE

__all__ = ["check_amortization", "check_classes", "scored_split", "starting_data"]

STARTING = 2**26  # values of the data that a model is initialized from


def check_amortization(vae: VAE, data: DataSet) -> None:
    """Refuse data for which a guide that is not amortized has no parameters.

    Raises:
        IncompatibleComponents: if training data are redrawn for every batch, or there are
            validation data.
    """
    if vae.posterior.amortized:
        return
    kind = vae.posterior.kind
    if data.train.dynamic:
        raise IncompatibleComponents(
            f"{kind} has parameters for each training datum: expected fixed training data, "
            f"got data that are redrawn for every batch (data.binarization dynamic); set "
            f"data.binarization to static or threshold, or use an amortized posterior, such as "
            f"diagonal_normal"
        )
    if len(data.validation):
        raise IncompatibleComponents(
            f"{kind} has parameters only for the training data: expected no validation data, got "
            f"{len(data.validation)} of them, which it could not score; set data.validation to "
            f"0 and leave train.patience out, or use an amortized posterior, such as "
            f"diagonal_normal"
        )


def check_classes(vae: VAE, data: DataSet, processes: int) -> None:
    """Refuse data without a class to learn from, and processes that would share their sum.

    Raises:
        IncompatibleComponents: if a model that sums out classes has either.
    """
    if not vae.with_missing().sums_out:
        return
    classes = data.train.condition
    if classes is None or not (classes >= 0).any():
        raise IncompatibleComponents(
            "condition: expected classes that are known for some training data, got none; a model "
            "without labels is one without a condition"
        )
    if processes > 1:
        raise IncompatibleComponents(
            f"condition: semi_supervised trains in one process, got {processes}; start it without "
            "torchrun"
        )


def scored_split(vae: VAE, data: DataSet) -> Literal["train", "validation", "test"]:
    """The split to score a model on: held-out data, if there are any.

    A guide that is not amortized can score only its training data.

    Example:
        >>> import torch
        >>> from pyro_vae import as_dataset
        >>> data = as_dataset(torch.randn(10, 4), validation=0)
        >>> scored_split(VAE((4,), 2), data)
        'test'
        >>> scored_split(VAE((4,), 2, posterior="per_example"), data)
        'train'
    """
    if vae.posterior.amortized and len(data.test):
        return "test"
    if vae.posterior.amortized and len(data.validation):
        return "validation"
    return "train"


def starting_data(vae: VAE, train: Split) -> tuple[VAE, Tensor]:
    """The model given the conditions of the data that it is initialized from, and these.

    They are the training data, or as many of them, evenly spaced, as have ``STARTING`` values; one
    draw, if they are redrawn for every batch.
    """
    count = len(train)
    if vae.posterior.amortized:
        count = min(count, max(1, STARTING // torch.Size(vae.event_shape).numel()))
    if count == len(train) and not train.dynamic:
        return vae.given(train.condition), train.x
    index = torch.arange(count) * len(train) // count
    x = train.batch(index, torch.Generator().manual_seed(0))
    return vae.given(train.conditions(index)), x
