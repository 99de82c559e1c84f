"""Saves and loads a model, without pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pyro_vae.core.errors import CheckpointError, DeclarationError
from pyro_vae.core.modes import alone
from pyro_vae.core.parts import FAMILIES
from pyro_vae.experiment.declaration import Experiment
from pyro_vae.experiment.rebuild import check_rebuilds, load_weights
from pyro_vae.experiment.run_folder import DECLARATION, RunFolder, runs_of_seeds
from pyro_vae.experiment.yaml_file import dump, parse_value, read_mapping
from pyro_vae.training.settings import resolve_device
from pyro_vae.vae import VAE

__all__ = ["load", "load_experiment", "save"]


@alone()
def save(vae: VAE, path: str | Path) -> Path:
    """Write a model's declaration and weights to a new folder, for :func:`load`.

    Before anything is written, the model is built again from both, and must compute the same in
    the same precision. Whether weights are frozen (``requires_grad``) is not kept.

    Args:
        vae: The model.
        path: The folder; it must not exist, or be empty.

    Raises:
        RunFolderError: if the folder is not empty or cannot be written; nothing of it stays.
        DeclarationError: if a component has no name to rebuild it from.
        CheckpointError: if the declaration and the weights do not give the model back, because
            it was changed after it was built.
    """
    declaration = vae.declaration
    nameless = [name for name in FAMILIES if not isinstance(declaration[name], dict)]
    if nameless:
        raise DeclarationError(
            [
                f"{name}: expected a component with a kind, got a plain "
                f"{type(declaration[name]).__name__}; subclass pyro_vae.Network to give it a name"
                for name in nameless
            ],
            "save",
        )
    shape = list(declaration["event_shape"])
    parts = {name: declaration[name] for name in ("prior", "likelihood", "decoder")}
    mapping: dict[str, Any] = {
        "model": {
            "event_shape": shape,
            "latent_dim": vae.latent_dim,
            **parts,
            "missing": vae.missing,
            **({} if vae.condition is None else {"condition": declaration["condition"]}),
        },
        "guide": {name: declaration[name] for name in ("posterior", "encoder")},
    }
    RunFolder.check_new(Path(path))
    check_rebuilds(vae, Experiment.read(parse_value(dump(mapping))))
    folder = RunFolder.create(Path(path))
    try:
        folder.write_declaration(mapping)
        folder.write_weights(vae.state_dict())
        folder.write_standardization(vae.standardization)
    except BaseException:
        folder.discard()
        raise
    return folder.path


def load_experiment(path: str | Path) -> Experiment:
    """The declaration of a run folder.

    Raises:
        CheckpointError: if there is none, it was changed, or it is not valid in this version.
    """
    folder = Path(path)
    if not (folder / DECLARATION).is_file():
        what = "has no " + DECLARATION if folder.is_dir() else "is not a folder"
        raise CheckpointError(f"{folder}: expected a run folder, but it {what}")
    try:
        text = RunFolder(folder).read(DECLARATION).decode()
        return Experiment.read(read_mapping(text, str(folder / DECLARATION)))
    except DeclarationError as error:
        raise CheckpointError(
            f"{folder}: its declaration cannot be built here; define your own components first "
            f"(run their cell, or give their file with --import). {error}"
        ) from None


@alone()
def load(path: str | Path, device: str = "cpu") -> VAE:
    """The model of a run folder, in evaluation mode and in the precision of its weights.

    Args:
        path: A folder written by training or :func:`save`.
        device: Device of the model.

    Raises:
        CheckpointError: if the folder is missing, damaged or changed, or its weights are NaN.
        DeclarationError: if this machine has no such device.
    """
    experiment = load_experiment(path)
    if runs := runs_of_seeds(Path(path)):
        one = next(iter(runs.values()))
        raise CheckpointError(
            f"{path}: expected one run, got the folder of {len(runs)} seeds' runs; give one of "
            f"them, such as {one} (evaluate and compare take them all)"
        )
    with torch.random.fork_rng(devices=[]):
        vae = experiment.build()
    folder = RunFolder(Path(path))
    state = folder.read_weights()
    vae.standardization = folder.read_standardization()
    try:
        load_weights(vae, state)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: the weights do not fit the declaration: {error}") from None
    vae._trained = True
    return vae.to(resolve_device(device)).eval()
