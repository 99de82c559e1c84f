"""Pictures: arrays in, a figure out that shows itself in Jupyter and saves itself anywhere."""

from pyro_vae.report.plots.curves import elbo_curves, monte_carlo_error
from pyro_vae.report.plots.gaps import gap_bars
from pyro_vae.report.plots.gradients import gradient_panels
from pyro_vae.report.plots.intervals import Difference, forest
from pyro_vae.report.plots.latent import latent_scatter
from pyro_vae.report.plots.pictures import image_grid, reconstructions, samples
from pyro_vae.report.plots.posteriors import posterior_panels
from pyro_vae.report.plots.style import Picture
from pyro_vae.report.plots.units import unit_bars

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
