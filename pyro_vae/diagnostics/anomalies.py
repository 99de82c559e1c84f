"""Scores that tell data unlike those that a model was trained on."""

from __future__ import annotations

import math
from io import BytesIO
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_vae.core.errors import DataError, DeclarationError, IncompatibleComponents, at_least
from pyro_vae.core.messages import listed, nearest, shown
from pyro_vae.data.checks import AnyArray
from pyro_vae.data.dataset import DataSet
from pyro_vae.data.standardization import log_scale
from pyro_vae.diagnostics.evaluate import chosen, data_for
from pyro_vae.diagnostics.new_data import like, log_densities
from pyro_vae.vae import VAE

__all__ = ["AnomalyMethod", "anomaly_scores"]

AnomalyMethod = Literal["elbo", "typicality", "likelihood_ratio", "complexity"]


def anomaly_scores(
    vae: VAE,
    X: AnyArray,
    method: AnomalyMethod,
    *,
    data: DataSet | Any = None,
    background: VAE | None = None,
    samples: int = 50,
    seed: int = 0,
    batch_size: int = 1000,
) -> Any:
    r"""How unlike the training data each datum is, in nats: the higher, the more anomalous.

    - ``elbo``: -ELBO. A simple datum may have a higher density than any of the training data,
      and then passes for a normal one.
    - ``typicality``: :math:`|\log p(x) - m|`, where m is the mean of log p over the validation
      data, or over the training data if there are none.
    - ``likelihood_ratio``: :math:`\log p_b(x) - \log p(x)`, where p_b is a background model,
      trained on perturbed data, say: what both find easy cancels.
    - ``complexity``: :math:`-\log p(x) - L(x)`, where L is the length of the picture as a PNG
      file (Pillow's, optimized; 1 bit a pixel for a likelihood of binary data and 8 bits for any
      other): what is simple for anyone is discounted.

    log p(x) is estimated by importance sampling, as by :func:`~pyro_vae.score_samples`.

    Args:
        vae: The model.
        X: As :func:`~pyro_vae.embed` takes it. An array or a table is scored in its own units, a
            tensor as it is.
        method: One of the four.
        data: For ``typicality``: what the model was trained on, as ``fit`` takes it.
        background: For ``likelihood_ratio``: a model of the same kind of data.
        samples: Draws from q(z|x) for each datum, at least 2.
        seed: Seed of the draws.
        batch_size: Data at a time.

    Returns:
        A NumPy array ``(N,)``; for a table, a Series with its index, named for the method.

    Raises:
        DeclarationError: if there is no such method, or it lacks what it needs.
        DataError: if the data do not fit the model, or are no pictures and ``complexity`` is
            requested.
        IncompatibleComponents: if the background's likelihood or scale is another.
        NonFiniteLoss: if a weight is NaN or infinite.

    References:
        | Detecting out-of-distribution inputs to deep generative models using typicality
        | (Nalisnick et al., 2019) https://arxiv.org/abs/1906.02994
        | Likelihood ratios for out-of-distribution detection (Ren et al., 2019)
        | https://arxiv.org/abs/1906.02845
        | Input complexity and out-of-distribution detection with likelihood-based generative
        | models (Serra et al., 2020) https://arxiv.org/abs/1909.11480

    Example:
        >>> anomaly_scores(VAE(event_shape=(4,), latent_dim=2), np.zeros((3, 4)), "elbo").shape
        (3,)
    """
    _check(method, data, background)
    at_least(2, samples=samples)
    how: Any = {"seed": seed, "batch_size": batch_size}
    if background is not None:
        _check_background(vae, background, X)
    lengths = _png_lengths(vae, X) if method == "complexity" else None
    typical = None if data is None else _typical(vae, X, data, samples, how)
    log_p = log_densities(vae, X, samples, elbo=method == "elbo", **how)
    if lengths is not None:
        scores = -log_p - lengths
    elif typical is not None:
        scores = np.abs(log_p - typical)
    elif background is not None:
        scores = log_densities(background, X, samples, **how) - log_p
    else:
        scores = -log_p
    if not np.isfinite(scores).all():
        row = int(np.argwhere(~np.isfinite(scores))[0, 0])
        raise DataError(f"x: expected data with a finite log p(x), got row {row} with NaN or inf")
    return like(X, scores, method)


def _check(method: str, data: Any, background: Any) -> None:
    known = get_args(AnomalyMethod)
    if method not in known:
        hint = nearest(method, known)
        problem = f"method: must be {listed(known)}, got {shown(method)}{hint}"
        raise DeclarationError(problem, "The anomaly score")
    needs = {
        "data": ("typicality", data, "what the model was trained on"),
        "background": ("likelihood_ratio", background, "a model trained on perturbed data"),
    }
    problems = []
    for name, (owner, value, what) in needs.items():
        if method == owner and value is None:
            problems.append(f"{name}: {owner} needs {what}, got none; give {name}=...")
        if method != owner and value is not None:
            problems.append(f"{name}: only {owner} takes it, and the method is {method}")
    if problems:
        raise DeclarationError(problems, "The anomaly score")


def _typical(vae: VAE, X: Any, data: Any, samples: int, how: dict[str, Any]) -> float:
    """The mean of log p(x) over the validation data, or the training data."""
    known = data_for(vae, data)
    name = "validation" if len(known.validation) else "train"
    x, conditions = chosen(known.splits[name], name, None, how["seed"])
    weight = next(vae.parameters(), x)
    x = x.to(weight.device, weight.dtype)
    log_p = torch.as_tensor(log_densities(vae.given(conditions), x, samples, **how))
    if not isinstance(X, Tensor):
        log_p = log_p - log_scale(vae.standardization, x)
    return log_p.mean().item()


def _check_background(vae: VAE, background: VAE, X: Any) -> None:
    measures = ["probability" if v.likelihood.support.is_discrete else "density"
                for v in (vae, background)]  # fmt: skip
    pairs = {
        "event shape": (tuple(vae.event_shape), tuple(background.event_shape)),
        "log p(x)": tuple(f"of a {measure} of the data" for measure in measures),
    }
    if isinstance(X, Tensor):
        words = "standardized as the model's training data"
        same = vae.standardization == background.standardization
        pairs["a tensor"] = (words, words if same else "on another scale; give an array instead")
    for name, (ours, theirs) in pairs.items():
        if ours != theirs:
            raise IncompatibleComponents(
                f"background: expected a model that can be compared: {name} {ours}, got {theirs}"
            )


def _png_lengths(vae: VAE, X: Any) -> Any:
    """The length of each datum as a PNG file, in nats, ``(N,)``."""
    from PIL import Image

    shape = tuple(vae.event_shape)
    if not (len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3))):
        raise DataError(
            f"complexity: expected pictures of shape (height, width), or (1 or 3, height, "
            f"width), got data of shape {shape}; choose typicality or likelihood_ratio"
        )
    x = vae.inverse(vae.rows(X)).cpu()
    if not bool(((x >= 0) & (x <= 1)).all()):
        raise DataError(
            f"complexity: expected intensities from 0 to 1, which have 256 levels in a PNG file, "
            f"got values from {x.min():g} to {x.max():g}; choose typicality or likelihood_ratio"
        )
    levels = (x.reshape(-1, *shape[-3:]) * 255).round().to(torch.uint8).numpy()
    binary = vae.likelihood.support is constraints.boolean
    lengths = []
    for each in levels:
        colour = each.ndim == 3 and len(each) == 3
        pixels = each.transpose(1, 2, 0) if colour else each.reshape(shape[-2:])
        picture, file = Image.fromarray(pixels), BytesIO()
        (picture.convert("1", dither=Image.Dither.NONE) if binary else picture).save(
            file, "png", optimize=True
        )
        lengths.append(8 * math.log(2) * len(file.getvalue()))
    return np.array(lengths)
