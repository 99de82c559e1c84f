"""The hand-written terms against Pyro's own estimators, from the same draws."""

import dataclasses

import pyro.infer
import pytest
import torch
from torch import nn

from pyro_vae.core.errors import DataError, IncompatibleComponents, NoClosedFormKL
from pyro_vae.objectives import terms as module
from pyro_vae.objectives.kl import normal_normal
from pyro_vae.objectives.terms import elbo_terms, elbo_terms_of_data
from tests.objectives.common import exact_or_skip, known_to_torch_or_skip
from tests.variants import TRIPLES, UNFIT, UNKNOWN, Z_CRIT, handed_over, small_vae, stirred

PYROS = {"sampled": pyro.infer.Trace_ELBO, "exact": pyro.infer.TraceMeanField_ELBO}


def pyros(vae, x, kl, particles=1):
    options = {"num_particles": particles, "vectorize_particles": True, "max_plate_nesting": 1}
    return -PYROS[kl](**options).loss(vae.model, vae.guide, x)


def ours(vae, x, kl, particles=1):
    return elbo_terms(vae, x, kl=kl, particles=particles).elbo.sum().item()


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("particles", [1, 3])
@pytest.mark.parametrize("kl", PYROS)
def test_the_elbo_is_pyros_from_the_same_seed(vae, x, kl, particles, training, seeded):
    if kl == "exact":
        known_to_torch_or_skip(vae, x)
    vae.train(training)
    by_hand = seeded(ours, vae, x, kl, particles)
    assert by_hand == pytest.approx(seeded(pyros, vae, x, kl, particles), rel=1e-5, abs=1e-5)


@pytest.mark.slow  # all 4,510 triples; the tests around it take every pair
@pytest.mark.parametrize("prior", sorted({p.values[0]["prior"]["kind"] for p in TRIPLES}))
def test_the_elbo_of_every_valid_triple_is_pyros_from_the_same_seed(prior, seeded):
    failed = []
    for triple in TRIPLES:
        declared = triple.values[0]
        if declared["prior"]["kind"] == prior:
            vae = stirred(small_vae(**declared))
            x = handed_over(vae, vae.generate(3, sample=True))
            one, other = (seeded(f, vae, x, "sampled", particles=2) for f in (ours, pyros))
            if one != pytest.approx(other, rel=1e-5, abs=1e-4):
                failed.append(f"{triple.id}: {one} and {other}")
    assert failed == []


@pytest.mark.parametrize("declared", UNFIT)
def test_a_posterior_that_lies_elsewhere_than_the_prior_is_refused(declared):
    with pytest.raises(IncompatibleComponents, match="expected draws in the support of the prior"):
        small_vae(**declared)


@pytest.mark.parametrize("declared", UNKNOWN)
def test_a_prior_made_of_the_encoder_is_refused_where_there_is_none(declared):
    with pytest.raises(IncompatibleComponents, match="expected an amortized posterior, got per_"):
        small_vae(**declared)


MISTAKES = {
    "a sign": ("kl_sampled", "sampled", lambda q, p, z: p.log_prob(z) - q.log_prob(z)),
    "a mean": ("kl_sampled", "sampled", lambda q, p, z: (q.log_prob(z) - p.log_prob(z)) / 2),
    "a factor 1/2": ("kl_exact", "exact", lambda q, p: 2 * normal_normal(*_normals(q, p))),
    "an order": ("kl_exact", "exact", lambda q, p: normal_normal(*_normals(p, q))),
}


def _normals(*pair):
    return [(d.base_dist.loc, d.base_dist.scale) for d in pair]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_planted_mistakes_are_caught(mistake, monkeypatch, seeded):
    name, kl, wrong = MISTAKES[mistake]
    vae = stirred(small_vae(prior="diagonal_normal"))
    x = torch.randn(6, 3)
    assert seeded(ours, vae, x, kl) == pytest.approx(seeded(pyros, vae, x, kl), rel=1e-5)
    monkeypatch.setattr(module, name, wrong)
    assert seeded(ours, vae, x, kl) != pytest.approx(seeded(pyros, vae, x, kl), rel=1e-5)


def test_exact_and_sampled_divergences_agree(vae, x):
    exact = exact_or_skip(vae, x).kl
    with torch.no_grad():
        q, p = vae.encode(x), vae.prior()
        z = q.sample(torch.Size([20_000]))
        draws = q.log_prob(z) - p.log_prob(z)
    stderr = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - exact).abs() / stderr).max() < Z_CRIT
    assert ((draws.mean(0) - exact / 2).abs() / stderr).max() > Z_CRIT


def test_there_is_one_value_for_each_datum(vae, x):
    terms = elbo_terms(vae, x, particles=2)
    assert terms.log_likelihood.shape == terms.kl.shape == terms.elbo.shape == (6,)
    assert torch.equal(terms.elbo, terms.log_likelihood - terms.kl)
    assert terms.kl_method in ("exact", "sampled")


def test_more_particles_vary_less():
    vae = stirred(small_vae())
    x = torch.randn(1, 3)
    few, many = (
        torch.stack([elbo_terms(vae, x, particles=k).elbo.detach() for _ in range(100)])
        for k in (1, 100)
    )
    assert 4 < few.std() / many.std() < 25  # sqrt(100), and far from 1 and from 100


def test_the_gradient_reaches_every_parameter(vae, x):
    elbo_terms(vae, x, particles=2).elbo.sum().backward()
    for name, parameter in vae.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_without_a_closed_form(unpaired):
    vae, x = small_vae(prior=unpaired), torch.randn(4, 3)
    assert elbo_terms(vae, x).kl_method == elbo_terms(vae, x, kl="sampled").kl_method == "sampled"
    with pytest.raises(NoClosedFormKL, match=r"p = Independent\(StudentT, 1\)"):
        elbo_terms(vae, x, kl="exact")


def test_data_of_another_shape_are_refused():
    with pytest.raises(DataError, match=r"shape \(N, 3\), got one of shape \(2, 4\)"):
        elbo_terms(small_vae(), torch.zeros(2, 4))


class TestOfData:
    """A whole data set's terms: in evaluation mode, in batches, from a seed of its own."""

    def test_they_are_those_of_one_batch(self, vae, x):
        for kl in ("auto", "sampled"):
            whole = elbo_terms_of_data(vae, x, kl=kl, particles=2, seed=3)
            torch.manual_seed(3)
            with torch.no_grad():
                expected = elbo_terms(vae.eval(), x, kl=kl, particles=2)
            assert torch.equal(whole.elbo, expected.elbo)
            assert whole.kl_method == expected.kl_method
            assert not whole.elbo.requires_grad

    def test_they_come_from_the_seed_alone(self, vae, x):
        first = elbo_terms_of_data(vae, x, seed=1)
        torch.manual_seed(99)
        again, other = (elbo_terms_of_data(vae, x, seed=seed) for seed in (1, 2))
        for field in ("log_likelihood", "kl"):
            assert torch.equal(getattr(first, field), getattr(again, field))
        assert not torch.equal(first.log_likelihood, other.log_likelihood)

    def test_batches_change_only_the_draws(self, vae, x):
        kl = exact_or_skip(vae.eval(), x).kl
        for size in (1, 4, 6, 100):
            terms = elbo_terms_of_data(vae, x, batch_size=size)
            assert terms.log_likelihood.shape == (6,)
            assert torch.allclose(terms.kl, kl, rtol=1e-5)

    def test_generators_modes_and_buffers_stay(self):
        scale = {"kind": "gaussian", "scale": "optimal"}
        encoder = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.BatchNorm1d(4))
        vae = small_vae(encoder=encoder, likelihood=scale).train()
        encoder[1].eval()
        modes = {part: part.training for part in vae.modules()}
        before = {name: value.clone() for name, value in vae.state_dict().items()}
        state = torch.get_rng_state()
        elbo_terms_of_data(vae, torch.randn(5, 3, generator=torch.Generator().manual_seed(0)))
        assert torch.equal(state, torch.get_rng_state())
        assert modes == {part: part.training for part in vae.modules()}
        assert all(torch.equal(before[k], v) for k, v in vae.state_dict().items())

    def test_modes_come_back_after_an_error(self, unpaired):
        vae = small_vae(prior=unpaired).train()
        state = torch.get_rng_state()
        with pytest.raises(NoClosedFormKL):
            elbo_terms_of_data(vae, torch.zeros(5, 3), kl="exact")
        assert all(part.training for part in vae.modules())
        assert torch.equal(state, torch.get_rng_state())

    def test_terms_are_not_to_be_changed(self):
        terms = elbo_terms_of_data(small_vae(), torch.zeros(5, 3))
        with pytest.raises(dataclasses.FrozenInstanceError):
            terms.kl = None
