"""Conditions c of p(x|z, c) and q(z|x, c): one kind a file."""

from pyro_vae.conditions.classes import Classes as Classes
from pyro_vae.conditions.log_exposure import LogExposure as LogExposure
from pyro_vae.conditions.semi_supervised import SemiSupervised as SemiSupervised
from pyro_vae.conditions.vector import Vector as Vector
