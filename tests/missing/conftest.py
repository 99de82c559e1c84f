from tests.missing.common import linear, x

__all__ = ["linear", "x"]
