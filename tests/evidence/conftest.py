from tests.small_models import data, evidence, known, linear, vae, x

__all__ = ["data", "evidence", "known", "linear", "vae", "x"]
