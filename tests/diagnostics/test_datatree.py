"""What ArviZ is given, and that it takes it as it is."""

from __future__ import annotations

import json
import math

import arviz_stats
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
import xarray
from pyro.infer.autoguide import AutoNormal
from pyro.nn import pyro_method

from pyro_vae import VAE, audit, audit_elbo, calibrate, compare_with_mcmc, load_data, to_datatree
from pyro_vae.core.errors import DataError
from tests.diagnostics.exact_guide import exact_guide
from tests.variants import small_vae

GROUPS = {"posterior", "prior", "posterior_predictive", "prior_predictive", "log_likelihood",
          "observed_data", "sample_stats"}  # fmt: skip


@pytest.fixture(scope="module")
def exact():
    return exact_guide()


@pytest.fixture(scope="module")
def x(exact):
    return exact.generate(5, sample=True)


@pytest.fixture(scope="module")
def tree(exact, x):
    return to_datatree(exact, x, draws=500)


@pytest.fixture
def plots(monkeypatch):
    """arviz-plots 0.8, the last for Python 3.11, wants a module that matplotlib 3.11 dropped."""
    import matplotlib.style

    monkeypatch.setattr(matplotlib.style, "core", matplotlib.style, raising=False)
    return pytest.importorskip("arviz_plots")


def test_groups_dimensions_and_coordinates(tree):
    assert set(tree.children) == GROUPS
    z, x = tree["posterior"]["z"], tree["posterior_predictive"]["x"]
    assert dict(z.sizes) == {"chain": 4, "draw": 500, "datum": 5, "latent": 2}
    assert dict(x.sizes) == {"chain": 4, "draw": 500, "datum": 5, "x_dim_0": 3}
    assert tree["prior"]["z"].dims == z.dims
    assert tree["prior_predictive"]["x"].dims == x.dims
    assert tree["log_likelihood"]["x"].dims == ("chain", "draw", "datum")
    assert tree["sample_stats"]["pareto_k"].dims == ("datum",)
    assert tree["observed_data"]["x"].dims == ("datum", "x_dim_0")
    assert z.coords["datum"].values.tolist() == [0, 1, 2, 3, 4]


def test_the_draws_are_those_of_the_exact_posterior(exact, x, tree):
    q = exact.encode(x)
    drawn = torch.as_tensor(tree["posterior"]["z"].values).flatten(0, 1)
    assert ((drawn.mean(0) - q.mean) / (0.5 / math.sqrt(2000))).abs().max() < 5
    assert np.abs(tree["prior"]["z"].mean(("chain", "draw"))).max() < 5 / math.sqrt(2000)
    stats = tree["sample_stats"].dataset
    log_q = q.log_prob(drawn).unflatten(0, (4, 500)).detach().numpy()
    assert np.allclose(stats.lp.values - stats.log_weight.values, log_q)
    assert float(stats.log_weight.std(("chain", "draw")).max()) < 1e-6  # it is log p(x)
    assert (stats.pareto_k == -math.inf).all()


def test_the_attributes_say_what_it_is(exact, x):
    data = load_data("digits")
    about = to_datatree(exact, x, draws=25, seed=3, identity=data.identity).attrs
    assert json.loads(about["declaration"])["posterior"] == {"kind": "multivariate_normal"}
    assert data.identity.sha256 in about["data"]
    assert about["seed"] == 3
    assert about["torch_version"] == torch.__version__.split("+")[0]
    assert len(about["x_sha256"]) == 12


def test_it_survives_netcdf(tree, tmp_path):
    tree.to_netcdf(tmp_path / "tree.nc", engine="h5netcdf")
    with xarray.open_datatree(tmp_path / "tree.nc", engine="h5netcdf") as back:
        assert back.identical(tree)


def test_it_survives_zarr(tree, tmp_path):
    pytest.importorskip("zarr")
    tree.to_zarr(tmp_path / "tree.zarr", consolidated=False)
    with xarray.open_datatree(tmp_path / "tree.zarr", engine="zarr", consolidated=False) as back:
        assert back.identical(tree)


def test_arviz_summarizes_it(exact, x, tree):
    summary = arviz_stats.summary(tree, round_to="none")
    assert len(summary) == 10
    assert summary["r_hat"].max() < 1.02
    mean = torch.tensor(summary["mean"].to_numpy(dtype=float)).unflatten(0, (5, 2))
    assert (mean - exact.encode(x).mean).abs().max() < 5 * 0.5 / math.sqrt(2000)


@pytest.mark.filterwarnings("ignore:Estimated shape parameter")
def test_arviz_computes_loo(exact, x, tree):
    found = arviz_stats.loo(tree, pointwise=True)
    assert found.n_data_points == 5
    assert np.isfinite(found.elpd)
    assert found.elpd_i.dims == ("datum",)


@pytest.mark.filterwarnings("ignore")
def test_arviz_plots_it(plots, exact, tree):
    from matplotlib import pyplot

    plots.plot_dist(tree)
    plots.plot_ppc_dist(tree, num_samples=10)
    found = calibrate(exact, simulations=200, draws=25, show_progress=False)
    plots.plot_ecdf_pit(to_datatree(exact, found))
    pyplot.close("all")


def test_results_are_trees_too(exact, x):
    chains = compare_with_mcmc(exact, x[:2], samples=20, warmup=20, chains=2, show_progress=False)
    tree = to_datatree(exact, chains)
    assert dict(tree["posterior"]["z"].sizes) == {"chain": 2, "draw": 20, "datum": 2, "latent": 2}
    assert np.array_equal(tree["posterior"]["z"][1, :, 0], chains.chains[0, 1])
    assert tree["guide"]["z"].sizes == tree["posterior"]["z"].sizes
    found = calibrate(exact, simulations=100, draws=25, show_progress=False)
    tree = to_datatree(exact, found)
    assert np.array_equal(tree["prior_sbc"]["z"][0], found.ranks[:, :2])
    assert tree.attrs["verdict"] == found.verdict
    audit = audit_elbo(exact, x, particles=100, gradients=0)
    tree = to_datatree(exact, audit)
    elbo = tree["log_likelihood"]["x"] - tree["sample_stats"]["kl"]
    assert np.allclose(elbo, tree["sample_stats"]["elbo"])
    assert elbo.sizes["draw"] == 100


def test_the_audit_of_a_program_that_is_no_vae():
    def model(x):
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(w, 1.0), obs=x)

    found = audit(model, AutoNormal(model), torch.zeros(3), particles=100, gradients=0)
    tree = to_datatree(None, found)
    terms = tree["sample_stats"]
    assert dict(terms["elbo"].sizes) == {"chain": 1, "draw": 100}
    assert np.allclose(terms["log_likelihood"] - terms["kl"], terms["elbo"], atol=1e-5)
    assert len(arviz_stats.summary(tree, group="sample_stats")) == 3
    with pytest.raises(DataError, match="vae: expected the model, got None"):
        to_datatree(None, torch.zeros(2, 3))


def test_the_audit_of_a_broken_program_has_no_particles(exact, x):
    class Stray(VAE):
        @pyro_method
        def model(self, x):
            pyro.factor("stray", x.new_tensor(0.3))
            return super().model(x)

    broken = Stray(**exact.declaration)
    found = audit_elbo(broken.double(), x, particles=100, gradients=0)
    assert not found.passed
    program = audit(broken.model, broken.guide, x, particles=100, gradients=0)
    for result in (found, program):
        if result.draws:
            assert to_datatree(broken, result).attrs["verdict"].startswith("FAILED")
        else:
            with pytest.raises(DataError, match=r"expected particles, got none.*stray"):
                to_datatree(broken, result)
    assert not program.draws


def test_many_data_in_several_batches(monkeypatch):
    monkeypatch.setattr("pyro_vae.evidence.chunks.BUDGET", {"cpu": 2000})
    vae = small_vae(likelihood="bernoulli")
    x = vae.generate(11, sample=True)
    tree = to_datatree(vae, x, draws=25)
    assert np.array_equal(tree["observed_data"]["x"], x)
    p = vae.decode(torch.as_tensor(tree["posterior"]["z"].values).float())
    assert np.allclose(tree["log_likelihood"]["x"], p.log_prob(x).detach(), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 24}, "draws: expected at least 25"),
        ({"draws": 10**12}, "ask for fewer draws or data"),
        ({"what": torch.zeros(2, 5)}, "Expected x to be a tensor of shape"),
        ({"what": torch.zeros(0, 3)}, "data in x: expected at least 1"),
    ],
    ids=["few", "many", "shape", "none"],
)
def test_refusals(options, message):
    with pytest.raises(DataError, match=message):
        to_datatree(small_vae(), **({"what": torch.zeros(2, 3)} | options))
