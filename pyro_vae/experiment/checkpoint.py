"""Saves and loads a model, without pickle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pyro_vae.core.errors import CheckpointError, DeclarationError
from pyro_vae.core.modes import alone
from pyro_vae.core.parts import FAMILIES, FURTHER
from pyro_vae.experiment.card import CARD, model_card
from pyro_vae.experiment.declaration import Experiment
from pyro_vae.experiment.hashed_folder import CONFIG, DECLARATION
from pyro_vae.experiment.rebuild import check_rebuilds, load_weights
from pyro_vae.experiment.run_folder import ModelFolder, RunFolder, runs_of_seeds
from pyro_vae.experiment.yaml_file import dump, parse_value
from pyro_vae.networks.module_network import ModuleNetwork, classes_in, recipe
from pyro_vae.training.settings import resolve_device
from pyro_vae.vae import VAE

__all__ = ["declared", "load", "load_experiment", "save"]


@alone()
def save(vae: VAE, path: str | Path, *, card: str | None = None) -> Path:
    """Write a model's declaration and weights to a new folder, for :func:`load`.

    The folder has the files of a model on the Hugging Face hub: ``config.json``,
    ``model.safetensors`` and ``README.md``, the model card. Before anything is written, the model
    is built again from the first two, and must compute the same in the same precision. Whether
    weights are frozen (``requires_grad``) is not kept. A plain ``nn.Module`` is saved as its
    class's import path and the constructor's arguments that it keeps as attributes.

    Args:
        vae: The model.
        path: The folder; it must not exist, or be empty.
        card: Text of the model card, Markdown; by default what the model is, and that it was not
            audited (:meth:`~pyro_vae.core.pretrained.Pretrained.save_pretrained` tells more).

    Raises:
        RunFolderError: if the folder is not empty or cannot be written; nothing of it stays.
        DeclarationError: if a component has neither a name nor an import path.
        CheckpointError: if the declaration and the weights do not give the model back, because
            it was changed after it was built.
    """
    mapping = declared(vae)
    ModelFolder.check_new(Path(path))
    check_rebuilds(vae, Experiment.read(parse_value(dump(mapping))))
    folder = ModelFolder.create(Path(path))
    try:
        folder.write_declaration(mapping)
        folder.write_weights(vae.state_dict())
        folder.write_standardization(vae.standardization)
        folder.write(CARD, (card or model_card(mapping, Path(path).name)).encode())
    except BaseException:
        folder.discard()
        raise
    return folder.path


def declared(vae: VAE) -> dict[str, Any]:
    """The sections ``model`` and ``guide`` of a model's declaration, as plain values.

    Raises:
        DeclarationError: if a component has neither a name nor an import path.
    """
    declaration = vae.declaration
    parts = {name: _plain(name, declaration[name]) for name in FAMILIES}
    return {
        "model": {
            "event_shape": list(declaration["event_shape"]),
            "latent_dim": vae.latent_dim,
            **{name: parts[name] for name in ("prior", "likelihood", "decoder")},
            "missing": vae.missing,
            **{name: declaration[name] for name in FURTHER if declaration[name] is not None},
        },
        "guide": {name: parts[name] for name in ("posterior", "encoder")},
    }


def _plain(name: str, part: Any) -> dict[str, Any]:
    if isinstance(part, dict):
        return part
    try:
        return {"kind": ModuleNetwork.kind, **recipe(part)}
    except DeclarationError as error:
        raise DeclarationError([f"{name}: {line}" for line in error.problems], "save") from None


def load_experiment(path: str | Path, imports: Sequence[str] | None = None) -> Experiment:
    """The declaration of a run folder.

    Args:
        path: The folder.
        imports: Modules whose classes may be built besides torch.nn's; None for any.

    Raises:
        CheckpointError: if there is none, it was changed, or it is not valid in this version.
    """
    folder = RunFolder.at(Path(path))
    if not (folder.path / folder.declaration).is_file():
        what = f"has no {CONFIG} or {DECLARATION}" if folder.path.is_dir() else "is not a folder"
        raise CheckpointError(f"{path}: expected a run folder, but it {what}")
    try:
        mapping = folder.read_declaration()
        if imports is not None:
            _check_imports(folder.path, mapping, imports)
        return Experiment.read(mapping)
    except DeclarationError as error:
        raise CheckpointError(
            f"{path}: its declaration cannot be built here; define your own components first "
            f"(run their cell, or give their file with --import){folder.other_version}. {error}"
        ) from None


def _check_imports(path: Path, mapping: dict[str, Any], imports: Sequence[str]) -> None:
    known = ("torch.nn", *imports)
    for name in sorted(classes_in(mapping)):
        if not any(name.startswith(f"{home}.") for home in known):
            raise CheckpointError(
                f"{path}: expected modules of torch.nn, got {name}, whose module would be "
                f"imported; if you trust it: imports=[{name.rpartition('.')[0]!r}]"
            )


@alone()
def load(path: str | Path, device: str = "cpu", *, imports: Sequence[str] | None = None) -> VAE:
    """The model of a run folder, in evaluation mode and in the precision of its weights.

    Args:
        path: A folder written by training or :func:`save`.
        device: Device of the model.
        imports: Modules that a plain ``nn.Module`` may be imported from, besides torch.nn; by
            default any, as is right for a folder of your own.

    Raises:
        CheckpointError: if the folder is missing, damaged or changed, or its weights are NaN.
        DeclarationError: if this machine has no such device.
    """
    if runs := runs_of_seeds(Path(path)):
        one = next(iter(runs.values()))
        raise CheckpointError(
            f"{path}: expected one run, got the folder of {len(runs)} seeds' runs; give one of "
            f"them, such as {one} (evaluate and compare take them all)"
        )
    experiment = load_experiment(path, imports)
    try:
        with torch.random.fork_rng(devices=[]):
            vae = experiment.build()
    except DeclarationError as error:
        raise CheckpointError(f"{path}: its model cannot be built here. {error}") from None
    folder = RunFolder.at(Path(path))
    state = folder.read_weights()
    vae.standardization = folder.read_standardization()
    try:
        load_weights(vae, state)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: the weights do not fit the declaration: {error}") from None
    vae._trained = True
    return vae.to(resolve_device(device)).eval()
