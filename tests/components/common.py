"""The distribution that a component makes, from whatever parameters it takes."""

import torch
from zuko.nn import MaskedLinear

from pyro_vae.core.posterior import Posterior
from pyro_vae.core.prior import Prior


def parameters_of(component, batch=(4,), size=0.5, dtype=torch.float32):
    """What a network would put out for the component, or None where it takes nothing."""
    if isinstance(component, Prior):
        return None
    shape = (*batch, *component.parameter_shape)
    return (size * torch.randn(shape, dtype=dtype)).requires_grad_()


def middle(component, d):
    """The mean of what it makes, or the code that a posterior has stand for it."""
    return component.point_estimate(d) if isinstance(component, Posterior) else d.mean


def unmasked(component):
    """Which numbers of each parameter count: all, but for what a masked network leaves out."""
    masks = {
        f"{name}.weight": part.mask.bool()
        for name, part in component.named_modules()
        if isinstance(part, MaskedLinear)
    }
    return {
        name: masks.get(name, torch.ones_like(p, dtype=torch.bool))
        for name, p in component.named_parameters()
    }


def distribution(component, parameters):
    return component() if parameters is None else component(parameters)
