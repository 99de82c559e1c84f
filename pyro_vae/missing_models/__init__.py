"""Models of why values are missing: one kind a file."""

from pyro_vae.missing_models.self_masking import SelfMasking as SelfMasking
