"""Where other libraries' models come from."""

from __future__ import annotations

import copy
import json
import runpy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pyro_vae.core.errors import CheckpointError, DeclarationError
from pyro_vae.core.files import read_file
from pyro_vae.sharing.adapters import Call
from pyro_vae.sharing.implied import Loss

__all__ = ["SOURCES", "Foreign"]


@dataclass
class Foreign:
    """A model as its library has it.

    Args:
        encoder: What encodes.
        encode: How.
        decoder: What decodes.
        decode: How.
        event_shape: Shape of one datum.
        loss: Of the reconstruction; None if it is not recorded.
        weight: By which the loss multiplies the error's sum over a datum.
        kl_weight: By which it multiplies the KL's sum over the code.
        unknown: Why the loss is not known.
    """

    encoder: nn.Module
    encode: Call
    decoder: nn.Module
    decode: Call
    event_shape: tuple[int, ...]
    loss: Loss | None = None
    weight: float = 1.0
    kl_weight: float = 1.0
    unknown: str = ""


PYTHAE = {"VAEConfig": "VAE", "BetaVAEConfig": "BetaVAE", "IWAEConfig": "IWAE"}
NO_ELBO = ("AEConfig", "VQVAEConfig", "WAE_MMD_Config", "RAE_GP_Config", "RAE_L2_Config",
           "Adversarial_AE_Config", "VAEGANConfig", "MSSSIM_VAEConfig")  # fmt: skip


def pythae(path: str, event_shape: Sequence[int] | None, allow_pickle: bool) -> Foreign:
    """A folder that pythae saved; what it pickled is read only if that is allowed."""
    folder = _folder(path)
    config = _json(folder / "model_config.json")
    name = str(config.pop("name", None))
    if name not in PYTHAE:
        why = (
            "has no ELBO for a loss, and so implies no likelihood"
            if name in NO_ELBO
            else "is not a standard normal prior with a diagonal normal posterior"
        )
        known = ", ".join(PYTHAE.values())
        raise CheckpointError(f"{folder}: expected pythae's {known}, got {name}, which {why}")
    pickled = [each for each in ("encoder", "decoder") if not config[f"uses_default_{each}"]]
    if pickled and not allow_pickle:
        files = " and ".join(f"{each}.pkl" for each in pickled)
        raise CheckpointError(
            f"{folder}: {files} would be unpickled, which can run any code; if you trust it: "
            f"allow_pickle=True. Or load it yourself, and use torch:FILE.py:FACTORY"
        )
    models = _library("pythae", "pythae.models", "bench")
    try:
        kind = getattr(models, PYTHAE[name])
        if pickled:
            model = kind.load_from_folder(str(folder))
        else:
            model = kind(getattr(models, name)(**config))
            state = torch.load(folder / "model.pt", map_location="cpu", weights_only=True)
            model.load_state_dict(state["model_state_dict"])
    except Exception as error:  # whatever it raises, the folder cannot be read
        raise _unreadable(folder, "pythae", error) from None
    shape = event_shape or config["input_dim"]
    if not shape:
        raise _shapeless(f"pythae:{path}")
    return Foreign(
        model.encoder, _apply, model.decoder, _apply, tuple(shape),
        loss=config["reconstruction_loss"],
        weight=0.5 if config["reconstruction_loss"] == "mse" else 1.0,
        kl_weight=config.get("beta", 1.0),
    )  # fmt: skip


def diffusers(path: str, event_shape: Sequence[int] | None, allow_pickle: bool) -> Foreign:
    """An AutoencoderKL of diffusers, in safetensors."""
    folder = _folder(path)
    config = _json(folder / "config.json")
    if config.get("_class_name") != "AutoencoderKL":
        raise CheckpointError(
            f"{folder}: expected an AutoencoderKL, got {config.get('_class_name')}"
        )
    library = _library("diffusers", "diffusers", None)
    try:
        model = library.AutoencoderKL.from_pretrained(
            str(folder), use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
        )
    except Exception as error:  # whatever it raises, the folder cannot be read
        raise _unreadable(folder, "diffusers", error) from None
    side = config["sample_size"]
    shape = tuple(event_shape or (config["in_channels"], side, side))
    encoder, decoder = copy.deepcopy(model), model
    encoder.decoder = encoder.post_quant_conv = None
    decoder.encoder = decoder.quant_conv = None
    return Foreign(
        encoder, _encode, decoder, _decode, shape,
        unknown="diffusers does not record the loss, and the usual one of an AutoencoderKL "
        "(absolute and perceptual errors, a discriminator, a KL of weight 1e-6) implies none",
    )  # fmt: skip


def from_file(path: str, event_shape: Sequence[int] | None, allow_pickle: bool) -> Foreign:
    """A module that a function of a Python file returns; the file is run."""
    file, _, name = path.rpartition(":")
    if not file or not Path(file).is_file():
        raise DeclarationError(
            f"source: expected torch:FILE.py:FACTORY, got torch:{path}, where there is no file "
            f"{file or path}",
            "import_model",
        )
    try:
        factory = runpy.run_path(file).get(name)
        model = factory() if callable(factory) else None
    except (Exception, SystemExit) as error:
        raise CheckpointError(
            f"{file}: {name}() ended with {type(error).__name__}: {error}"
        ) from error
    methods = all(callable(getattr(model, each, None)) for each in ("encode", "decode"))
    if not isinstance(model, nn.Module) or not methods:
        raise CheckpointError(
            f"{file}: expected a function {name} that returns a module with encode(x), the mean "
            f"and the log variance, and decode(z), got {type(model).__name__}"
        )
    if event_shape is None:
        raise _shapeless(f"torch:{path}")
    return Foreign(
        copy.deepcopy(model), _encode, model, _decode, tuple(event_shape),
        unknown="a module does not say by which loss it was trained: loss='mse', 'l1' or 'bce', "
        "with reduction and kl_weight",
    )  # fmt: skip


Reader = Callable[[str, Sequence[int] | None, bool], Foreign]
SOURCES: dict[str, Reader] = {"pythae": pythae, "diffusers": diffusers, "torch": from_file}


def _apply(model: nn.Module, x: torch.Tensor) -> Any:
    return model(x)


def _encode(model: Any, x: torch.Tensor) -> Any:
    return model.encode(x)


def _decode(model: Any, z: torch.Tensor) -> Any:
    return model.decode(z)


def _folder(path: str) -> Path:
    folder = Path(path)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: expected a folder, but there is none")
    return folder


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_file(path))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: expected JSON, but {error}") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: expected a mapping, got {type(found).__name__}")
    return found


def _library(name: str, module: str, extra: str | None) -> Any:
    import importlib

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the library's own parts
            return importlib.import_module(module)
    except ImportError as error:
        what = f"'pyro-vae[{extra}]'" if extra else name
        raise CheckpointError(
            f"{name}: cannot be imported ({error}); pip install {what}"
        ) from None


def _unreadable(folder: Path, library: str, error: Exception) -> CheckpointError:
    first = str(error).strip().split("\n")[0]
    return CheckpointError(f"{folder}: {library} cannot read it: {type(error).__name__}: {first}")


def _shapeless(source: str) -> DeclarationError:
    return DeclarationError(
        f"event_shape: expected the shape of one datum, which {source} does not say, got none",
        "import_model",
    )
