"""scikit-learn's interface: a VAE as an estimator, and as an imputer."""

from pyro_vae.sklearn.estimator import VAEEstimator
from pyro_vae.sklearn.imputer import VAEImputer

__all__ = ["VAEEstimator", "VAEImputer"]
