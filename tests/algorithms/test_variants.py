"""Every switch of CQL changes what it says, and nothing else; docs/variants.md goes through all of them."""

from __future__ import annotations

import dataclasses
import math
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cqlbench import losses
from cqlbench.algorithms.configs import INITIALISATIONS, CQLConfig
from cqlbench.algorithms.cql import CQL
from cqlbench.algorithms.dialects import DIALECTS
from cqlbench.algorithms.registry import find_algorithm, load_class
from cqlbench.cli.settings import read_settings
from cqlbench.diagnostics import compare_values
from cqlbench.errors import UserError
from cqlbench.execution import Unwatched, execute
from cqlbench.networks.critic import CriticEnsemble
from cqlbench.networks.mlp import MLP, initialise
from cqlbench.networks.noise import Noise
from cqlbench.networks.policy import squash
from cqlbench.normalisation import Normaliser
from cqlbench.runs import Protocol, Run, make_run
from cqlbench.scores import collect_scores
from cqlbench.suites import load_suite
from cqlbench.tasks import Batch, TaskSpec
from cqlbench.training import Replay

SPEC = TaskSpec(observation_size=4, action_size=2)
CPU = torch.device("cpu")
SAMPLES = 4


def make(seed: int = 0, **changes: Any) -> CQL:
    return CQL(SPEC, CQLConfig(**{"width": 8, "num_action_samples": SAMPLES, **changes}), seed, CPU)


@pytest.fixture(scope="module")
def batch() -> Batch:
    generator = torch.Generator().manual_seed(7)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return Batch(normal(16, 4), torch.tanh(normal(16, 2)), normal(16), normal(16, 4), (normal(16) > 1).float())


def gradients(module: nn.Module) -> Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in module.parameters() if parameter.grad is not None])


def weights(module: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()]).clone()


# --- Each switch and the parts of a first update that it changes, all others staying equal to the last bit.

GRADIENTS = {"policy gradient", "critic gradient", "temperature gradient"}
CHANGES: list[tuple[dict[str, Any], set[str]]] = [
    ({"variant": "rho"}, {"critic gradient"}),
    ({"variant": "expectation", "sampling_distribution": "mixture"}, {"critic gradient"}),
    ({"variant": "variance", "sampling_distribution": "mixture", "variance_radius": 1.0}, {"critic gradient"}),
    ({"data_term": False}, {"critic gradient"}),
    ({"num_action_samples": 2}, {"critic gradient"}),
    ({"next_actions": "scored_at_next_s"}, {"critic gradient"}),
    ({"next_actions": "unused"}, {"critic gradient"}),
    ({"importance_weights": False}, {"critic gradient"}),
    ({"penalty_temperature": 0.5}, {"critic gradient"}),
    ({"cql_alpha": 1.0}, {"critic gradient"}),
    ({"discount": 0.9}, {"critic gradient"}),
    ({"entropy_in_target": True}, {"critic gradient"}),
    # The multiplier starts at 1, and the threshold is a constant to the critics.
    ({"lagrange_threshold": 1.0}, {"multiplier gradient"}),
    ({"lagrange_threshold": 1.0, "initial_lagrange_multiplier": 2.0}, {"multiplier gradient", "critic gradient"}),
    ({"lagrange_threshold": 1.0, "multipliers_first": "temperature"}, {"multiplier gradient", "policy gradient"}),
    # The target's action takes its noise before the policy's own sample does.
    ({"target_action": "mean"}, GRADIENTS),
    ({"target_action_samples": 3}, GRADIENTS),
    ({"target_entropy": -7.0}, {"temperature gradient"}),
    ({"temperature_loss_of": "log_temperature"}, {"temperature gradient"}),
    ({"bc_warm_start": 1}, {"policy gradient"}),
    # The base updates jointly.
    ({"joint_update": False}, {"policy gradient"}),
    ({"independent_targets": True}, {"first targets", "critic gradient"}),
    ({"critic_init": "orthogonal"}, {"first critics", "first targets", "critic gradient", "policy gradient"}),
    # Layers of ones and zeros besides; what torch draws for the others stays.
    ({"critic_layer_norm": True}, {"first critics", "first targets", "critic gradient", "policy gradient"}),
    ({"log_std_scaling": True}, {"first policy", *GRADIENTS}),
    ({"log_std_max": -1.0}, GRADIENTS),
    # Nothing that the update's gradients see.
    ({"polyak": 0.5}, set()),
    ({"actor_learning_rate": 0.1, "critic_learning_rate": 0.1, "temperature_learning_rate": 0.1}, set()),
    ({"lagrange_learning_rate": 0.1}, set()),
]  # fmt: skip


def parts(batch: Batch, **changes: Any) -> dict[str, bytes]:
    algorithm = make(**{"joint_update": True, "initial_temperature": 0.5, **changes})
    networks = {"policy": algorithm.policy, "critics": algorithm.critic, "targets": algorithm.target_critic}
    found = {f"first {name}": weights(network) for name, network in networks.items()}
    algorithm.update(batch)
    found["policy gradient"] = gradients(algorithm.policy)
    found["critic gradient"] = gradients(algorithm.critic)
    for name, parameter in (("temperature", algorithm.log_temperature), ("multiplier", algorithm.log_multiplier)):
        found[f"{name} gradient"] = torch.zeros(()) if parameter.grad is None else parameter.grad
    return {name: tensor.numpy().tobytes() for name, tensor in found.items()}


@pytest.mark.parametrize(
    ("switch", "changed"), CHANGES, ids=lambda value: str(value) if isinstance(value, dict) else ""
)
def test_a_switch_changes_what_it_says_and_nothing_else(batch, switch, changed):
    base, switched = parts(batch), parts(batch, **switch)
    assert {name for name in base if base[name] != switched[name]} == changed


# --- Contradictions.

CONTRADICTIONS = [
    ({"variant": "expectation"}, "sampling_distribution is missing", "uniform, policy or mixture"),
    ({"variant": "variance", "variance_radius": 1.0}, "sampling_distribution is missing", "uniform, policy or mixture"),
    ({"sampling_distribution": "policy"}, "sampling_distribution: 'policy'", "leave it out"),
    ({"variant": "rho", "sampling_distribution": "uniform"}, "sampling_distribution: 'uniform'", "leave it out"),
    ({"variant": "variance", "sampling_distribution": "policy"}, "variance_radius is missing", "such as 1"),
    ({"variance_radius": 1.0}, "variance_radius: 1.0", "set variant: variance"),
    ({"variant": "rho", "importance_weights": False}, "importance_weights: false", "set variant: H"),
    ({"variant": "rho", "next_actions": "scored_at_next_s"}, "next_actions: scored_at_next_s", "set variant: H"),
    (
        {"variant": "expectation", "sampling_distribution": "policy", "penalty_temperature": 2.0},
        "penalty_temperature: 2",
        "H or rho",
    ),
    ({"lagrange_threshold": 5.0, "cql_alpha": 0.0}, "cql_alpha: 0.0", "leave lagrange_threshold out"),
    ({"target_action": "mean", "target_action_samples": 2}, "target_action_samples: 2", "target_action: sample"),
    ({"target_action": "mean", "entropy_in_target": True}, "entropy_in_target: true", "target_action: sample"),
    ({"log_std_min": 2.0}, "log_std_min: 2", "below log_std_max"),
]  # fmt: skip


def suite_of(folder, methods: dict[str, Any], **more: Any):
    content = {"name": "mine", "datasets": ["pendulum/medium-v0"], "seeds": [0], "methods": methods, **more}
    (folder / "suite.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return load_suite(folder / "suite.yaml")


@pytest.mark.parametrize(("switches", "key", "advice"), CONTRADICTIONS)
def test_a_contradiction_is_refused_with_its_key_and_what_to_change(tmp_path, switches, key, advice):
    with pytest.raises(UserError) as raised:
        CQLConfig(**switches)
    assert key in str(raised.value) and advice in str(raised.value)
    with pytest.raises(UserError) as in_suite:
        suite_of(tmp_path, {"mine": {"algorithm": "cql", **switches}})
    message = str(in_suite.value)
    assert message.startswith(f"{tmp_path}/suite.yaml: methods.mine: {key}") and "\n" not in message


def test_a_swept_variant_needs_partners_that_fit_every_value(tmp_path):
    headline = {"variant": "H"}
    suite = suite_of(tmp_path, {"cql": {"variant": ["H", "rho"], "penalty_temperature": 2}}, headline=headline)
    assert [method.config.variant for method in suite.methods] == ["H", "rho"]
    with pytest.raises(UserError, match="variance_radius is missing"):
        suite_of(
            tmp_path,
            {"cql": {"variant": ["expectation", "variance"], "sampling_distribution": "policy"}},
            headline={"variant": "expectation"},
        )
    with pytest.raises(UserError, match="variance_radius: 1.0 is not allowed with variant: expectation"):
        suite_of(
            tmp_path,
            {"cql": {"variant": ["variance", "expectation"], "sampling_distribution": "policy", "variance_radius": 1}},
            headline={"variant": "variance"},
        )


def test_a_warm_start_as_long_as_the_run_is_refused():
    with pytest.raises(UserError, match="bc_warm_start: 100 .* updates: 100"):
        make_run("pendulum/medium-v0", "cql", {"bc_warm_start": 100}, Protocol(updates=100), 0)
    make_run("pendulum/medium-v0", "cql", {"bc_warm_start": 99}, Protocol(updates=100), 0)


# --- What is pushed down.


def drawn(batch: Batch, **changes: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Q (2, B, M) at s of the actions that a new algorithm of these settings draws first, their log-densities, them."""
    algorithm = make(**changes)
    actions, log_densities = algorithm.sampled_actions(algorithm.forward(batch))
    return algorithm.critic(batch.observations, actions).detach(), log_densities, actions


def gap_of(batch: Batch, **changes: Any) -> float:
    algorithm = make(**changes)
    return float(algorithm.critic_loss(algorithm.forward(batch))[1]["conservative_gap"])


def pushed_down(batch: Batch, **changes: Any) -> Tensor:
    algorithm = make(**changes)
    return algorithm.pushed_down(algorithm.forward(batch)).detach()


@pytest.mark.parametrize(("distribution", "count"), [("uniform", 1), ("policy", 1), ("mixture", 2)])
def test_expectation_is_the_average_over_its_distribution_minus_the_data(batch, distribution, count):
    switches = {"variant": "expectation", "sampling_distribution": distribution}
    values, _, actions = drawn(batch, **switches)
    assert actions.shape == (16, count * SAMPLES, 2)
    expected = values.mean() - make().critic(batch.observations, batch.actions).mean()
    assert gap_of(batch, **switches) == pytest.approx(float(expected.detach()), abs=1e-6)


def test_the_policys_actions_carry_the_policys_densities_at_their_own_state(batch):
    algorithm = make()
    actions, log_densities = algorithm.sampled_actions(algorithm.forward(batch))
    for source, observations in ((1, batch.observations), (2, batch.next_observations)):
        for sample in range(source * SAMPLES, (source + 1) * SAMPLES):
            expected = algorithm.policy(observations).log_density(actions[:, sample]).detach()
            torch.testing.assert_close(log_densities[:, sample], expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(log_densities[:, :SAMPLES], torch.full((16, SAMPLES), -2 * math.log(2)))


@pytest.mark.parametrize("temperature", [1.0, 0.3])
@pytest.mark.parametrize("weighted", [True, False])
def test_h_divides_q_by_the_temperature_before_it_takes_the_density_off(batch, weighted, temperature):
    switches = {"importance_weights": weighted, "penalty_temperature": temperature}
    values, log_densities, _ = drawn(batch, **switches)
    terms = (values / temperature).exp() / (log_densities.exp() if weighted else 1)
    expected = temperature * terms.sum(2).log()
    torch.testing.assert_close(pushed_down(batch, **switches), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_rho_weighs_the_policys_actions_at_s_by_the_softmax_of_q(batch, temperature):
    switches = {"variant": "rho", "penalty_temperature": temperature}
    values, _, actions = drawn(batch, **switches)
    assert torch.equal(actions, drawn(batch, variant="expectation", sampling_distribution="policy")[2])
    powers = (values / temperature).exp()
    expected = (powers * values).sum(2) / powers.sum(2)
    torch.testing.assert_close(pushed_down(batch, **switches), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("radius", [0.25, 1.0])
def test_variance_adds_the_root_of_radius_times_variance(batch, radius):
    switches = {"variant": "variance", "sampling_distribution": "mixture", "variance_radius": radius}
    values, _, _ = drawn(batch, **switches)
    expected = values.mean(2) + math.sqrt(radius) * values.std(2, unbiased=False)
    torch.testing.assert_close(pushed_down(batch, **switches), expected, atol=1e-5, rtol=1e-5)


def test_next_actions_are_scored_at_s_or_at_s_prime_or_not_drawn(batch):
    here, _, actions = drawn(batch)
    there = make(next_actions="scored_at_next_s").sampled_values(batch, actions)
    torch.testing.assert_close(there[:, :, : 2 * SAMPLES], here[:, :, : 2 * SAMPLES])
    expected = make().critic(batch.next_observations, actions[:, 2 * SAMPLES :])
    torch.testing.assert_close(there[:, :, 2 * SAMPLES :], expected)
    _, _, unused = drawn(batch, next_actions="unused")
    assert unused.shape == (16, 2 * SAMPLES, 2) and torch.equal(unused, actions[:, : 2 * SAMPLES])


values_of = st.lists(st.floats(-20, 20), min_size=2, max_size=8).filter(lambda values: max(values) - min(values) > 0.1)


@settings(max_examples=50)
@given(values_of, st.floats(0.2, 3), st.integers(0, 2**31))
def test_rho_maximises_the_average_less_the_divergence_and_its_weights_are_not_differentiated(
    values, temperature, seed
):
    """Equation 3 with the KL divergence to rho, here the N samples alike: no other mu does better."""
    q = torch.tensor(values, dtype=torch.float64).view(1, 1, -1).requires_grad_()
    average = losses.softmax_average(q, temperature)
    average.sum().backward()
    mu = torch.softmax(q.detach() / temperature, 2)
    assert q.grad is not None
    torch.testing.assert_close(q.grad, mu)

    def objective(weights: Tensor) -> float:
        divergence = torch.special.xlogy(weights, weights * len(values)).sum()
        return float((weights * q.detach()).sum() - temperature * divergence)

    other = torch.rand(1, 1, len(values), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert objective(mu) >= objective(other / other.sum()) - 1e-9
    # The same gradient as H's without importance weights: the two differ in where their actions come from.
    soft = q.detach().requires_grad_()
    losses.soft_maximum(soft, None, temperature).sum().backward()
    assert soft.grad is not None
    torch.testing.assert_close(soft.grad, q.grad)


@settings(max_examples=50)
@given(values_of, st.floats(0.01, 1))
def test_variance_is_an_average_under_some_mu_up_to_the_radius_that_docs_variants_names(values, fraction):
    q = torch.tensor(values, dtype=torch.float64)
    mean, variance = q.mean(), q.var(unbiased=False)
    radius = fraction * variance / (mean - q.min()) ** 2
    mu = (1 + (radius / variance).sqrt() * (q - mean)) / len(q)
    assert mu.min() >= -1e-12
    robust = losses.robust_average(q.view(1, 1, -1), radius)
    assert float(robust) == pytest.approx(float((mu * q).sum()), abs=1e-9)
    assert float(robust) <= float(q.max()) + 1e-9


def test_variance_exceeds_every_sampled_q_where_the_radius_is_too_large():
    q = torch.tensor([[[0.0, 1.0]]])
    assert float(losses.robust_average(q, 1.0)) == pytest.approx(1.0)  # the largest radius: var / (mean - min)^2 = 1
    assert float(losses.robust_average(q, 4.0)) == pytest.approx(1.5)


def test_equation_1_does_not_push_the_data_up(batch):
    """The slope of the loss at the data's actions is SAC's alone without the data term, and another with it."""

    def slope(**changes: Any) -> Tensor:
        actions = batch.actions.clone().requires_grad_()
        algorithm = make(**changes)
        algorithm.critic_loss(algorithm.forward(batch._replace(actions=actions)))[0].backward()
        assert actions.grad is not None
        return actions.grad

    torch.testing.assert_close(slope(data_term=False), slope(cql_alpha=0.0))
    assert not torch.allclose(slope(), slope(cql_alpha=0.0))


def median_error(std: float, with_uniform: bool) -> float:
    """Median over 200 draws of |estimate - log of the integral of exp Q|, one action, Q(a) = 3a - a^2."""
    grid = np.linspace(-1, 1, 20_001)
    truth = math.log(np.trapezoid(np.exp(3 * grid - grid**2), grid))
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(200, 10, 1, generator=generator, dtype=torch.float64)
    actions, log_densities = squash(torch.tensor(-0.5), torch.tensor(math.log(std), dtype=torch.float64), noise)
    if with_uniform:
        uniform = 2 * torch.rand(200, 10, 1, generator=generator, dtype=torch.float64) - 1
        actions = torch.cat([uniform, actions], 1)
        log_densities = torch.cat([torch.full((200, 10), -math.log(2), dtype=torch.float64), log_densities], 1)
    values = (3 * actions - actions.square()).squeeze(-1)[None]
    estimates = losses.soft_maximum(values, log_densities) - math.log(actions.shape[1])
    return float((estimates - truth).abs().median())


def test_uniform_actions_beside_the_policys_hold_the_estimate_where_the_policy_is_narrow():
    """A narrow policy's own samples miss most of the integral, the more the narrower it is."""
    alone = [median_error(std, with_uniform=False) for std in (1.0, 0.3, 0.1)]
    beside = [median_error(std, with_uniform=True) for std in (1.0, 0.3, 0.1)]
    assert alone[0] < alone[1] < alone[2] and alone[2] > 2
    assert beside[1] < alone[1] / 2 and beside[2] < alone[2] / 2 and max(beside) < 1


# --- The weight.


@pytest.mark.parametrize(
    ("switches", "multiple", "rises"),
    [
        ({"threshold_of": "gap"}, 0.9, True),
        ({"threshold_of": "gap"}, 1.1, False),
        # cql_alpha 5: the weighted gap reaches five times as far.
        ({"threshold_of": "weighted_gap"}, 4.5, True),
        ({"threshold_of": "weighted_gap"}, 5.5, False),
    ],
)
def test_the_multiplier_rises_while_the_gap_is_above_its_threshold(batch, switches, multiple, rises):
    gap = gap_of(batch)
    assert gap > 0
    algorithm = make(lagrange_threshold=multiple * gap, **switches)
    algorithm.update(batch)
    moved = float(algorithm.log_multiplier.detach())
    assert moved > 0 if rises else moved < 0


def test_multipliers_first_uses_the_multiplier_already_stepped(batch):
    used, stepped = {}, {}
    for first in ("none", "temperature", "all"):
        algorithm = make(lagrange_threshold=1.0, multipliers_first=first, lagrange_learning_rate=0.1)
        used[first] = float(algorithm.update(batch)["lagrange_multiplier"])
        stepped[first] = float(algorithm.log_multiplier.detach().exp())
    assert used["none"] == used["temperature"] == 1
    assert used["all"] == stepped["all"] == pytest.approx(math.exp(0.1), rel=1e-4)


@pytest.mark.parametrize("first", ["temperature", "all"])
def test_multipliers_first_uses_the_temperature_already_stepped(batch, first):
    switches = {"temperature_learning_rate": 0.1, "multipliers_first": first}
    algorithm, late = make(**switches), make(temperature_learning_rate=0.1)
    assert float(algorithm.update(batch)["temperature"]) == pytest.approx(
        math.exp(float(algorithm.log_temperature.detach()))
    )
    assert float(late.update(batch)["temperature"]) == 1


# --- The target, the temperature and the policy.


def test_of_several_target_actions_the_best_counts_with_its_own_bonus(batch):
    algorithm = make(target_action_samples=3, entropy_in_target=True, initial_temperature=0.5)
    noise = Noise(torch.Generator().manual_seed(0))
    noise.generator.set_state(algorithm.noise.generator.get_state())
    with torch.no_grad():
        actions, log_densities = algorithm.policy(batch.next_observations).sample_many(3, noise)
    targets = algorithm.td_targets(algorithm.forward(batch))
    for i in range(16):
        state = batch.next_observations[i : i + 1]
        values = [algorithm.target_critic(state, actions[i : i + 1, n]).min().item() for n in range(3)]
        best = int(np.argmax(values))
        value = values[best] - 0.5 * float(log_densities[i, best])
        expected = float(batch.rewards[i]) + 0.99 * (1 - float(batch.terminals[i])) * value
        assert float(targets[i]) == pytest.approx(expected, abs=1e-5)


def test_the_mean_action_needs_no_noise(batch):
    algorithm = make(target_action="mean")
    forward = algorithm.forward(batch)
    assert torch.equal(algorithm.td_targets(forward), algorithm.td_targets(forward))
    values = algorithm.target_critic(batch.next_observations, forward.there.mean_action())
    expected = losses.td_target(batch.rewards, batch.terminals, values.amin(0), 0.99)
    torch.testing.assert_close(algorithm.td_targets(forward), expected.detach())


def test_the_two_temperature_losses_differ_by_the_factor_temperature(batch):
    slopes = []
    for of in ("temperature", "log_temperature"):
        algorithm = make(temperature_loss_of=of, initial_temperature=0.2)
        algorithm.update(batch)
        assert algorithm.log_temperature.grad is not None
        slopes.append(float(algorithm.log_temperature.grad))
    assert slopes[0] == pytest.approx(0.2 * slopes[1], rel=1e-5)


def test_temperature_learning_rate_0_keeps_the_temperature(batch):
    algorithm = make(temperature_learning_rate=0.0, initial_temperature=0.5)
    algorithm.update(batch)
    assert float(algorithm.log_temperature.detach()) == pytest.approx(math.log(0.5))


def test_log_std_scaling_has_two_learned_numbers(batch):
    plain, scaled = make(), make(log_std_scaling=True, actor_learning_rate=0.01)
    policy = scaled.policy
    assert (policy.log_std_multiplier.item(), policy.log_std_offset.item()) == (1, -1)
    for ours, theirs, shift in zip(plain.policy(batch.observations), policy(batch.observations), (0, 1), strict=True):
        torch.testing.assert_close(ours - shift, theirs)
    scaled.update(batch)
    assert policy.log_std_multiplier.item() != 1 and policy.log_std_offset.item() != -1


def test_the_log_std_stays_within_its_bounds(batch):
    log_std = make(log_std_min=-0.01, log_std_max=0.01).policy(batch.observations)[1].detach()
    assert float(log_std.min()) == pytest.approx(-0.01) and float(log_std.max()) == pytest.approx(0.01)


def test_a_warm_start_clones_behaviour_and_ends(batch):
    """During it the critics have no say in the policy's gradient, after it they have."""
    algorithm = make(bc_warm_start=30, actor_learning_rate=0.01)
    before = algorithm.policy(batch.observations).log_density(batch.actions).mean()
    for _ in range(29):
        algorithm.update(batch)
    assert algorithm.policy(batch.observations).log_density(batch.actions).mean() > before + 0.3
    for cloning in (True, False):
        other = deepcopy(algorithm)
        with torch.no_grad():
            for parameter in other.critic.parameters():
                parameter.mul_(-2)
        algorithm.update(batch)
        other.update(batch)
        assert torch.equal(gradients(algorithm.policy), gradients(other.policy)) == cloning


def test_in_a_joint_update_the_policy_sees_the_critics_before_their_step(batch):
    def policy_gradient(algorithm: CQL) -> Tensor:
        """By hand, at the algorithm's present critics; takes the noise that its update would."""
        algorithm.td_targets(algorithm.forward(batch))
        actions, log_densities = algorithm.policy(batch.observations).sample(algorithm.noise)
        values = algorithm.critic(batch.observations, actions).amin(0)
        loss = (algorithm.log_temperature.detach().exp() * log_densities - values).mean()
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(algorithm.policy.parameters()))])

    joint, separate = make(joint_update=True), make(critic_learning_rate=0.01)
    expected = policy_gradient(make())
    joint.update(batch)
    separate.update(batch)
    torch.testing.assert_close(gradients(joint.policy), expected)
    assert not torch.allclose(gradients(separate.policy), expected)
    stepped = make()
    stepped.critic.load_state_dict(separate.critic.state_dict())
    torch.testing.assert_close(gradients(separate.policy), policy_gradient(stepped))


# --- Networks.


@pytest.mark.parametrize("scheme", INITIALISATIONS)
@pytest.mark.parametrize("width", [64, 96])
def test_weights_start_as_the_scheme_says(scheme, width):
    torch.manual_seed(0)
    network = MLP(5, width, 2, 3)
    as_torch_made_them = deepcopy(network)
    initialise(network, scheme, output_bound=0.5)
    *hidden, output = (layer for layer in network if isinstance(layer, nn.Linear))
    first, second = hidden
    if scheme in ("torch", "small-output"):
        for layer, original in zip(hidden, list(as_torch_made_them)[::2], strict=False):
            assert torch.equal(layer.weight, original.weight) and torch.equal(layer.bias, original.bias)
    if scheme == "torch":
        assert torch.equal(output.weight, as_torch_made_them[-1].weight)
    if scheme == "small-output":
        bound = 0.01 * math.sqrt(6 / (width + 3))
        assert bound / 2 < output.weight.abs().max() <= bound and not output.bias.any()
    if scheme == "orthogonal":
        torch.testing.assert_close(first.weight.T @ first.weight, 2 * torch.eye(5), atol=1e-5, rtol=0)
        torch.testing.assert_close(second.weight.T @ second.weight, 2 * torch.eye(width), atol=1e-5, rtol=0)
        torch.testing.assert_close(output.weight @ output.weight.T, 1e-4 * torch.eye(3), atol=1e-9, rtol=0)
        assert not any(layer.bias.any() for layer in (first, second, output))
    if scheme == "rlkit":
        for layer in hidden:
            bound = 1 / math.sqrt(width)
            assert 0.8 * bound < layer.weight.abs().max() <= bound
            assert torch.equal(layer.bias, torch.full((width,), 0.1))
        assert 0.4 < output.weight.abs().max() <= 0.5 and output.bias.abs().max() <= 0.5


def test_policy_and_critics_start_each_by_its_own_scheme():
    algorithm = make(policy_init="rlkit", critic_init="orthogonal")
    bias = algorithm.policy.network[0].bias
    assert torch.equal(bias, torch.full_like(bias, 0.1))
    assert all(not critic.first.bias.any() for critic in algorithm.critic.critics)
    first, second = algorithm.critic.critics
    assert not torch.equal(weights(first), weights(second))


def test_targets_start_as_copies_unless_independent():
    copied, apart = make(), make(independent_targets=True)
    assert torch.equal(weights(copied.target_critic), weights(copied.critic))
    assert not torch.equal(weights(apart.target_critic), weights(apart.critic))


def test_layer_norm_stands_before_each_hidden_relu_of_the_critics(batch):
    torch.manual_seed(0)
    critic = CriticEnsemble(4, 2, 8, depth=3, layer_norm=True)
    for network in critic.critics:
        kinds = [type(layer) for layer in network.rest]
        assert kinds == [nn.LayerNorm, nn.ReLU, nn.Linear] * 3
    # It takes the first layer's scale away.
    before = critic(batch.observations, batch.actions)
    with torch.no_grad():
        for network in critic.critics:
            network.first.weight.mul_(10)
            network.first.bias.mul_(10)
    torch.testing.assert_close(critic(batch.observations, batch.actions), before, atol=1e-3, rtol=1e-3)
    assert not any(isinstance(layer, nn.LayerNorm) for layer in make(critic_layer_norm=True).policy.modules())


# --- The data.


def test_training_sees_scaled_rewards_and_clipped_actions_and_all_else_as_it_was(pendulum):
    plain = Replay(pendulum, Normaliser.for_dataset(pendulum, CQLConfig()), CPU).tensors
    config = CQLConfig(reward_scale=2.0, reward_shift=-1.0, action_clip=0.5)
    changed = Replay(pendulum, Normaliser.for_dataset(pendulum, config), CPU).tensors
    torch.testing.assert_close(changed.rewards, 2 * plain.rewards - 1)
    assert torch.equal(changed.actions, plain.actions.clamp(-0.5, 0.5)) and plain.actions.abs().max() > 0.5
    for name in ("observations", "next_observations", "terminals"):
        assert torch.equal(getattr(changed, name), getattr(plain, name))
    raw = Replay(pendulum, Normaliser.for_dataset(pendulum, CQLConfig(normalise_observations=False)), CPU).tensors
    np.testing.assert_array_equal(raw.observations.numpy(), pendulum.observations)


class Known:
    """Draws uniform actions, gets `bonus` for each but the first; its critic is scale * (s_0 + a_0) + offset."""

    def __init__(self, scale: float, offset: float, bonus: float) -> None:
        self.scale, self.offset, self.bonus = scale, offset, bonus

    def sample(self, observations: np.ndarray, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
        actions = 2 * torch.rand(len(observations), 1, generator=generator) - 1
        return actions.numpy(), np.full(len(observations), self.bonus)

    def value(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return self.scale * (observations[:, 0].astype(np.float64) + actions[:, 0]) + self.offset


def test_values_are_reported_in_the_tasks_own_rewards(pendulum):
    """Twice the reward less one a step, and a bonus from the second action on, in a task that never ends."""
    discount, horizon, bonus = 0.9, 44, 0.3  # discount^44 is the first under 1 %
    steps = sum(discount**step for step in range(horizon))
    columns = ("predicted_value", "predicted_value_mean", "true_discounted_return", "difference_mean")
    tables = []
    for scale, shift, known in ((1.0, 0.0, Known(1, 0, 0)), (2.0, -1.0, Known(2, -steps + bonus * (steps - 1), bonus))):
        normaliser = Normaliser.for_dataset(pendulum, CQLConfig(reward_scale=scale, reward_shift=shift))
        rows = compare_values(known, pendulum, normaliser, discount, seed=0, states=3)
        tables.append([[row[column] for column in columns] for row in rows])
    np.testing.assert_allclose(tables[0], tables[1], rtol=1e-9)


# --- Dialects, and every setting at once.


@pytest.mark.parametrize("name", DIALECTS)
def test_a_dialect_is_cql_with_other_defaults(tmp_path, name):
    entry = find_algorithm(f"cql@{name}")
    assert (entry.algorithm, entry.implementation) == ("cql", "cqlbench")
    assert load_class(entry.path) is CQL
    config = entry.config()
    assert config.changed() == {}
    assert isinstance(config, CQLConfig) and config.settings() != CQLConfig().settings()
    # Spelled out over CQL's own defaults it is the same algorithm.
    assert CQLConfig.resolve(config.settings()).settings() == config.settings()
    protocol = {"updates": 50_000}
    suite = suite_of(tmp_path, {f"cql@{name}": {"width": 64}, "cql": {}}, protocol=protocol)
    assert suite.methods[0].label == f"cql@{name}" and suite.methods[0].config.changed() == {"width": 64}
    assert len({run.config_hash for _, run in suite.runs()}) == 2


def test_scores_call_a_dialects_algorithm_cql(results, tmp_path):
    protocol = {"updates": 2, "evaluate_every": 2, "episodes": 1, "value_states": 1}
    suite = suite_of(tmp_path, {"cql@corl": {"width": 8}}, protocol=protocol)
    for _, run in suite.runs():
        execute(run, results / "datasets", run.folder(tmp_path), Unwatched())
    rows = collect_scores(suite, tmp_path)
    assert rows[["method", "algorithm", "implementation", "status"]].values.tolist() == [
        ["cql@corl", "cql", "cqlbench", "done"]
    ]
    assert rows["cql_alpha"].tolist() == [10.0] and np.isfinite(rows["predicted_value"]).all()


def test_an_unknown_dialect_is_refused_with_those_there_are():
    with pytest.raises(UserError, match="cql@paper, cql@authors, cql@young-geng, cql@corl, cql@d3rlpy"):
        find_algorithm("cql@rllib")


EVERYTHING = {
    "batch_size": 999_999, "normalise_observations": False, "num_transitions": 999_999_999,
    "buffer_transitions": 999_999_999, "action_clip": 0.123456789012345,
    "reward_scale": 123456.789012345, "reward_shift": -123456.789012345,
    "width": 65_535, "depth": 63, "num_critics": 999, "actor_learning_rate": 0.000123456789012345,
    "critic_learning_rate": 0.000123456789012345, "temperature_learning_rate": 0.000123456789012345,
    "initial_temperature": 1.23456789012345, "discount": 0.123456789012345, "polyak": 0.123456789012345,
    "target_action_samples": 9_999, "entropy_in_target": True, "target_entropy": -1.23456789012345,
    "temperature_loss_of": "log_temperature", "log_std_min": -12.3456789012345, "log_std_max": 12.3456789012345,
    "log_std_scaling": True, "critic_layer_norm": True, "policy_init": "small-output", "critic_init": "small-output",
    "independent_targets": True, "bc_warm_start": 999_999, "joint_update": True, "multipliers_first": "temperature",
    "cql_alpha": 1.23456789012345, "variant": "variance", "sampling_distribution": "uniform",
    "variance_radius": 1.23456789012345, "data_term": False, "num_action_samples": 9_999, "next_actions": "unused",
    "lagrange_threshold": -1.23456789012345, "threshold_of": "weighted_gap",
    "lagrange_learning_rate": 0.000123456789012345, "initial_lagrange_multiplier": 1.23456789012345,
    "networks": "readable",
}  # fmt: skip


def test_a_folders_name_fits_with_every_setting_changed(tmp_path):
    config = CQLConfig.resolve(EVERYTHING)
    # Those that contradict the others.
    assert set(config.settings()) - set(config.changed()) == {
        "target_action",
        "importance_weights",
        "penalty_temperature",
        "backward_actions",
    }
    run = Run("pendulum/medium-v0", "cql", config, Protocol(updates=1_000_000), 0)
    folder = run.folder(tmp_path)
    assert max(len(part.encode()) for part in folder.parts) <= 255
    folder.mkdir(parents=True)
    # What the name leaves out, the hash still tells apart.
    other = dataclasses.replace(run, config=dataclasses.replace(config, initial_lagrange_multiplier=2.0))
    assert other.folder(tmp_path) != folder


def test_every_setting_survives_its_own_command_line():
    run = Run("pendulum/medium-v0", "cql", CQLConfig.resolve(EVERYTHING), Protocol(updates=1_000_000), 0)
    assert run_of(run.arguments()) == run


def run_of(words: list[str]) -> Run:
    """The run that `cqlbench train` with these words would train."""
    given = read_settings(words)
    protocol = {field.name: int(given.pop(field.name)) for field in dataclasses.fields(Protocol) if field.name in given}
    return make_run(given.pop("dataset"), given.pop("method"), given, Protocol(**protocol), int(given.pop("seed", 0)))


# --- The page.

PAGE = (Path(__file__).parents[2] / "docs" / "variants.md").read_text()
EXAMPLES = re.findall(r"\| `(--[^`]+)` \|$", PAGE, re.MULTILINE)


def test_the_page_has_every_setting_with_an_example():
    words = " ".join(EXAMPLES).replace("--no-", "--").replace("-", "_")
    for field in dataclasses.fields(CQLConfig):
        assert f"| `{field.name}` |" in PAGE, field.name
        assert re.search(rf"__{field.name}\b", words), field.name


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_of_the_page_changes_a_run(example):
    run = run_of(["--dataset", "pendulum/medium-v0", "--method", "cql", *example.split()])
    assert run.config.changed()
