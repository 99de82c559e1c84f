"""Draws and results as a DataTree of ArviZ."""

from __future__ import annotations

import json
from collections import defaultdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pyro_vae.auditing.result import Audit, ELBOAudit
from pyro_vae.core.errors import DataError, at_least
from pyro_vae.core.modes import device_of, isolated_copy
from pyro_vae.core.prior import codes_of
from pyro_vae.data.identity import Identity, digest
from pyro_vae.data.memory import check_room
from pyro_vae.diagnostics.calibration import Calibration
from pyro_vae.diagnostics.mcmc import MCMCComparison
from pyro_vae.diagnostics.psis import arviz, pareto_k
from pyro_vae.evidence.chunks import data_at_once
from pyro_vae.vae import VAE

if TYPE_CHECKING:
    from xarray import DataTree

__all__ = ["to_datatree"]

CHAINS = 4
PACKAGES = ("pyro-vae", "pyro-ppl", "torch", "numpy", "arviz-base")

Groups = dict[str, dict[str, Tensor]]


def to_datatree(
    vae: VAE | None,
    what: Tensor | MCMCComparison | Calibration | Audit,
    *,
    draws: int = 250,
    seed: int = 0,
    identity: Identity | None = None,
) -> DataTree:
    """Draws of a model for some data, or the draws within a result, for ArviZ.

    For data the groups are

    - ``posterior``: ``z`` from q(z|x), and ``posterior_predictive``: ``x`` from p(x|z) at those;
    - ``prior``: ``z`` from p(z), and ``prior_predictive``: ``x`` at those;
    - ``log_likelihood``: log p(x|z) of each datum; ``observed_data``: ``x``, as the model sees it;
    - ``sample_stats``: ``lp``, log p(x, z); ``log_q``; ``log_weight``, their difference; and
      ``pareto_k``, the k-hat of each datum's weights.

    The draws are independent; they are in four chains, of which ArviZ makes its diagnostics.
    ``compare_with_mcmc`` gives the chains of NUTS as ``posterior``, and the guide's draws as
    ``guide``; ``calibrate`` the ranks as ``prior_sbc``, which ``plot_ecdf_pit`` takes, and k-hat;
    ``audit_elbo`` the particles of Pyro's ``Trace_ELBO``; ``audit`` those of the ELBO by hand, as
    ``sample_stats``.

    Shapes:
        ``z`` has the dimensions ``(chain, draw, datum, latent)``, ``x`` has ``(chain, draw,
        datum, x_dim_0, ...)``, densities have ``(chain, draw, datum)``, in nats.

    Args:
        vae: The model; None for the audit of a program that is not a VAE.
        what: Data, ``(N, *event_shape)``, or a result for this model.
        draws: Draws in each chain for each datum, at least 25; a result has its own.
        seed: Seed of the draws; the global generators keep their state.
        identity: Of the data set that the data are from (``data.identity``).

    Returns:
        A ``xarray.DataTree``, whose attributes say the declaration, the data and the versions. It
        can be written by ``to_netcdf`` or ``to_zarr``, and read by ``xarray.open_datatree``.

    Raises:
        DataError: if the data do not fit the model or the memory, an audit drew no particles, or
            ``arviz-base`` is missing.

    Example:
        >>> tree = to_datatree(VAE(event_shape=(4,), latent_dim=2), torch.zeros(3, 4))
        >>> dict(tree["posterior"]["z"].sizes)
        {'chain': 4, 'draw': 250, 'datum': 3, 'latent': 2}
    """
    base = arviz("arviz_base")
    declaration = {} if vae is None else {"declaration": json.dumps(vae.declaration, default=repr)}
    about: dict[str, Any] = {
        **declaration,
        "data": "" if identity is None else str(identity),
        **{name.replace("-", "_") + "_version": version(name) for name in PACKAGES},
    }
    khat: Tensor | None = None
    if isinstance(what, Audit):
        groups: Groups = _particles(what)
        about |= {"seed": what.seed, "verdict": what.verdict}
    elif vae is None:
        raise DataError(
            "vae: expected the model, got None; only the audit of a program has no VAE"
        )
    elif isinstance(what, MCMCComparison):
        guide = what.guide.unflatten(1, what.chains.shape[1:3])
        pair = {"posterior": what.chains, "guide": guide}
        groups = {name: {"z": codes.movedim(0, 2)} for name, codes in pair.items()}
        about |= {"seed": what.seed, "warmup": what.warmup}
    elif isinstance(what, Calibration):
        ranks, khats = what.ranks.unsqueeze(0), what.pareto_k["simulated"].unsqueeze(0)
        columns = {"z": ranks[..., :-2], "log_q": ranks[..., -2], "log_weight": ranks[..., -1]}
        groups = {"prior_sbc": columns, "sample_stats": {"pareto_k": khats}}
        about |= {"seed": what.seed, "verdict": what.verdict}
    else:
        at_least(25, draws=draws)
        x = vae.rows(what).detach().to(device_of(vae), torch.float64)
        at_least(1, **{"data in x": len(x)})
        check_room((2 * CHAINS * draws, x.numel()), "draws of x", "ask for fewer draws or data")
        groups = _groups(vae, x, draws, seed)
        khat = pareto_k(groups["sample_stats"]["log_weight"].flatten(0, 1))
        groups["observed_data"] = {"x": x}
        about |= {"seed": seed, "x_sha256": digest([x.cpu()])}
    arrays = {group: {name: values.cpu().numpy() for name, values in found.items()}
              for group, found in groups.items()}  # fmt: skip
    tree = base.from_dict(arrays, dims=_dims(vae, groups), attrs={"/": about})
    if khat is not None:
        stats = tree["sample_stats"]
        stats.dataset = stats.dataset.assign(pareto_k=("datum", khat.numpy()))
    return tree


def _particles(audit: Audit) -> Groups:
    """The terms of an audit's ELBO: of each datum for a VAE, or of the whole data."""
    if not audit.draws:
        raise DataError(
            f"audit: expected particles, got none, since the program failed before any was drawn; "
            f"mend it and audit it again. {audit.verdict}"
        )
    if not isinstance(audit, ELBOAudit):
        return {"sample_stats": {name: term.unsqueeze(0) for name, term in audit.draws.items()}}
    terms = {name: term.unsqueeze(0) for name, term in audit.estimates["trace"].terms.items()}
    return {"log_likelihood": {"x": terms.pop("log_likelihood")}, "sample_stats": terms}


def _dims(vae: VAE | None, groups: Groups) -> dict[str, list[str]]:
    """The dimensions of each variable, after chain and draw."""
    x = [] if vae is None else [f"x_dim_{i}" for i in range(len(vae.event_shape))]
    z = ["latent"] if "prior_sbc" in groups else ["datum", "latent"]
    rest = {name: ["datum"][: values.dim() - 2] for group in groups.values()
            for name, values in group.items()}  # fmt: skip
    return rest | {"z": z, "x": ["datum", *x]}


def _groups(vae: VAE, x: Tensor, draws: int, seed: int) -> Groups:
    """Draws from both halves of the model, and their log-densities."""
    groups: dict[str, dict[str, list[Tensor]]] = defaultdict(lambda: defaultdict(list))
    shape = torch.Size([CHAINS, draws])
    with isolated_copy(vae, torch.float64, seed, validate=False) as model:
        for part, batch in model.split(x, data_at_once(model, x, CHAINS * draws)):
            q, prior = part.encode(batch), part.prior()
            z, fresh = q.sample(shape), codes_of(prior, *shape, len(batch))
            p = part.decode(z, batch)
            log_likelihood, log_q = p.log_prob(batch), q.log_prob(z)
            joint = log_likelihood + prior.log_prob(z)
            for group, name, values in (
                ("posterior", "z", z),
                ("posterior_predictive", "x", p.sample()),
                ("prior", "z", fresh),
                ("prior_predictive", "x", part.decode(fresh, batch).sample()),
                ("log_likelihood", "x", log_likelihood),
                ("sample_stats", "lp", joint),
                ("sample_stats", "log_q", log_q),
                ("sample_stats", "log_weight", joint - log_q),
            ):
                groups[group][name].append(values)
    return {group: {name: torch.cat(parts, 2) for name, parts in found.items()}
            for group, found in groups.items()}  # fmt: skip
