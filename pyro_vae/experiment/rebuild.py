"""Whether a declaration and weights give a model back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import pyro
import torch
from torch import Tensor, nn

from pyro_vae.core.errors import CheckpointError
from pyro_vae.core.messages import shown
from pyro_vae.core.modes import device_of, evaluating, seeded
from pyro_vae.core.prior import codes_of
from pyro_vae.experiment.declaration import Experiment
from pyro_vae.networks.lookup import Lookup
from pyro_vae.vae import VAE

__all__ = ["check_rebuilds", "load_weights"]

REMEDY = (
    "declare what changed (VAE(...), vae.swap(...)), keep what training changes in a parameter or "
    "a buffer, or undo it: vae.encoder = vae.encoder._orig_mod after torch.compile, "
    "torch.nn.utils.parametrize.remove_parametrizations, torch.nn.utils.prune.remove"
)
DATA = 4


def load_weights(vae: VAE, state: Mapping[str, Tensor]) -> None:
    """Load weights in their own precision, which the model takes.

    Raises:
        CheckpointError: if a name, a shape or a precision does not fit the model, or a weight is
            NaN.
    """
    nan = [name for name, v in state.items() if v.is_floating_point() and v.isnan().any()]
    if nan:
        raise CheckpointError(f"expected numbers, got NaN in {', '.join(nan[:3])}; train again")
    kinds = {value.dtype for value in state.values() if value.is_floating_point()}
    if len(kinds) == 1:
        vae.to(dtype=kinds.pop())
    try:
        vae.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(" ".join(str(error).split())) from None
    wrong = [
        f"{name} is {value.dtype} where the model has {vae.state_dict()[name].dtype}"
        for name, value in state.items()
        if value.dtype != vae.state_dict()[name].dtype
    ]
    if wrong:
        raise CheckpointError(f"expected one precision, but {'; '.join(wrong[:3])}")


def check_rebuilds(vae: VAE, experiment: Experiment) -> None:
    """Refuse a model that its declaration and weights do not give back.

    The declared model is built, its modules and their settings are compared with this one's, it
    takes the weights, and both must compute the same from the same seed.

    Raises:
        CheckpointError: naming what differs.
    """
    with torch.random.fork_rng(devices=[]):
        again = experiment.build()
    again.standardization = vae.standardization  # which has a file of its own
    problems = [*_modules(vae, again)]
    if not problems:
        try:
            load_weights(again, {k: v.detach().cpu() for k, v in vae.state_dict().items()})
            problems = [*_settings(vae, again.to(device_of(vae)))] or [*_outputs(vae, again)]
        except CheckpointError as error:
            problems = [str(error)]
    if problems:
        found = "\n".join(f"  {line}" for line in problems[:5])
        raise CheckpointError(
            f"Expected a model that its declaration and weights give back, but:\n{found}\n{REMEDY}"
        )


def _modules(vae: VAE, again: VAE) -> Iterator[str]:
    """Modules of another class, or without a counterpart."""
    live, built = ({name: _class(m) for name, m in v.named_modules()} for v in (vae, again))
    told: list[str] = []
    for name in {**built, **live}:
        below = any(name.startswith(f"{path}.") for path in told)
        if not below and live.get(name) != built.get(name):
            told.append(name)
            yield (
                f"{name or 'the model'}: expected {built.get(name, 'no module')}, as declared, "
                f"got {live.get(name, 'none')}"
            )


def _class(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


def _settings(vae: VAE, again: VAE) -> Iterator[str]:
    """Public attributes, buffers that are not saved, and shared weights that differ."""
    built = dict(again.named_modules())
    for path, module in vae.named_modules():
        live = vars(module)
        for name, value in vars(built[path]).items():
            if name.startswith("_") or name == "training" or not _plain(value):
                continue
            if name not in live or not _plain(live[name]) or live[name] != value:
                got = shown(live[name]) if name in live else "none"
                yield f"{path}.{name}: expected {shown(value)}, as declared, got {got}".strip(".")
    buffers = dict(again.named_buffers())
    for name, value in vae.named_buffers():
        if not torch.equal(value, buffers.get(name, value.new_empty(0))):
            yield f"{name}: expected the declared model's values in a buffer that is not saved"
    if _shared(vae) != _shared(again):
        yield f"expected weights shared as declared, got {shown(_shared(vae) or 'none')}"


def _plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_plain, value))
    return value is None or isinstance(value, bool | int | float | str | slice | torch.dtype)


def _shared(vae: VAE) -> list[list[str]]:
    """Names of the parameters that are one tensor."""
    names: dict[int, list[str]] = defaultdict(list)
    for name, parameter in vae.named_parameters(remove_duplicate=False):
        names[parameter.data_ptr() if parameter.numel() else id(parameter)].append(name)
    return [group for group in names.values() if len(group) > 1]


def _outputs(vae: VAE, again: VAE) -> Iterator[str]:
    """What the two compute differently."""
    live, built = _computed(vae), _computed(again)
    for name in {**built, **live}:
        if not _same(live.get(name), built.get(name)):
            yield f"{name}: the declared model with the same weights computes another value"


def _same(a: Any, b: Any) -> bool:
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        return bool(a == b)
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return False
    return torch.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True)


@torch.no_grad()
def _computed(vae: VAE) -> dict[str, Any]:
    """Draws and densities from one seed, in evaluation mode; where it fails, the error."""
    found: dict[str, Any] = {}
    vae = vae.example(DATA)
    with seeded(0, device_of(vae)), evaluating(vae), pyro.validation_enabled(False):
        try:
            z = found["p(z)"] = codes_of(vae.prior(), DATA)
            x = found["p(x|z)"] = vae.decode(z).sample()
            table = isinstance(vae.encoder, Lookup)  # which holds only its own data
            shape = (DATA, *vae.posterior.parameter_shape)
            q = vae.posterior(z.new_zeros(shape) if table else vae.encoder(x))
            z = found["q(z|x)"] = q.sample()
            found["log q(z|x)"] = q.log_prob(z)
            found["log p(z)"] = vae.prior().log_prob(z)
            found["log p(x|z)"] = vae.decode(z, x).log_prob(x)
        except Exception as error:  # whatever it raises, a model that loads raises too
            found["the error"] = f"{type(error).__name__}: {error}"
    return found
