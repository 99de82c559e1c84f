"""Which data a guide without an encoder, or one that sums out classes, can be trained on."""

from __future__ import annotations

from typing import Literal

from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.data.dataset import DataSet
from pyro_vae.vae import VAE

__all__ = ["check_amortization", "check_classes", "scored_split"]


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
