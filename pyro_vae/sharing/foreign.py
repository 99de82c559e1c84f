"""Somebody else's trained VAE, as one of this package: to audit, score and compare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.modes import alone
from pyro_vae.sharing.adapters import MAX_SCALE, ForeignDecoder, ForeignEncoder
from pyro_vae.sharing.implied import Loss, Reduction, implied_likelihood
from pyro_vae.sharing.sources import SOURCES, Foreign
from pyro_vae.vae import VAE

__all__ = ["ImportedModel", "import_model"]

OF_MEANS = ("gaussian", "laplace", "student_t")
OF_LOGITS = ("bernoulli", "continuous_bernoulli")


@dataclass
class ImportedModel:
    """Another library's model, as one of this package.

    Args:
        vae: The model: a standard normal prior, a diagonal normal posterior, and the networks.
        source: Where it is from.
        implied: The likelihood that its training loss implies; None if it implies none, or the
            loss is not known.
        statement: The same in words, and which likelihood ``vae`` has.
    """

    vae: VAE
    source: str
    implied: dict[str, Any] | None
    statement: str

    def __str__(self) -> str:
        return f"{self.source}: {self.statement}.\n{self.vae}"


@alone()
def import_model(
    source: str,
    *,
    loss: Loss | None = None,
    reduction: Reduction = "sum",
    kl_weight: float = 1.0,
    likelihood: str | dict[str, Any] | None = None,
    event_shape: Sequence[int] | None = None,
    allow_pickle: bool = False,
) -> ImportedModel:
    """Somebody else's trained VAE, with the likelihood that its training loss implies.

    Its encoder must give the mean and the logarithm of the variance of a diagonal normal, and its
    prior be standard normal. The weights and what they compute stay as they are.

    Args:
        source: ``pythae:FOLDER``, a folder that pythae saved; ``diffusers:FOLDER``, an
            AutoencoderKL with safetensors; or ``torch:FILE.py:FACTORY``, a function of a file,
            which is run, that returns a trained module with ``encode(x)``, the mean and log
            variance, and ``decode(z)``.
        loss: Of the reconstruction in training: ``mse``, ``l1`` or ``bce``. A folder of pythae
            says; the others do not.
        reduction: Whether that is a sum or a mean over the values of a datum.
        kl_weight: What the KL, a sum over the code, was multiplied by.
        likelihood: p(x|z), instead of the implied one, or where none is implied; of a location
            or of probabilities, which are what a decoder of ``x`` gives.
        event_shape: Shape of one datum, if the source does not say.
        allow_pickle: Whether to unpickle pythae's custom encoders and decoders, which can run any
            code.

    Raises:
        CheckpointError: if the model cannot be read, or would have to be unpickled.
        DeclarationError: if the loss implies no likelihood, and none is given.
        IncompatibleComponents: if the networks do not give what a diagonal normal needs.

    Example:
        >>> import_model("keras:model")
        Traceback (most recent call last):
        pyro_vae.core.errors.DeclarationError: import_model has 1 problem:
          source: expected pythae:, diffusers: or torch:, got 'keras:model'
    """
    name, _, rest = source.partition(":")
    if name not in SOURCES or not rest:
        known = "pythae:, diffusers: or torch:"
        raise DeclarationError(f"source: expected {known}, got {source!r}", "import_model")
    if reduction not in ("sum", "mean"):
        raise DeclarationError(
            f"reduction: expected sum or mean, got {reduction!r}", "import_model"
        )
    found = SOURCES[name](rest, event_shape, allow_pickle)
    implied, statement = _implied(found, loss, reduction, kl_weight)
    if likelihood is None and implied is None:
        raise DeclarationError(
            f"{source} implies {statement}; give likelihood=... to score it under one of your "
            f"choice",
            "import_model",
        )
    if likelihood is not None:
        statement += "; scored under the likelihood that was given"
    given = _checked(implied if likelihood is None else likelihood)
    encoder = ForeignEncoder(found.encoder, found.encode).eval()
    with torch.no_grad():
        codes = encoder.moments(torch.zeros(2, *found.event_shape))[0]
    decoder = ForeignDecoder(
        found.decoder, found.decode, codes.shape[1:], found.event_shape,
        binary=given["kind"] in OF_LOGITS,
    ).eval()  # fmt: skip
    latent_dim = math.prod(codes.shape[1:])
    _freeze_unused(encoder, torch.zeros(2, *found.event_shape))
    _freeze_unused(decoder, torch.zeros(2, latent_dim))
    vae = VAE(
        found.event_shape,
        latent_dim,
        likelihood=given,
        decoder=decoder,
        posterior={
            "kind": "diagonal_normal", "min_scale": 1 / MAX_SCALE, "max_scale": MAX_SCALE
        },
        encoder=encoder,
    )  # fmt: skip
    vae._trained = True
    return ImportedModel(vae.eval(), source, implied, statement)


def _checked(likelihood: Any) -> dict[str, Any]:
    """A declaration of a likelihood of what a decoder gives.

    Raises:
        DeclarationError: if it takes something else.
    """
    declared = {"kind": likelihood} if isinstance(likelihood, str) else likelihood
    kind = declared.get("kind") if isinstance(declared, dict) else type(declared).__name__
    if kind not in (*OF_LOGITS, *OF_MEANS):
        known = ", ".join((*OF_MEANS, *OF_LOGITS))
        raise DeclarationError(
            f"likelihood: expected one of what such a decoder gives ({known}), by name or as a "
            f"mapping with 'kind', got {kind!r}",
            "import_model",
        )
    return dict(declared)


def _implied(
    found: Foreign, loss: Loss | None, reduction: Reduction, kl_weight: float
) -> tuple[dict[str, Any] | None, str]:
    size = math.prod(found.event_shape)
    if found.loss is not None:
        if loss is not None:
            raise DeclarationError(
                f"loss: expected none, as its folder says {found.loss}, got {loss!r}",
                "import_model",
            )
        return implied_likelihood(found.loss, size, weight=found.weight, kl_weight=found.kl_weight)
    if loss is None:
        return None, f"no likelihood that is known: {found.unknown}"
    weight = 1 / size if reduction == "mean" else 1.0
    return implied_likelihood(loss, size, weight=weight, kl_weight=kl_weight)


def _freeze_unused(network: nn.Module, given: torch.Tensor) -> None:
    """Freeze the weights of the other half, which have no part in this one."""
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):
        network(given).sum().backward()
    for parameter in network.parameters():
        if parameter.grad is None:
            parameter.requires_grad_(False)
        parameter.grad = None
