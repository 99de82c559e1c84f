"""What scikit-learn asks of an estimator, and a module refuses."""

from __future__ import annotations

from typing import Any, NoReturn

from pyro_vae.core.errors import IncompatibleComponents

__all__ = ["NotAnEstimator"]

REMEDY = (
    "train it with pyro_vae.fit(vae, data), or give scikit-learn's pipelines and searches a "
    "pyro_vae.VAEEstimator, which takes the same declaration"
)


class NotAnEstimator:
    """A model that scikit-learn can neither clone nor fit, with a message that says what can."""

    def fit(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: a ``Pipeline`` calls it."""
        raise IncompatibleComponents(
            f"{type(self).__name__}.fit: expected a scikit-learn estimator, got a model; {REMEDY}"
        )

    def __sklearn_clone__(self) -> NoReturn:
        raise IncompatibleComponents(
            f"sklearn.base.clone: expected a scikit-learn estimator, got a "
            f"{type(self).__name__}; {REMEDY}. copy.deepcopy(vae) copies the model, weights "
            f"included, and vae.swap() gives it new ones"
        )
