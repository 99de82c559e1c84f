"""Learning-rate schedules: a factor for each epoch. One kind a file."""

from pyro_vae.core.plugins import kinds_in

globals().update(kinds_in(__name__, __path__))
