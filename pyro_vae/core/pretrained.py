"""A model's methods by which it is shared."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Self

__all__ = ["Pretrained"]


def _sharing() -> Any:
    """The module that reads and writes folders, which stands above the model."""
    return import_module("pyro_vae.sharing.pretrained")


class Pretrained:
    """A model that is saved to and loaded from a folder or the Hugging Face hub."""

    def save_pretrained(
        self, folder: str | Path, *, run: str | Path | None = None, audit: Any = None
    ) -> Path:
        """Write ``config.json``, ``model.safetensors`` and a model card to a new folder.

        It is :func:`pyro_vae.save` with a fuller card. Nothing is pickled.

        Args:
            folder: The folder; it must not exist, or be empty.
            run: Folder of the run of ``pyro-vae train`` that trained this model: the card then
                has its data, its scores and its audit's verdict.
            audit: What :func:`pyro_vae.audit_elbo` said of it. Without either, the card says that
                it was not audited.

        Raises:
            RunFolderError: if the folder is not empty or cannot be written.
            CheckpointError: if the folder does not give the model back, or ``run`` is another
                model's.
        """
        path: Path = _sharing().save_pretrained(self, folder, run=run, audit=audit)
        return path

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        device: str = "cpu",
        imports: Sequence[str] = (),
    ) -> Self:
        """The model of a folder, or of a repository on the Hugging Face hub.

        A folder needs no network. Nothing is unpickled, and nothing is imported but what
        ``imports`` names.

        Args:
            name: A folder of ``save_pretrained``, :func:`pyro_vae.save` or ``pyro-vae train``; or
                the hub's ``owner/name`` (``pip install 'pyro-vae[hub]'``).
            revision: Branch, tag or commit on the hub.
            device: Device of the model.
            imports: Modules that may be imported for a plain ``nn.Module``, besides torch.nn.

        Raises:
            CheckpointError: if it cannot be fetched, was changed, or needs another version, which
                the message names.
        """
        vae: Self = _sharing().from_pretrained(
            name, revision=revision, device=device, imports=imports
        )
        return vae

    def push_to_hub(
        self,
        name: str,
        *,
        run: str | Path | None = None,
        audit: Any = None,
        private: bool | None = None,
        token: str | None = None,
    ) -> str:
        """Upload what ``save_pretrained`` writes to the Hugging Face hub.

        Args:
            name: The repository, ``owner/name``; it is created if there is none.
            run: As for ``save_pretrained``.
            audit: As for ``save_pretrained``.
            private: Whether a new repository is private.
            token: The hub's; by default that of ``hf auth login``.

        Returns:
            The address of the upload.

        Raises:
            CheckpointError: as ``save_pretrained``; or if the hub cannot be reached or refuses.
        """
        address: str = _sharing().push_to_hub(
            self, name, run=run, audit=audit, private=private, token=token
        )
        return address
