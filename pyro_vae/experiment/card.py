"""The model card: the README.md of a model's folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyro_vae
from pyro_vae.report.table import Table

__all__ = ["CARD", "model_card"]

CARD = "README.md"
UNAUDITED = "Its ELBO was not audited."


def model_card(
    mapping: dict[str, Any],
    name: str = "FOLDER",
    *,
    about: Sequence[str] = (),
    scores: Table | None = None,
    audit: str = UNAUDITED,
) -> str:
    """The text of a card, as Markdown with the hub's header.

    Args:
        mapping: The model's declaration.
        name: The folder or the hub's id, by which it is loaded.
        about: What was trained on what; a paragraph each.
        scores: Its scores.
        audit: The verdict of its ELBO's audit.
    """
    parts = {**mapping["model"], **mapping["guide"]}
    names = ("prior", "likelihood", "decoder", "posterior", "encoder", "condition")
    rows = [f"| {part} | {_cell(parts[part])} |" for part in names if parts.get(part)]
    return "\n".join(
        [
            "---",
            "library_name: pyro-vae",
            "tags: [pyro, variational-autoencoder, generative]",
            "---",
            "",
            "# Variational autoencoder",
            "",
            *(f"{text}\n" for text in about),
            f"x of shape {tuple(parts['event_shape'])}, z of size {parts['latent_dim']}.",
            "",
            "| component | declaration |",
            "| :-- | :-- |",
            *rows,
            "",
            "## Audit",
            "",
            audit,
            "",
            *(["## Scores, in nats per datum", "", scores.markdown(), ""] if scores else []),
            "## Use",
            "",
            "```python",
            "from pyro_vae import VAE",
            "",
            f'vae = VAE.from_pretrained("{name}")',
            "```",
            "",
            f"Written by pyro-vae {pyro_vae.__version__}. Nothing in this folder is pickled.",
            "",
        ]
    )


def _cell(declared: dict[str, Any]) -> str:
    if "path" in declared:
        return f"`{declared['path']}`"
    given = ", ".join(f"{key}: {value}" for key, value in declared.items() if key != "kind")
    return f"`{declared['kind']}`" + (f" ({given})" if given else "").replace("|", "\\|")
