"""Pyro's SVI step, captured once as a static graph, compiled and replayed."""

from pyro_vae.compiled.finite import FiniteSVI
from pyro_vae.compiled.svi import CompiledSVI

__all__ = ["CompiledSVI", "FiniteSVI"]
