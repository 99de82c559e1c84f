"""Pictures: arrays in, a figure out that shows itself in Jupyter and saves itself anywhere."""

from pyro_vae.plots.curves import elbo_curves, monte_carlo_error
from pyro_vae.plots.gaps import gap_bars
from pyro_vae.plots.gradients import gradient_panels
from pyro_vae.plots.intervals import Difference, forest
from pyro_vae.plots.latent import latent_scatter
from pyro_vae.plots.pictures import image_grid, reconstructions, samples
from pyro_vae.plots.posteriors import posterior_panels
from pyro_vae.plots.style import Picture
from pyro_vae.plots.units import unit_bars

__all__ = [
    "Difference",
    "Picture",
    "elbo_curves",
    "forest",
    "gap_bars",
    "gradient_panels",
    "image_grid",
    "latent_scatter",
    "monte_carlo_error",
    "posterior_panels",
    "reconstructions",
    "samples",
    "unit_bars",
]
