"""The distribution that a component makes, from whatever parameters it takes."""

import torch

from pyro_vae.core.prior import Prior


def parameters_of(component, batch=(4,), size=0.5, dtype=torch.float32):
    """What a network would put out for the component, or None where it takes nothing."""
    if isinstance(component, Prior):
        return None
    shape = (*batch, *component.parameter_shape)
    return (size * torch.randn(shape, dtype=dtype)).requires_grad_()


def distribution(component, parameters):
    return component() if parameters is None else component(parameters)
