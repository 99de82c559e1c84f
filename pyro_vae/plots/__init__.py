"""Pictures on matplotlib's axes: each function draws on ``ax``, and returns it.

Without ``ax`` a new pyplot figure is made, in your own style of matplotlib. What draws data takes
arrays or tensors; what draws a result takes the result. ``result.figure()`` is a whole picture.

- ``plot_active_units``: variance of each dimension of the code against the threshold.
- ``plot_aggregate_posterior``: q(z) beside p(z), dimension by dimension.
- ``plot_audit``: the differences that an audit found, in standard errors.
- ``plot_calibration``: ranks in their band.
- ``plot_comparison``: differences between models, with their intervals.
- ``plot_gaps``: the approximation and amortization gaps of each datum.
- ``plot_gradients``: bias, noise or cost of gradient estimators.
- ``plot_history``: the ELBO or one of its terms over a training run.
- ``plot_images``: images side by side.
- ``plot_importance_weights``: the tails of importance weights.
- ``plot_kl_per_dimension``: the KL of each dimension of the code.
- ``plot_latent``: latent codes in the plane.
- ``plot_manifold``: images decoded on a grid of the plane of codes.
- ``plot_monte_carlo_error``: RMS error against the number of particles.
- ``plot_posterior``: draws of the true posterior beside the guide's.
- ``plot_reconstructions``: data beside their reconstructions.
- ``plot_samples``: draws from a model.
- ``plot_topics``: coherence or share of each topic.
- ``plot_traversals``: what is decoded as one dimension of the code moves.
"""

from pyro_vae.plots.bars import (
    plot_active_units,
    plot_gaps,
    plot_kl_per_dimension,
    plot_topics,
)
from pyro_vae.plots.calibration import plot_calibration, plot_importance_weights
from pyro_vae.plots.curves import plot_history, plot_monte_carlo_error
from pyro_vae.plots.intervals import plot_audit, plot_comparison, plot_gradients
from pyro_vae.plots.latent import plot_latent
from pyro_vae.plots.mosaic import plot_manifold
from pyro_vae.plots.pictures import (
    plot_images,
    plot_reconstructions,
    plot_samples,
    plot_traversals,
)
from pyro_vae.plots.posteriors import plot_aggregate_posterior, plot_posterior

__all__ = [
    "plot_active_units",
    "plot_aggregate_posterior",
    "plot_audit",
    "plot_calibration",
    "plot_comparison",
    "plot_gaps",
    "plot_gradients",
    "plot_history",
    "plot_images",
    "plot_importance_weights",
    "plot_kl_per_dimension",
    "plot_latent",
    "plot_manifold",
    "plot_monte_carlo_error",
    "plot_posterior",
    "plot_reconstructions",
    "plot_samples",
    "plot_topics",
    "plot_traversals",
]
