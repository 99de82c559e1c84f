"""Plots of arrays, as matplotlib figures that Jupyter shows and ``savefig`` writes.

- ``calibration_panels``: ranks in their bands, and tails of importance weights.
- ``elbo_curves``: the ELBO and its terms over a training run.
- ``forest``: differences with their intervals, against 0.
- ``gap_bars``: the approximation and amortization gaps of each datum.
- ``gradient_panels``: bias, noise and cost of gradient estimators.
- ``image_grid``: images side by side.
- ``latent_scatter``: latent codes in the plane.
- ``manifold``: images decoded on a grid of the plane of codes.
- ``monte_carlo_error``: RMS error against the number of particles.
- ``posterior_panels``: draws of the true posterior beside the guide's.
- ``reconstructions``: data above their reconstructions.
- ``samples``: draws from a model.
- ``topic_bars``: coherence and share of each topic.
- ``traversals``: what is decoded as one dimension of the code moves.
- ``unit_bars``: variance and KL of each latent dimension.
"""

from pyro_vae.plots.bars import gap_bars, topic_bars, unit_bars
from pyro_vae.plots.calibration import calibration_panels
from pyro_vae.plots.curves import elbo_curves, monte_carlo_error
from pyro_vae.plots.intervals import forest, gradient_panels
from pyro_vae.plots.latent import latent_scatter, posterior_panels
from pyro_vae.plots.mosaic import manifold
from pyro_vae.plots.pictures import image_grid, reconstructions, samples, traversals
from pyro_vae.plots.style import Picture

__all__ = [
    "Picture",
    "calibration_panels",
    "elbo_curves",
    "forest",
    "gap_bars",
    "gradient_panels",
    "image_grid",
    "latent_scatter",
    "manifold",
    "monte_carlo_error",
    "posterior_panels",
    "reconstructions",
    "samples",
    "topic_bars",
    "traversals",
    "unit_bars",
]
