"""The fused networks are the readable ones: same values, same gradients, whatever the shapes."""

import dataclasses
import math
from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cqlbench.algorithms.bc import BC
from cqlbench.algorithms.configs import BCConfig, CQLConfig, SACConfig
from cqlbench.algorithms.cql import CQL
from cqlbench.algorithms.sac import SAC
from cqlbench.networks import fused
from cqlbench.networks.adam import Adam
from cqlbench.networks.critic import CriticEnsemble
from cqlbench.networks.mlp import MLP, linear_layers
from cqlbench.networks.policy import squash
from cqlbench.tasks import Batch, TaskSpec


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
        assert (one - other).abs().max() <= tolerance * one.abs().max()


SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.integers(1, 17), st.integers(1, 4))


@settings(max_examples=40)
@given(SHAPES, st.sampled_from(["one each", "several", "each its own"]), st.integers(1, 6))
def test_critics_of_any_depth_and_width_agree(shape, kind, count):
    batch, observed, action_size, width, depth = shape
    readable = CriticEnsemble(observed, action_size, width, depth).double()
    fast = CriticEnsemble(observed, action_size, width, depth, fused=True).double()
    fast.load_state_dict(readable.state_dict())
    sizes = {"one each": (batch,), "several": (batch, count), "each its own": (2, batch, count)}[kind]
    observations = torch.randn(batch, observed, dtype=torch.float64)
    actions = torch.rand(*sizes, action_size, dtype=torch.float64).requires_grad_()
    assert_same(readable, fast, observations, actions, tolerance=1e-12)


@settings(max_examples=20)
@given(SHAPES)
def test_multilayer_perceptrons_agree(shape):
    batch, inputs, outputs, width, depth = shape
    readable = MLP(inputs, width, depth, outputs).double()
    fast = MLP(inputs, width, depth, outputs, fused=True).double()
    fast.load_state_dict(readable.state_dict())
    assert_same(readable, fast, torch.randn(batch, inputs, dtype=torch.float64), tolerance=1e-12)


KINDS = {"one each": (), "several": (30,), "each its own": (30,)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("width", "depth"), [(64, 2), (128, 1), (256, 2), (256, 3)])
def test_float32_agrees_to_1e_5_at_the_sizes_that_are_run(width, depth, kind, monkeypatch):
    """There oneDNN makes the products, which it does not in float64."""
    monkeypatch.undo()
    batch = 2048 if kind == "one each" else 256
    assert fused.worthwhile(batch * math.prod(KINDS[kind]), width)
    torch.manual_seed(0)
    readable, observations = CriticEnsemble(11, 3, width, depth), torch.randn(batch, 11)
    fast = CriticEnsemble(11, 3, width, depth, fused=True)
    fast.load_state_dict(readable.state_dict())
    sizes = (2, batch, 30) if kind == "each its own" else (batch, *KINDS[kind])
    actions = torch.rand(*sizes, 3).requires_grad_()
    assert_same(readable, fast, observations, actions, tolerance=1e-5)
    with torch.no_grad():
        without_gradient = fast(observations, actions)
    assert torch.equal(without_gradient, fast(observations, actions).detach())


@pytest.mark.parametrize("width", [128, 256])
def test_multilayer_perceptrons_agree_in_float32(width, monkeypatch):
    monkeypatch.undo()
    torch.manual_seed(0)
    readable = MLP(11, width, 2, 6)
    fast = MLP(11, width, 2, 6, fused=True)
    fast.load_state_dict(readable.state_dict())
    assert_same(readable, fast, torch.randn(256, 11).requires_grad_(), tolerance=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_not_a_number_comes_out_as_none(dtype, monkeypatch):
    """A relu that makes it 0 would hide a run that has diverged."""
    monkeypatch.undo()
    torch.manual_seed(0)
    critic = CriticEnsemble(11, 3, 128, 2, fused=True).to(dtype)
    with torch.no_grad():
        for each in critic.critics:
            linear_layers(each)[1].weight[5, 7] = torch.nan
    values = critic(torch.randn(256, 11, dtype=dtype), torch.rand(256, 30, 3, dtype=dtype))
    # In each critic one unit of the second layer is not a number, and so its output for every row.
    assert values.isnan().all()


@pytest.mark.parametrize(
    "config",
    [
        CQLConfig(),
        CQLConfig(backward_actions=2, lagrange_threshold=2.0, penalty_temperature=0.5),
        CQLConfig(variant="rho", backward_actions=3),
        CQLConfig(variant="variance", sampling_distribution="mixture", variance_radius=0.3, data_term=False),
        CQLConfig(next_actions="scored_at_next_s", joint_update=True, multipliers_first="all", bc_warm_start=50),
        CQLConfig(target_action_samples=3, log_std_scaling=True, depth=3),
        SACConfig(depth=1),
        BCConfig(),
    ],
    ids=str,
)
def test_a_hundred_updates_end_alike(config):
    """In float64, where only the order of sums differs: every metric of every update, and every parameter."""
    algorithm = {CQLConfig: CQL, SACConfig: SAC, BCConfig: BC}[type(config)]
    small = {"width": 8} | ({"num_action_samples": 3} if isinstance(config, CQLConfig) else {})
    both = []
    for networks in ("fused", "readable"):
        settings = dataclasses.replace(config, networks=networks, **small)
        one = algorithm(TaskSpec(3, 2), settings, 0, torch.device("cpu"))
        for module in vars(one).values():
            if isinstance(module, torch.nn.Module):
                module.double()
        both.append(one)
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        rows = [torch.randn(8, size, generator=generator, dtype=torch.float64) for size in (3, 2, 1, 3)]
        batch = Batch(rows[0], torch.tanh(rows[1]), rows[2][:, 0], rows[3], torch.zeros(8, dtype=torch.float64))
        fast, readable = (one.update(batch) for one in both)
        assert fast.keys() == readable.keys()
        for name, value in readable.items():
            assert float(fast[name]) == pytest.approx(float(value), rel=1e-9, abs=1e-12), name
    for name, value in both[1].state_dict().items():
        torch.testing.assert_close(both[0].state_dict()[name], value, rtol=1e-8, atol=1e-11)


def test_a_hundred_updates_in_float32_stay_together(monkeypatch):
    """There a last bit grows, from update to update; the losses of 2x64 networks still agree to four digits."""
    monkeypatch.undo()
    fast, readable = (
        CQL(TaskSpec(11, 3), CQLConfig(width=64, networks=networks), 0, torch.device("cpu"))
        for networks in ("fused", "readable")
    )
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        rows = [torch.randn(256, size, generator=generator) for size in (11, 3, 1, 11)]
        batch = Batch(rows[0], torch.tanh(rows[1]), rows[2][:, 0], rows[3], torch.zeros(256))
        ours, theirs = fast.update(batch), readable.update(batch)
        for name in ("td_loss", "conservative_gap", "actor_loss"):
            assert float(ours[name]) == pytest.approx(float(theirs[name]), rel=1e-4), name


def test_frozen_critics_let_the_gradient_through_to_actions_alone():
    critic = CriticEnsemble(3, 2, 8, 2, fused=True)
    actions = torch.rand(4, 5, 2, requires_grad=True)
    with critic.frozen():
        values = critic(torch.randn(4, 3), actions)
    values.sum().backward()
    assert actions.grad is not None and all(weight.grad is None for weight in critic.weights)
    assert all(weight.requires_grad for weight in critic.weights)


def test_layer_normalisation_has_no_fused_form_and_is_readable():
    torch.manual_seed(0)
    readable = CriticEnsemble(3, 2, 8, 2, layer_norm=True)
    torch.manual_seed(0)
    fast = CriticEnsemble(3, 2, 8, 2, layer_norm=True, fused=True)
    assert not fast.fused
    assert torch.equal(readable(torch.ones(4, 3), torch.ones(4, 2)), fast(torch.ones(4, 3), torch.ones(4, 2)))


def test_a_copy_is_fused_with_its_own_weights():
    critic = CriticEnsemble(3, 2, 8, 2, fused=True)
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
