"""``pyro-vae share`` and ``pyro-vae export``: a run's model, for those who do not train it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyro_vae.cli import options
from pyro_vae.cli.common import import_components, say, show


def share(
    run: options.RunPath,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The new folder.")],
    push: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="Also upload it to Hugging Face.")
    ] = None,
    private: Annotated[bool, typer.Option(help="Make a new repository private.")] = False,
    imports: options.Imports = None,
) -> None:
    """Write a run's model for VAE.from_pretrained, with a card that has its audit's verdict."""
    import_components(imports)
    from pyro_vae.cli.runs import say_unfinished
    from pyro_vae.experiment.checkpoint import load
    from pyro_vae.sharing.pretrained import check_hub

    if push is not None:
        check_hub(push)
    say_unfinished(run)
    vae = load(run)
    say(f"Model: {vae.save_pretrained(folder, run=run)}")
    if push is not None:
        say(f"Uploaded: {vae.push_to_hub(push, run=run, private=private or None)}")


def export(
    run: options.RunPath,
    out: Annotated[Path, typer.Option(help="Folder of the programs.")] = Path("exported"),
    onnx: Annotated[bool, typer.Option(help="Write ONNX beside torch.export's.")] = True,
    imports: options.Imports = None,
) -> None:
    """Write a run's encoder, decoder and scorer as programs that need no pyro_vae.

    Each is a file of torch.export (.pt2) and of ONNX, which must compute what the model does. Data
    go in and come out in their own units, any number at a time.
    """
    import_components(imports)
    from pyro_vae.cli.runs import say_unfinished
    from pyro_vae.experiment.checkpoint import load
    from pyro_vae.sharing.export import export as written

    say_unfinished(run)
    show(written(load(run), out, onnx=onnx).table())
    say(f"Folder: {out}")
