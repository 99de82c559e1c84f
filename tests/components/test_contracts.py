"""What every component keeps to, over the whole registry."""

import copy

import pytest
import torch
from safetensors.torch import load_file, save_file

from pyro_vae.core.likelihood import Likelihood
from pyro_vae.core.posterior import Posterior
from pyro_vae.core.prior import Prior
from pyro_vae.vae import FAMILIES
from tests.components.common import distribution, middle, parameters_of, unmasked
from tests.variants import build, stirred

EXTREMES = {
    "large": torch.tensor([1e6]),
    "small": torch.tensor([-1e6]),
    "zero": torch.tensor([0.0]),
    "mixed": torch.tensor([1e6, -1e6, 0.0, 1.0, -1e6]),
}


def event_shape(component):
    return component.event_shape if isinstance(component, Likelihood) else (2,)


def test_weights_come_back_from_a_file(component, tmp_path):
    save_file(component.state_dict(), tmp_path / "weights.safetensors")
    kind = component.declaration
    other = stirred(build(component._family, kind))
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    for name, tensor in component.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)


def test_repr_and_declaration_name_the_kind(component):
    assert type(component).__name__ in repr(component)
    assert component.declaration["kind"] == type(component).kind
    assert component._family in FAMILIES.values()


def test_a_copy_shares_nothing(component):
    other = copy.deepcopy(component)
    assert other.declaration == component.declaration
    mine, others = ({id(t) for t in c.state_dict(keep_vars=True).values()}
                    for c in (component, other))  # fmt: skip
    assert not mine & others


@pytest.mark.parametrize("batch", [(4,), (7, 5), ()])
def test_shapes(random_component, batch):
    if isinstance(random_component, Prior):
        batch = ()
    d = distribution(random_component, parameters_of(random_component, batch))
    event = event_shape(random_component)
    assert (tuple(d.batch_shape), tuple(d.event_shape)) == (batch, event)
    draws = d.sample(torch.Size([7, 5]))
    assert draws.shape == (7, 5, *batch, *event)
    assert d.log_prob(draws).shape == (7, 5, *batch)
    if not isinstance(random_component, Prior):  # of which a flow knows no mean
        assert middle(random_component, d).shape == (*batch, *event)


def test_draws_are_within_the_support(random_component):
    d = distribution(random_component, parameters_of(random_component))
    draws = d.sample(torch.Size([100]))
    assert d.support.check(draws).all()
    if isinstance(random_component, Likelihood):
        assert random_component.support.check(draws).all()
    if isinstance(random_component, Posterior):
        assert d.support.check(random_component.point_estimate(d)).all()


def test_a_datum_does_not_touch_its_neighbours(conditional):
    parameters = parameters_of(conditional.double(), dtype=torch.double)
    draws = conditional(parameters).sample()
    both = conditional(parameters).log_prob(draws)
    for row in range(4):
        alone = conditional(parameters[row]).log_prob(draws[row])
        assert torch.allclose(alone, both[row], rtol=1e-9)


def test_gradient_reaches_everything(random_component):
    parameters = parameters_of(random_component)
    d = distribution(random_component, parameters)
    log_prob = d.log_prob(d.sample(torch.Size([5001])))  # some in each bin of a spline
    if log_prob.requires_grad:
        log_prob.sum().backward()
    for name, parameter in random_component.named_parameters():
        assert parameter.grad is not None, name
        assert torch.equal(parameter.grad != 0, unmasked(random_component)[name]), name
    if parameters is not None:
        assert (parameters.grad != 0).all()


def test_gradient_passes_through_a_posteriors_draws(posterior):
    parameters = parameters_of(posterior)
    q = posterior(parameters)
    assert q.has_rsample
    q.rsample().pow(3).sum().backward()
    assert (parameters.grad != 0).all()


@pytest.mark.parametrize("extreme", EXTREMES)
def test_no_input_makes_a_value_or_a_gradient_that_is_not_finite(random_component, extreme):
    parameters = parameters_of(random_component)
    data = distribution(random_component, parameters).sample()
    targets = [*random_component.parameters()]
    if parameters is not None:
        targets.append(parameters)
    with torch.no_grad():
        for target in targets:
            values = EXTREMES[extreme]
            target.copy_(values.repeat(-(-target.numel() // len(values)))[: target.numel()]
                         .reshape(target.shape))  # fmt: skip
    d = distribution(random_component, parameters)
    log_prob = d.log_prob(data)
    assert log_prob.isfinite().all()
    value = log_prob.sum()
    if d.has_rsample:
        draw = d.rsample()
        assert draw.isfinite().all()
        value = value + draw.sum()
    if targets:
        value.backward()
        assert all(target.grad.isfinite().all() for target in targets)


def test_double_precision_stays_double(random_component):
    component = random_component.double()
    d = distribution(component, parameters_of(component, dtype=torch.double))
    assert d.sample().dtype == d.log_prob(d.sample()).dtype == torch.double
    if not isinstance(component, Prior):
        assert middle(component, d).dtype == torch.double
