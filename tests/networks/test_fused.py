"""The fused networks are the readable ones: same values, same gradients, whatever the shapes."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cqlbench.networks import fused
from cqlbench.networks.adam import Adam
from cqlbench.networks.critic import TwinCritic
from cqlbench.networks.mlp import MLP
from cqlbench.networks.policy import squash


@pytest.fixture(autouse=True)
def always_worthwhile(monkeypatch):
    """Small networks too, in pieces of a few rows."""
    monkeypatch.setattr(fused, "WORTHWHILE", 0)
    monkeypatch.setattr(fused, "PIECE", 64)


def gradients_of(network, *inputs):
    """Output, gradient by every parameter and by every input that wants one, under a random linear loss."""
    output = network(*inputs)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(7), dtype=output.dtype)
    leaves = [*network.parameters(), *(each for each in inputs if each.requires_grad)]
    return output, torch.autograd.grad((weights * output).sum(), leaves)


def assert_same(readable, fast, *inputs, tolerance):
    """Each gradient's error relative to its largest entry."""
    (expected, slopes), (actual, others) = gradients_of(readable, *inputs), gradients_of(fast, *inputs)
    assert actual.shape == expected.shape
    for one, other in zip((expected, *slopes), (actual, *others), strict=True):
        assert float((one - other).abs().max()) <= tolerance * float(one.abs().max())


SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.integers(1, 17), st.integers(1, 4))


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.sampled_from(["one each", "several", "each its own"]), st.integers(1, 6))
def test_critics_of_any_depth_and_width_agree(shape, kind, count):
    batch, observed, action_size, width, depth = shape
    readable = TwinCritic(observed, action_size, width, depth).double()
    fast = TwinCritic(observed, action_size, width, depth, fused=True).double()
    fast.load_state_dict(readable.state_dict())
    sizes = {"one each": (batch,), "several": (batch, count), "each its own": (2, batch, count)}[kind]
    observations = torch.randn(batch, observed, dtype=torch.float64)
    actions = torch.rand(*sizes, action_size, dtype=torch.float64).requires_grad_()
    assert_same(readable, fast, observations, actions, tolerance=1e-12)


@settings(max_examples=20, deadline=None)
@given(SHAPES)
def test_multilayer_perceptrons_agree(shape):
    batch, inputs, outputs, width, depth = shape
    readable = MLP(inputs, width, depth, outputs).double()
    fast = MLP(inputs, width, depth, outputs, fused=True).double()
    fast.load_state_dict(readable.state_dict())
    assert_same(readable, fast, torch.randn(batch, inputs, dtype=torch.float64), tolerance=1e-12)


@pytest.mark.parametrize("width", [64, 128, 256])
def test_float32_agrees_to_1e_5_at_the_sizes_that_are_run(width, monkeypatch):
    monkeypatch.undo()
    assert fused.worthwhile(256 * 30, width)
    torch.manual_seed(0)
    readable, observations = TwinCritic(11, 3, width, 2), torch.randn(256, 11)
    fast = TwinCritic(11, 3, width, 2, fused=True)
    fast.load_state_dict(readable.state_dict())
    assert_same(readable, fast, observations, torch.rand(256, 30, 3), tolerance=1e-5)


def test_frozen_critics_let_the_gradient_through_to_actions_alone():
    critic = TwinCritic(3, 2, 8, 2, fused=True)
    actions = torch.rand(4, 5, 2, requires_grad=True)
    with critic.frozen():
        values = critic(torch.randn(4, 3), actions)
    values.sum().backward()
    assert actions.grad is not None and all(weight.grad is None for weight in critic.weights)
    assert all(weight.requires_grad for weight in critic.weights)


def test_layer_normalisation_has_no_fused_form_and_is_readable():
    torch.manual_seed(0)
    readable = TwinCritic(3, 2, 8, 2, layer_norm=True)
    torch.manual_seed(0)
    fast = TwinCritic(3, 2, 8, 2, layer_norm=True, fused=True)
    assert not fast.fused
    assert torch.equal(readable(torch.ones(4, 3), torch.ones(4, 2)), fast(torch.ones(4, 3), torch.ones(4, 2)))


def test_a_copy_is_fused_with_its_own_weights():
    critic = TwinCritic(3, 2, 8, 2, fused=True)
    copy = deepcopy(critic)
    with torch.no_grad():
        for weight in copy.parameters():
            weight.zero_()
    assert not copy(torch.ones(4, 3), torch.ones(4, 2)).any()
    assert critic(torch.ones(4, 3), torch.ones(4, 2)).any()


@pytest.mark.parametrize("extra", [(), (5,)])
def test_the_gradient_of_a_squashed_sample_is_the_derivative(extra):
    """Of actions and densities, by mean, log_std and noise, also where many samples share a mean."""
    generator = torch.Generator().manual_seed(0)
    own = (4, *(1 for _ in extra), 3)
    drawn = [torch.randn(size, generator=generator, dtype=torch.float64) for size in (own, own, (4, *extra, 3))]
    assert torch.autograd.gradcheck(squash, [part.requires_grad_() for part in drawn])


def test_adam_is_torchs_fused_adam_bit_for_bit():
    torch.manual_seed(0)
    ours = [torch.randn(5, 3, requires_grad=True), torch.randn((), requires_grad=True)]
    theirs = [part.detach().clone().requires_grad_() for part in ours]
    optimisers = Adam(ours, 3e-3), torch.optim.Adam(theirs, 3e-3, fused=True)
    for _ in range(50):
        for parameters, optimiser in zip((ours, theirs), optimisers, strict=True):
            optimiser.zero_grad()
            sum((part**4).sum() for part in parameters).backward()
            optimiser.step()
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
