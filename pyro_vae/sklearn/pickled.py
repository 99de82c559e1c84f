"""An estimator whose model is pickled as its declaration and weights."""

from __future__ import annotations

import copy
from typing import Any

import safetensors.torch
import torch
from sklearn.base import BaseEstimator

from pyro_vae.core.modes import seeded
from pyro_vae.experiment.rebuild import load_weights
from pyro_vae.training.settings import resolve_device
from pyro_vae.vae import VAE

__all__ = ["PickledModel"]


class PickledModel(BaseEstimator):  # type: ignore[misc]
    """Base of an estimator with the attributes ``vae_``, once it is fitted, and ``device``."""

    device: str
    vae_: VAE

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if vae := state.pop("vae_", None):
            weights = {k: v.detach().cpu().clone() for k, v in vae.state_dict().items()}
            declaration = copy.deepcopy(vae.declaration)  # a module in it without Pyro's weakrefs
            state["_saved"] = declaration, safetensors.torch.save(weights), vae.standardization
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        saved = state.pop("_saved", None)
        super().__setstate__(state)
        if saved is not None:
            declaration, weights, standardization = saved
            with seeded(0, torch.device("cpu")):
                vae = VAE(**declaration)
            load_weights(vae, safetensors.torch.load(weights))
            vae.standardization, vae._trained = standardization, True
            where = resolve_device("cpu" if self.device == "cpu" else "auto")
            self.vae_ = vae.to(where).eval()
