"""A new prior for a trained model: a density of its codes, fitted after training."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyro_vae.core.errors import (
    DataError,
    DeclarationError,
    IncompatibleComponents,
    NonFiniteLoss,
    at_least,
)
from pyro_vae.core.missing import seen_mean
from pyro_vae.core.modes import alone, device_of, seeded
from pyro_vae.core.prior import Prior
from pyro_vae.data.dataset import DataSet
from pyro_vae.data.dataset import Split as Data
from pyro_vae.diagnostics.comparison import ELBO, Comparison, compare
from pyro_vae.diagnostics.evaluate import data_for, evaluate
from pyro_vae.report.estimate import Estimate
from pyro_vae.report.progress import progress
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Table
from pyro_vae.training.amortization import starting_data
from pyro_vae.vae import VAE

__all__ = ["PriorRefit", "refit_prior"]

DRAWS = 10  # of each validation datum's code, and of each test datum's
AFTER = "refitted"


@dataclass(frozen=True, repr=False)
class PriorRefit(ShownAsTable):
    """A model with a new prior; a terminal and Jupyter show what it gains.

    Args:
        vae: The new model. It shares nothing with the one before.
        comparison: Both models' ELBO on the test data (the validation data, if there are none),
            from the same draws of q(z|x).
        history: Mean of log p(z) over the validation data's codes after each epoch, in nats.
        best_epoch: Whose prior the new model has.
    """

    vae: VAE
    comparison: Comparison
    history: list[float]
    best_epoch: int
    omitted = ("vae",)
    derived = ("gain",)

    @property
    def gain(self) -> Estimate:
        """ELBO after less ELBO before, in nats per datum, with its paired standard error."""
        return self.comparison.differences[ELBO][AFTER]

    def table(self) -> Table:
        """Both models' ELBO, and the paired difference."""
        return self.comparison.table()


@alone()
def refit_prior(
    vae: VAE,
    prior: str | Mapping[str, Any] | Prior,
    data: DataSet | Any,
    *,
    epochs: int = 200,
    batch_size: int = 128,
    lr: float = 3e-3,
    patience: int = 20,
    seed: int = 0,
    show_progress: bool = True,
) -> PriorRefit:
    r"""Fit a new prior to a trained model's codes; all else stays as it is.

    .. math:: \max_{p} \; E_x E_{q(z \mid x)}[\log p(z)]

    With q(z|x) and p(x|z) fixed, this is the ELBO up to a constant, so that the best prior is the
    aggregate posterior, the mean of q(z|x) over the data. Adam follows fresh draws of q(z|x) of
    the training data. The epoch whose mean of log p(z) is best on the validation data is kept.

    Args:
        vae: The model, which is left as it is.
        prior: Any prior that learns something, as a name, a mapping with ``kind``, or a Prior.
        data: As :func:`~pyro_vae.fit` takes it, with a validation split.
        epochs: Passes over the training data at most.
        batch_size: Data in one step.
        lr: Adam's learning rate.
        patience: Stop after this many epochs without a better one.
        seed: Seed of the prior's weights, the order of the data and every draw.
        show_progress: Whether to show a progress bar.

    Raises:
        DeclarationError: if the prior's declaration, or a setting, is not valid.
        DataError: if there is no validation split.
        IncompatibleComponents: if the prior learns nothing, or does not go with the model or its
            decoder; or if the data do not fit.
        NonFiniteLoss: if log p(z) becomes NaN or infinite.

    References:
        | ELBO surgery: yet another way to carve up the variational evidence lower bound
        | (Hoffman and Johnson, 2016)
        | http://approximateinference.org/accepted/HoffmanJohnson2016.pdf
        | From variational to deterministic autoencoders (Ghosh et al., 2020), section 4
        | https://arxiv.org/abs/1903.12436

    Example:
        >>> from pyro_vae import fit
        >>> vae, x = VAE(event_shape=(3,), latent_dim=2), torch.randn(200, 3)
        >>> result = fit(vae, x, epochs=2, show_progress=False)
        >>> refit = refit_prior(vae, "diagonal_normal", x, epochs=5, show_progress=False)
        >>> refit.vae.declaration["prior"], refit.gain.unit
        ({'kind': 'diagonal_normal'}, 'nats per datum')
    """
    at_least(1, epochs=epochs, batch_size=batch_size, patience=patience)
    if not lr > 0:
        raise DeclarationError(f"lr: must be > 0, got {lr}", "How to fit the prior")
    data = data_for(vae, data)
    if not len(data.validation):
        raise DataError(
            "Expected a validation split, on which the fit of the prior stops early, got none; "
            "set data.validation, or give as_dataset(x, validation=0.1)"
        )
    device = device_of(vae)
    with seeded(seed, device), torch.no_grad():
        new = _with_prior(vae, prior, data)
        learned = [each for each in new.prior.parameters() if each.requires_grad]
        if not learned:
            raise IncompatibleComponents(
                f"Expected a prior that learns something, got {new.prior.kind}, which has no "
                f"parameters; choose another, such as gaussian_mixture"
            )
        optimizer = torch.optim.Adam(learned, lr=lr)
        order = torch.Generator().manual_seed(seed)
        held_out = [_codes(new, data.validation, index, order, DRAWS)
                    for index in torch.arange(len(data.validation)).split(1000)]  # fmt: skip
        history: list[float] = []
        best, weights = 0, copy.deepcopy(new.prior.state_dict())
        with progress(epochs, "Refitting p(z)", unit="epochs", enabled=show_progress) as bar:
            while len(history) < epochs and len(history) - best < patience:
                for index in torch.randperm(len(data.train), generator=order).split(batch_size):
                    model, z = _codes(new, data.train, index, order)
                    with torch.enable_grad():
                        loss = -model.prior().log_prob(z).mean()
                        gradients = torch.autograd.grad(loss, learned)
                    for parameter, gradient in zip(learned, gradients, strict=True):
                        parameter.grad = gradient
                    optimizer.step()
                history.append(_mean_log_prior(held_out))
                if not best or history[-1] > history[best - 1]:
                    best, weights = len(history), copy.deepcopy(new.prior.state_dict())
                bar.advance(log_p_z=history[-1])
        new.prior.load_state_dict(weights)
        new.zero_grad()
    split: Any = "test" if len(data.test) else "validation"
    scores = {
        name: evaluate(model, data, split=split, kl="sampled", particles=DRAWS, seed=seed,
                       show_progress=False)
        for name, model in {"before": vae, AFTER: new}.items()
    }  # fmt: skip
    return PriorRefit(new, compare(scores), history, best)


def _with_prior(vae: VAE, prior: Any, data: DataSet) -> VAE:
    """A copy of the model, in evaluation mode, with another prior, initialized from the data."""
    weight = next(vae.parameters(), torch.empty(0))
    new = vae.swap(prior=copy.deepcopy(prior)).to(weight.device, weight.dtype)
    if new.code != vae.code:
        raise IncompatibleComponents(
            f"Expected a prior of which the decoder reads as much of z as before, got "
            f"{new.prior.kind}; choose another, or train a model with it"
        )
    used = {id(module) for module in vars(new.posterior).values()}
    if any(id(module) in used for module in new.prior.modules()):
        raise IncompatibleComponents(
            f"Expected a prior that shares nothing with the posterior, whose draws would change "
            f"with it, got {new.prior.kind} with {new.posterior.kind}; train a new model instead"
        )
    kept = {k: v for k, v in vae.state_dict().items() if not k.startswith("prior.")}
    new.load_state_dict(kept, strict=False)
    new.standardization, new._trained = vae.standardization, True
    x = starting_data(new, data.train)[1].to(weight.device, weight.dtype)
    new.prior.initialize(torch.where(x.isnan(), seen_mean(x, 0), x))
    return new.eval()


def _codes(
    vae: VAE, split: Data, index: Tensor, generator: torch.Generator, *size: int
) -> tuple[VAE, Tensor]:
    """The model given these data's conditions, and draws of q(z|x), ``(*size, N, M)``."""
    model = vae.given(split.conditions(index))
    x = split.batch(index, generator)
    weight = next(vae.parameters(), x)
    q = model.encode(x.to(weight.device, weight.dtype))
    return model, q.sample(torch.Size(size))


def _mean_log_prior(codes: list[tuple[VAE, Tensor]]) -> float:
    found = torch.cat([model.prior().log_prob(z).flatten() for model, z in codes]).double()
    if not found.isfinite().all():
        raise NonFiniteLoss(
            "log p(z): expected a finite number for each validation datum's code, got NaN or "
            "infinity; lower lr, or choose another prior"
        )
    return found.mean().item()
