"""A page on one or several runs, from the files of their folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyro_vae
from pyro_vae.core.errors import CheckpointError
from pyro_vae.core.files import read_file
from pyro_vae.core.messages import flattened
from pyro_vae.data.identity import Identity
from pyro_vae.diagnostics.comparison import Comparison
from pyro_vae.experiment.checkpoint import load_experiment
from pyro_vae.experiment.hashed_folder import parsed
from pyro_vae.experiment.run_folder import METRICS, RunFolder
from pyro_vae.experiment.yaml_file import dump
from pyro_vae.report.estimate import Estimate, estimate_table
from pyro_vae.report.html import data_uri, figure_uri, rendered
from pyro_vae.report.table import Cell, Table

__all__ = ["CodesMap", "about", "report"]

AUDIT = "audit.json"
PICTURES = {
    "elbo": "The ELBO and its two terms at each epoch, on training and validation data.",
    "reconstructions": "Data, and the means of p(x|z) at the point estimates of their codes.",
    "samples": "Means of p(x|z) for codes drawn from the prior, z ~ p(z).",
    "latent": "Point estimates of the codes, over draws from the prior.",
    "calibration": "The ranks of true codes among draws of the guide, less those of uniform ones.",
    "audit": "The Monte Carlo error of each term against the number of particles.",
}
SCORES = {
    "elbo": "ELBO",
    "log_likelihood": "E_q[log p(x|z)]",
    "kl": "KL(q(z|x) || p(z))",
    "nll": "-log p(x), importance sampling",
    "ais": "-log p(x), annealed importance sampling",
    "reconstruction": "squared error (no nats)",
}
ENDINGS = {
    "finished": "as declared",
    "early": "stopped early, as the validation ELBO no longer rose",
    "interrupted": "interrupted",
}
CodesMap = dict[str, str]  # its html, script and caption


def report(
    folders: Mapping[str, Path],
    comparison: Comparison | None = None,
    maps: Mapping[str, CodesMap] | None = None,
) -> str:
    """A self-contained HTML page on runs: no request leaves it.

    Args:
        folders: Of the runs, by name; neither their models nor their data are loaded.
        comparison: Of the same runs, if there are several.
        maps: An interactive map of the codes, by name.

    Raises:
        CheckpointError: if a folder or one of its files is missing, damaged or changed.
    """
    maps = maps or {}
    runs = [about(name, folder) | {"map": maps.get(name)} for name, folder in folders.items()]
    return rendered(
        "page.html",
        title=f"Comparison of {len(runs)} runs"
        if len(runs) > 1
        else f"Report on {runs[0]['name']}",
        version=pyro_vae.__version__,
        date=date.today().isoformat(),
        comparison=None if comparison is None else _compared(comparison, runs),
        runs=runs,
        script=next((found["script"] for found in maps.values()), ""),
    )


def about(name: str, path: Path) -> dict[str, Any]:
    """What a page says of a run.

    Raises:
        CheckpointError: if its folder or one of its files is missing, damaged or changed.
    """
    mapping = load_experiment(path).mapping
    folder = RunFolder.at(path)
    metrics = folder.read_json(METRICS) if METRICS in folder else None
    try:
        return {
            "name": name,
            "summary": _summary(mapping, metrics),
            "audit": _audit(path / AUDIT),
            "scores": None if metrics is None else _scores(metrics["scores"]),
            "pictures": [_picture(file) for file in _ordered(path / "pictures")],
            "versions": _versions(metrics),
            "command": f"pyro-vae train experiment.yaml --out {name}",
            "declaration": dump(mapping),
            "mapping": mapping,
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: expected the scores and the audit as this version writes them, got "
            f"{error!r}; run pyro-vae audit {path}, or train again"
        ) from None


def _summary(mapping: dict[str, Any], metrics: dict[str, Any] | None) -> list[str]:
    model, guide = mapping["model"], mapping["guide"]
    what = (
        f"A variational autoencoder with a code z of size {model['latent_dim']}: prior p(z) "
        f"{model['prior']['kind']}, likelihood p(x|z) {model['likelihood']['kind']} of a decoder "
        f"{model['decoder']['kind']}, posterior q(z|x) {guide['posterior']['kind']} of an encoder "
        f"{guide['encoder']['kind']}."
    )
    if metrics is None:
        return [what, f"Data: {mapping['data']['kind']}. Training stopped before it was scored."]
    training = metrics["training"]
    return [
        what,
        f"Data: {Identity.from_dict(metrics['scores']['identity'])}.",
        f"Trained for {training['epochs']} epochs ({ENDINGS[training['ended']]}) in "
        f"{training['seconds']:.0f} s on {training['device']}, with the objective "
        f"{mapping['objective']['kind']}; the weights are those {training['weights']}.",
    ]


def _audit(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"style": "", "verdict": "This run was not audited: pyro-vae audit RUN.",
                "table": None}  # fmt: skip
    found = parsed(path, read_file(path))
    columns = ["quantity", "method", "compared with", "difference ± s.e.", "z", "verdict"]
    table = Table("", columns, justify=["left", "left", "left", "right", "right", "left"])
    for check in found["checks"]:
        if check["problems"] is not None:  # a statement about the program, told if it fails
            if check["problems"]:
                failed = Cell("FAILS", "bad")
                table.add(check["quantity"], check["method"], check["reference"], "", "", failed)
            continue
        gradient = check["quantity"].startswith("gradient")
        difference = check["note"] if gradient else Estimate(**check["difference"]).signed
        exact = check["relative"] is not None
        z = f"rel {check['relative']:.0e}" if exact else f"{check['z']:+.2f}"
        verdict = Cell("agrees", "good") if check["passed"] else Cell("DISAGREES", "bad")
        table.add(check["quantity"], check["method"], check["reference"], difference, z, verdict)
    style = "good" if found["passed"] else "bad"
    return {"style": style, "verdict": found["verdict"], "table": table}


def _scores(scores: dict[str, Any]) -> Table:
    rows: dict[str, Estimate | tuple[str, str] | None] = {
        label: Estimate(**scores[name]) for name, label in SCORES.items() if scores[name]
    }
    units = scores["units"]
    active = f"{units['active']} of {units['latent_dim']}"
    rows["active units"] = (active, f"variance over x of E_q[z] > {units['threshold']}")
    return estimate_table("", rows, caption=f"{scores['count']} {scores['split']} data.")


def _ordered(folder: Path) -> list[Path]:
    """The pictures, those that are known first."""
    known = list(PICTURES)
    return sorted(
        folder.glob("*.png"),
        key=lambda file: (known.index(file.stem) if file.stem in known else len(known), file.stem),
    )


def _picture(file: Path) -> dict[str, str]:
    said = PICTURES.get(file.stem, f"{file.stem.replace('_', ' ').capitalize()}.")
    return {"source": data_uri(read_file(file)), "alt": said, "caption": said}


def _versions(metrics: dict[str, Any] | None) -> Table:
    versions = {} if metrics is None else metrics["versions"]
    table = Table("", ["package", "version"], justify=["left", "left"])
    for name, version in versions.items():
        table.add(name, str(version))
    return table


def _compared(comparison: Comparison, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    said = (
        f"The difference of each run from {comparison.reference}, with its "
        f"{comparison.confidence:.0%} interval."
    )
    picture = {"source": figure_uri(comparison.figure()), "alt": said, "caption": said}
    table = comparison.table()
    table.title = ""
    return {"table": table, "picture": picture, "differences": _differences(runs)}


def _differences(runs: Sequence[Mapping[str, Any]]) -> Table:
    flat = {run["name"]: flattened(run["mapping"]) for run in runs}
    paths = list(dict.fromkeys(path for found in flat.values() for path in found))
    table = Table("", ["setting", *flat], justify=["left"] * (1 + len(flat)))
    for path in paths:
        values = [found.get(path) for found in flat.values()]
        if len(set(values)) > 1:
            table.add(path, *values)
    return table
