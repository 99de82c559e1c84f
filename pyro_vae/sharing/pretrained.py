"""Models as folders with a card, and on the Hugging Face hub."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pyro_vae.auditing.result import ELBOAudit
from pyro_vae.core.errors import CheckpointError
from pyro_vae.experiment.card import UNAUDITED, model_card
from pyro_vae.experiment.checkpoint import declared, load, save
from pyro_vae.experiment.hashed_folder import BELIEVED, MANIFEST
from pyro_vae.experiment.report import about
from pyro_vae.vae import VAE

__all__ = ["check_hub", "from_pretrained", "push_to_hub", "save_pretrained"]

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def save_pretrained(
    vae: VAE,
    folder: str | Path,
    *,
    run: str | Path | None = None,
    audit: ELBOAudit | None = None,
    name: str | None = None,
) -> Path:
    """:meth:`pyro_vae.VAE.save_pretrained`; ``name`` is what the card loads the model by."""
    said: dict[str, Any] = {}
    if run is not None:
        if not _same(vae, load(run)):
            raise CheckpointError(
                f"{run}: expected the run of this model, got another one's, with other weights; "
                f"leave it out, or share the run's own: pyro_vae.load({str(run)!r})"
            )
        page = about(Path(run).name, Path(run))
        said = {"about": page["summary"], "scores": page["scores"]}
        if page["audit"]["table"] is not None:
            said["audit"] = _verdict(page["audit"]["verdict"])
    if audit is not None:
        said["audit"] = _verdict(audit.verdict)
    card = model_card(declared(vae), name or Path(folder).name, **{"audit": UNAUDITED, **said})
    return save(vae, folder, card=card)


def from_pretrained(
    name: str | Path, *, revision: str | None, device: str, imports: Sequence[str]
) -> VAE:
    """:meth:`pyro_vae.VAE.from_pretrained`."""
    folder = Path(name)
    if folder.is_dir():
        if revision is not None:
            raise CheckpointError(f"{name}: expected no revision of a folder, got {revision!r}")
    elif HUB_ID.fullmatch(str(name)):
        folder = _fetched(str(name), revision)
    else:
        raise CheckpointError(
            f"{name}: expected a folder, or the hub's owner/name, but there is no such folder"
        )
    return load(folder, device, imports=imports)


def push_to_hub(
    vae: VAE, name: str, *, private: bool | None, token: str | None, **said: Any
) -> str:
    """:meth:`pyro_vae.VAE.push_to_hub`."""
    hub = check_hub(name)
    with tempfile.TemporaryDirectory() as made:
        folder = save_pretrained(vae, Path(made) / "model", name=name, **said)
        try:
            api = hub.HfApi(token=token, library_name="pyro-vae")
            api.create_repo(name, private=private, exist_ok=True)
            return str(api.upload_folder(repo_id=name, folder_path=folder))
        except Exception as error:  # of the hub, the network, or either's library
            raise CheckpointError(f"{name}: cannot be uploaded: {_first(error)}") from None


def check_hub(name: str) -> Any:
    """The hub's client, if ``name`` can be a repository's.

    Raises:
        CheckpointError: if it cannot, or the client is not installed.
    """
    if not HUB_ID.fullmatch(name):
        raise CheckpointError(f"the hub: expected a repository's owner/name, got {name!r}")
    return _hub()


def _fetched(name: str, revision: str | None) -> Path:
    hub = _hub()
    try:
        wanted = [*BELIEVED, MANIFEST]
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=wanted))
    except Exception as error:
        raise CheckpointError(
            f"{name}: is no folder here, and cannot be fetched from the hub: {_first(error)}"
        ) from None


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise CheckpointError(
            "the hub needs huggingface_hub: pip install 'pyro-vae[hub]'; a folder does not"
        ) from None
    return huggingface_hub


def _first(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().split(chr(10))[0]}"


def _same(vae: VAE, other: VAE) -> bool:
    mine, its = vae.state_dict(), other.state_dict()
    return mine.keys() == its.keys() and all(
        torch.equal(value.detach().cpu(), its[name]) for name, value in mine.items()
    )


def _verdict(verdict: str) -> str:
    return f"Audit of its ELBO: {verdict}"
