"""A VAE as a scikit-learn estimator, for pipelines and searches."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted
from torch.distributions import constraints

from pyro_vae.core.errors import at_least
from pyro_vae.core.missing import Gaps
from pyro_vae.core.modes import device_of, seeded
from pyro_vae.core.parts import FAMILIES, Declaration
from pyro_vae.data.prepare import as_dataset
from pyro_vae.diagnostics.new_data import embed
from pyro_vae.objectives.objective import Objective
from pyro_vae.sklearn.pickled import PickledModel
from pyro_vae.sklearn.rows import (
    Numbers,
    as_conditions,
    as_events,
    completed,
    flat,
    model_of,
    scores_of,
    seed_from,
    valid,
)
from pyro_vae.training.fit import AGAIN, fit
from pyro_vae.training.schedules.schedule import Schedule
from pyro_vae.training.stepper import StepMethod
from pyro_vae.vae import VAE

__all__ = ["VAEEstimator"]


class VAEEstimator(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    DensityMixin,  # type: ignore[misc]
    PickledModel,
):
    """A VAE that scikit-learn fits, clones, pickles and puts into a ``Pipeline``.

    It takes arrays, tables of pandas and SciPy's sparse matrices, ``(N, features)``. Fitting it
    is :func:`~pyro_vae.fit` on all of them, and the model is ``vae_``.

    Args:
        latent_dim: Size M of the latent code.
        prior: p(z), as :class:`~pyro_vae.VAE` takes it; so are the four that follow.
        likelihood: p(x|z). Poisson, negative binomial and multinomial are for counts.
        decoder: Network from z to the likelihood's parameters.
        posterior: q(z|x).
        encoder: Network from x to the posterior's parameters.
        event_shape: Shape of one datum for networks that need one, such as ``(1, 8, 8)`` for
            ``conv``; None for ``(features,)``.
        missing: ``zero_and_mask`` takes NaN for a missing value, as :class:`~pyro_vae.VAE` does.
        condition: What each datum is given, as :class:`~pyro_vae.VAE` takes it: each method then
            takes ``condition=``, numbers ``(N,)`` or ``(N, k)``, which metadata routing passes on.
        standardize: Whether the model sees z-scores of what it is fitted to; None if its
            likelihood is for all real numbers. Results are in the data's own units.
        objective: What training maximizes, as ``fit`` takes it; so are the four that follow.
        epochs: Passes over the training data.
        batch_size: Data in one step.
        lr: Adam's learning rate.
        schedule: Learning-rate schedule.
        patience: Stop after this many epochs without a better ELBO of the data held out, and
            keep the best epoch's weights; None trains on all data for all epochs.
        validation_fraction: Share of the data to hold out for ``patience``.
        nll: Importance samples for each datum in :meth:`score_samples`, at least 2.
        step: How a training step is run: ``auto``, ``compiled`` or ``pyro``.
        device: ``auto`` uses CUDA if available.
        verbose: Whether to show a progress bar.
        random_state: Seed of the weights, of training, and of :meth:`sample`: a whole number, a
            ``numpy.random.RandomState``, or None for NumPy's global one.

    Attributes:
        vae_: The trained model.
        history_: One mapping for each epoch of the last fit: ``elbo``, ``log_likelihood``, ...
        n_features_in_: Number of features.
        feature_names_in_: Their names, if a table was given.

    Example:
        >>> X = np.random.default_rng(0).normal(size=(200, 5))
        >>> estimator = VAEEstimator(latent_dim=2, epochs=2, random_state=0).fit(X)
        >>> estimator.transform(X).shape, estimator.sample(3).shape
        ((200, 2), (3, 5))
    """

    def __init__(
        self,
        latent_dim: int = 2,
        *,
        prior: Declaration = "standard_normal",
        likelihood: Declaration = "gaussian",
        decoder: Declaration = "mlp",
        posterior: Declaration = "diagonal_normal",
        encoder: Declaration = "mlp",
        event_shape: tuple[int, ...] | None = None,
        missing: Gaps = "none",
        condition: Declaration | None = None,
        standardize: bool | None = None,
        objective: str | Mapping[str, Any] | Objective = "elbo",
        epochs: int = 100,
        batch_size: int = 128,
        lr: float = 1e-3,
        schedule: str | Mapping[str, Any] | Schedule = "constant",
        patience: int | None = None,
        validation_fraction: float = 0.1,
        nll: int = 50,
        step: StepMethod = "auto",
        device: str = "auto",
        verbose: bool = False,
        random_state: Any = None,
    ) -> None:
        self.latent_dim = latent_dim
        self.prior = prior
        self.likelihood = likelihood
        self.decoder = decoder
        self.posterior = posterior
        self.encoder = encoder
        self.event_shape = event_shape
        self.missing = missing
        self.condition = condition
        self.standardize = standardize
        self.objective = objective
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.schedule = schedule
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.nll = nll
        self.step = step
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, condition: Any = None) -> Self:
        """Train a new model on data ``(N, features)``, at least two; ``y`` is ignored.

        Raises:
            ValueError: if ``X`` is not such an array.
            PyroVAEError: if an argument, or the model for these data, is not valid.
        """
        return self._trained_on(X, condition, self.epochs, new=True)

    def fit_transform(self, X: Any, y: Any = None, condition: Any = None) -> Any:
        """:meth:`fit`, and then :meth:`transform` of the same data."""
        return self.fit(X, y, condition).transform(X, condition)

    def partial_fit(self, X: Any, y: Any = None, condition: Any = None) -> Self:
        """One more epoch, on these data; the first call builds the model, as :meth:`fit` does.

        The z-scores stay those of the first call's data. Adam's moments and the schedule start
        anew with each call.
        """
        with warnings.catch_warnings():
            for known in (AGAIN[:40], "Expected columns"):  # of a few data, which say little
                warnings.filterwarnings("ignore", known)
            return self._trained_on(X, condition, 1, new=not hasattr(self, "vae_"))

    def transform(self, X: Any, condition: Any = None) -> Numbers:
        """The posterior means ``(N, M)``, or :func:`~pyro_vae.embed`'s point estimates.

        They are computed in float64, so that a datum's code is the same in any batch.
        """
        X = self._checked(X)
        with model_of(self, condition, X.shape[0]) as vae:
            return np.asarray(embed(vae, as_events(X, vae)), dtype=np.float64)

    def inverse_transform(self, X: Any, condition: Any = None) -> Numbers:
        """The means of p(x|z) for codes ``(N, M)``: data ``(N, features)`` in their own units."""
        check_is_fitted(self)
        z = check_array(X, dtype=np.float64, estimator=self)
        if z.shape[1] != self.vae_.latent_dim:
            raise ValueError(
                f"X: expected codes of {self.vae_.latent_dim} numbers, got {z.shape[1]}"
            )
        with model_of(self, condition, len(z)) as vae:
            return flat(vae.inverse(vae.decode(torch.as_tensor(z, device=device_of(vae))).mean))

    def sample(self, n_samples: int = 1, condition: Any = None) -> Numbers:
        """New data ``(n_samples, features)``: z ~ p(z), x ~ p(x|z), in their own units."""
        check_is_fitted(self)
        at_least(1, n_samples=n_samples)
        seed = seed_from(check_random_state(self.random_state))
        with model_of(self, condition, n_samples, seed) as vae:
            return flat(vae.generate(n_samples, sample=True))

    def score_samples(self, X: Any, condition: Any = None) -> Numbers:
        """The evidence of each datum, log p(x) in nats ``(N,)``, of what is seen in its own units.

        By ``nll`` importance samples for each datum: too small in expectation, and the less so
        the more there are. A datum's draws depend on its values alone, so its score is the same in
        any batch; :func:`~pyro_vae.score_samples` draws for a whole batch, which is quicker.
        """
        X = self._checked(X)
        at_least(2, nll=self.nll)
        with model_of(self, condition, X.shape[0], validate=False) as vae:
            return scores_of(vae, X, self.nll)

    def score(
        self, X: Any, y: Any = None, condition: Any = None, sample_weight: Any = None
    ) -> float:
        """The mean of log p(x) in nats per datum, which a search maximizes; ``y`` is ignored."""
        return float(np.average(self.score_samples(X, condition), weights=sample_weight))

    def impute(self, X: Any, samples: int = 1000, condition: Any = None) -> Numbers:
        """``X`` with each missing value replaced by its conditional mean, in its own units.

        By ``samples`` importance samples for each datum with a gap, at least 2, that depend on its
        values alone. :func:`~pyro_vae.impute` gives errors and multiple imputations too.
        """
        X = self._checked(X)
        at_least(2, samples=samples)
        c = as_conditions(self, condition, X.shape[0])
        return completed(self.vae_.given(c), X, samples)

    @property
    def _n_features_out(self) -> int:
        return int(self.vae_.latent_dim)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.missing != "none"
        return tags

    def _checked(self, X: Any) -> Any:
        """Data for a fitted model, by scikit-learn's checks."""
        check_is_fitted(self)
        return valid(self, X, reset=False)

    def _trained_on(self, X: Any, condition: Any, epochs: int, *, new: bool) -> Self:
        if new:
            X = valid(self, X, ensure_min_samples=2)
            self._random = check_random_state(self.random_state)
            vae = self._built(X.shape[1], seed_from(self._random))
            real = vae.likelihood.support is constraints.real
            wanted = real if self.standardize is None else self.standardize
            how: Any = "zscore" if wanted else "none"
        else:
            X = self._checked(X)
            vae, how = self.vae_, self.vae_.standardization or "none"
        c = as_conditions(self, condition, X.shape[0])
        held_out = 0 if self.patience is None else self.validation_fraction
        data = as_dataset(
            as_events(X, vae),
            standardize=how,
            test=0,
            validation=held_out,
            missing=vae.on_missing,
            condition=c,
        )
        result = fit(
            vae, data, objective=self.objective, epochs=epochs, batch_size=self.batch_size,
            lr=self.lr, schedule=self.schedule, patience=self.patience, step=self.step,
            device=self.device, seed=seed_from(self._random), show_progress=self.verbose,
        )  # fmt: skip
        self.vae_, self.history_ = vae, result.history
        return self

    def _built(self, features: int, seed: int) -> VAE:
        """A new model; modules among the arguments are copied, so that they stay as they are."""
        given = {name: copy.deepcopy(getattr(self, name)) for name in ("latent_dim", *FAMILIES)}
        shape = (features,) if self.event_shape is None else tuple(self.event_shape)
        if math.prod(shape) != features:
            raise ValueError(
                f"event_shape: expected sizes whose product is the {features} features of X, "
                f"got {shape}"
            )
        with seeded(seed, torch.device("cpu")):
            condition = copy.deepcopy(self.condition)
            return VAE(shape, missing=self.missing, condition=condition, **given)
