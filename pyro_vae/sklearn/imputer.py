"""A VAE as a scikit-learn imputer, where ``IterativeImputer`` fits."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.impute import SimpleImputer
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from pyro_vae.core.errors import DataError, DeclarationError, at_least
from pyro_vae.evidence.conditional import check_encodes_gaps
from pyro_vae.evidence.exact import linear_gaussian
from pyro_vae.sklearn.estimator import VAEEstimator
from pyro_vae.sklearn.rows import Numbers, completed, seed_from

__all__ = ["VAEImputer"]

USUAL: dict[str, Any] = {
    "latent_dim": 8,
    "likelihood": {"kind": "gaussian", "scale": "per_dimension"},
    "decoder": {"kind": "mlp", "hidden": [64], "activation": "tanh"},
    "encoder": {"kind": "mlp", "hidden": [128]},
    "objective": {"kind": "iwae", "particles": 10},
    "epochs": 60, "batch_size": 64, "lr": 3e-3, "schedule": "cosine",
}  # fmt: skip


class VAEImputer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Fills in missing values by a VAE of the table: :func:`~pyro_vae.impute` as a transformer.

    It takes dense arrays and pandas tables of numbers, ``(N, features)``. A column of which
    nothing is seen by ``fit`` is left out, with scikit-learn's warning, or is 0 with
    ``keep_empty_features``. A row of which nothing is seen is not trained on.

    Args:
        estimator: A :class:`~pyro_vae.VAEEstimator` to train a copy of, whose ``missing`` becomes
            zero_and_mask; None for a Gaussian one with 8 codes, trained on MIWAE's bound.
        missing_values: What stands for a missing value: NaN, or a number.
        sample_posterior: Whether a missing value becomes a draw from p(x_missing | x_seen), a new
            one with each call, for multiple imputation; False for its mean.
        samples: Importance samples for each row, at least 2.
        keep_empty_features: Whether a column of which nothing is seen is kept.
        add_indicator: Whether columns that say what was missing are added.
        random_state: Seed of the draws, and of training if the estimator has none.

    Attributes:
        estimator_: The trained estimator, of the columns of which something is seen.
        n_features_in_: Number of features.
        feature_names_in_: Their names, if a table was given.

    Example:
        >>> X = np.random.default_rng(0).normal(size=(100, 3))
        >>> X[::9, 1] = np.nan
        >>> imputer = VAEImputer(VAEEstimator(epochs=2), samples=50, random_state=0)
        >>> np.isnan(imputer.fit_transform(X)).any()
        np.False_
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        missing_values: Any = np.nan,
        sample_posterior: bool = False,
        samples: int = 1000,
        keep_empty_features: bool = False,
        add_indicator: bool = False,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.missing_values = missing_values
        self.sample_posterior = sample_posterior
        self.samples = samples
        self.keep_empty_features = keep_empty_features
        self.add_indicator = add_indicator
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on what is seen of data ``(N, features)``; ``y`` is ignored.

        Raises:
            ValueError: if ``X`` is not such an array.
            PyroVAEError: if an argument, or the model for these data, is not valid.
        """
        at_least(2, samples=self.samples)
        if not isinstance(self.missing_values, Real):
            raise DeclarationError(
                f"missing_values: expected NaN or a number, got {self.missing_values!r}"
            )
        if not isinstance(self.estimator, VAEEstimator | None):
            raise DeclarationError(
                f"estimator: expected a VAEEstimator or None, got {type(self.estimator).__name__}"
            )
        data = self._with_nan(X, reset=True, ensure_min_samples=2)
        self._simple = SimpleImputer(
            missing_values=self.missing_values, keep_empty_features=self.keep_empty_features,
            add_indicator=self.add_indicator,
        ).set_output(transform="default").fit(X)  # fmt: skip
        seen = ~np.isnan(data)
        self._known = np.asarray(seen.any(0))
        if not self._known.any():
            raise DataError("X: expected a value in at least one column, got none")
        self._random = check_random_state(self.random_state)
        model = VAEEstimator(**USUAL) if self.estimator is None else clone(self.estimator)
        model.set_params(missing="zero_and_mask")
        if model.random_state is None:
            model.set_params(random_state=seed_from(self._random))
        vae = model._built(int(self._known.sum()), 0)
        if linear_gaussian(vae) is None:
            check_encodes_gaps(vae)  # before it is trained
        self.estimator_ = model.fit(data[seen.any(1)][:, self._known])
        return self

    def transform(self, X: Any) -> Numbers:
        """Data ``(N, features)`` with their missing values filled in, in their own units."""
        check_is_fitted(self)
        data = self._with_nan(X, reset=False)
        filled: Numbers = self._simple.transform(X)
        kept = self._known if self.keep_empty_features else self._known[self._known]
        generator = self._random if self.sample_posterior else None
        model, known = self.estimator_.vae_, data[:, self._known]
        filled[:, np.flatnonzero(kept)] = completed(model, known, self.samples, generator)
        return filled

    def get_feature_names_out(self, input_features: Any = None) -> Numbers:
        """Names of the columns that :meth:`transform` gives."""
        check_is_fitted(self)
        names: Numbers = self._simple.get_feature_names_out(input_features)
        return names

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._nan
        return tags

    @property
    def _nan(self) -> bool:
        return isinstance(self.missing_values, Real) and math.isnan(self.missing_values)

    def _with_nan(self, X: Any, **how: Any) -> Numbers:
        """Data by scikit-learn's checks, NaN where a value is missing."""
        finite = "allow-nan" if self._nan else True
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_all_finite=finite, **how)
        return X if self._nan else np.where(self.missing_values == X, np.nan, X)
