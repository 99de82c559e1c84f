"""What is optimized and reported, in nats per datum: terms, KL divergences, Pyro ELBO classes."""

from pyro_vae.core.plugins import kinds_in

globals().update(kinds_in(__name__, __path__))
