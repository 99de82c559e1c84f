"""What is optimized and reported, in nats per datum: terms, KL divergences, Pyro ELBO classes."""

from pyro_vae.objectives.elbo import ELBO as ELBO
from pyro_vae.objectives.iwae import IWAE as IWAE
from pyro_vae.objectives.objective import Objective as Objective
from pyro_vae.objectives.renyi import Renyi as Renyi
