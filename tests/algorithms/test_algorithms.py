"""One harness for all methods, and what makes each what it is."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cqlbench.algorithms.configs import CQLConfig, SACConfig
from cqlbench.algorithms.cql import CQL
from cqlbench.algorithms.d3rlpy import _seed_from, d3rlpy
from cqlbench.algorithms.registry import ALGORITHMS, find_algorithm, load_class
from cqlbench.algorithms.sac import SAC
from cqlbench.errors import UserError
from cqlbench.tasks import Batch, TaskSpec

SPEC = TaskSpec(observation_size=4, action_size=2)
CPU = torch.device("cpu")


def make(name: str, seed: int = 0, **settings):
    entry = find_algorithm(name)
    return load_class(entry.path)(SPEC, entry.config.resolve({"width": 16, **settings}), seed, CPU)


def batches(count: int, size: int = 32) -> list[Batch]:
    generator = torch.Generator().manual_seed(7)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    return [
        Batch(
            normal(size, 4),
            torch.tanh(normal(size, 2)),
            normal(size),
            normal(size, 4),
            (normal(size) > 1.5).float(),
        )
        for _ in range(count)
    ]


def parameters(algorithm) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in algorithm.state_dict().items()}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_actions_are_in_bounds_and_metrics_finite(name):
    algorithm = make(name)
    for batch in batches(3):
        metrics = algorithm.update(batch)
    assert metrics and all(np.isfinite(float(value)) for value in metrics.values())
    actions = algorithm.act(batch.observations.numpy())
    assert actions.shape == (32, 2) and np.abs(actions).max() <= 1


@pytest.mark.parametrize("name", ALGORITHMS)
def test_same_seed_same_parameters_whatever_was_asked_in_between(name):
    assert parameters(make(name)) != parameters(make(name, seed=1))
    first = make(name)
    for batch in batches(3):
        first.update(batch)
    # d3rlpy's draw from torch's global generator, which building one seeds: so one after the other.
    second = make(name)
    for batch in batches(3):
        second.update(batch)
        second.act(batch.observations.numpy())
        if hasattr(second, "sample"):
            second.sample(batch.observations.numpy(), torch.Generator().manual_seed(3))
    assert parameters(first) == parameters(second)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_state_dict_restores_what_acts_and_values(name):
    trained, fresh = make(name), make(name, seed=5)
    for batch in batches(2):
        trained.update(batch)
    observations, actions = batch.observations.numpy(), batch.actions.numpy()
    assert not np.array_equal(trained.act(observations), fresh.act(observations))
    fresh.load_state_dict({key: tensor.clone() for key, tensor in trained.state_dict().items()})
    np.testing.assert_array_equal(trained.act(observations), fresh.act(observations))
    if hasattr(trained, "value"):
        assert trained.value(observations, actions).shape == (2, 32)
        np.testing.assert_array_equal(trained.value(observations, actions), fresh.value(observations, actions))


def test_targets_and_policy_take_the_smallest_of_all_critics():
    """Whichever critic is lowered, it alone is what the targets and the policy's loss see."""
    batch = batches(1)[0]._replace(terminals=torch.zeros(32))
    for lowered in range(4):
        sac = make("sac", num_critics=4, discount=0.5, critic_learning_rate=1e-9)
        targets, policy_values = [], []
        for fall in (0.0, 1000.0):
            with torch.no_grad():
                for critics in (sac.critic, sac.target_critic):
                    critics.critics[lowered].rest[-1].bias -= fall
            targets.append(sac.td_targets(sac.forward(batch)))
            policy_values.append(float(sac.update(batch)["q_policy"]))
        assert ((targets[0] - targets[1]) / 500 - 1).abs().max() < 0.01
        assert policy_values[0] - policy_values[1] == pytest.approx(1000, rel=0.01)
        assert sac.value(batch.observations.numpy(), batch.actions.numpy()).shape == (4, 32)


@pytest.mark.parametrize("name", ["sac", "cql", "d3rlpy-sac", "d3rlpy-cql", "d3rlpy-bear"])
@pytest.mark.parametrize("count", [1, 5])
def test_every_actor_critic_takes_any_number_of_critics(name, count):
    algorithm = make(name, num_critics=count)
    before = algorithm.value(*(array.numpy() for array in batches(1)[0][:2]))
    assert len(np.unique(before[:, 0])) == len(before) == count
    for batch in batches(3):
        metrics = algorithm.update(batch)
    assert all(np.isfinite(float(value)) for value in metrics.values())
    after = algorithm.value(*(array.numpy() for array in batches(1)[0][:2]))
    assert (np.abs(after - before).max(1) > 0).all()


@pytest.mark.parametrize(
    "switches", [{}, {"entropy_in_target": False}, {"target_action": "mean", "entropy_in_target": False}]
)
def test_cql_without_its_term_is_sac_bit_for_bit(switches):
    """The same switches, cql_alpha 0: every parameter equal to the last bit after each update."""
    shared = {"actor_learning_rate": 2e-4, "entropy_in_target": True, "width": 16, **switches}
    cql = CQL(SPEC, CQLConfig(cql_alpha=0.0, **shared), 0, CPU)
    sac = SAC(SPEC, SACConfig(**shared), 0, CPU)
    for batch in batches(20):
        cql.update(batch)
        sac.update(batch)
        assert parameters(cql) == parameters(sac)


def test_a_larger_cql_alpha_gives_a_smaller_gap():
    """On data whose actions depend on the state: where they are spread evenly, no Q can make the gap small."""
    gaps = []
    for alpha in (0.0, 10.0):
        cql = make("cql", cql_alpha=alpha, critic_learning_rate=1e-2)
        for batch in batches(60):
            metrics = cql.update(batch._replace(actions=batch.observations[:, :2].sign() * 0.9))
        gaps.append(float(metrics["conservative_gap"]))
    assert gaps[1] < gaps[0] - 0.5


def test_sampled_actions_come_from_three_sources_with_their_densities():
    cql = make("cql", num_action_samples=4)
    actions, log_densities = cql.sampled_actions(cql.forward(batches(1)[0]))
    assert actions.shape == (32, 12, 2) and log_densities.shape == (32, 12)
    assert torch.allclose(log_densities[:, :4], torch.tensor(2 * np.log(0.5)).float())
    assert not torch.allclose(log_densities[:, 4:8], log_densities[:, 8:])  # s and s' are different states
    assert actions[:, :4].std() > 0.4  # spread over [-1, 1], not constant


def test_terminals_cut_the_target_and_time_limits_do_not():
    sac = make("sac")
    batch = batches(1)[0]
    ended = batch._replace(terminals=torch.ones(32))
    assert torch.equal(sac.td_targets(sac.forward(ended)), batch.rewards)
    assert not torch.allclose(sac.td_targets(sac.forward(batch._replace(terminals=torch.zeros(32)))), batch.rewards)


def test_entropy_bonus_is_reported_only_where_the_target_has_it():
    observations = batches(1)[0].observations.numpy()
    for name, has_bonus in {
        "sac": True,
        "cql": False,
        "d3rlpy-sac": True,
        "d3rlpy-cql": False,
        "d3rlpy-bear": True,
    }.items():
        _, bonus = make(name).sample(observations, torch.Generator().manual_seed(0))
        assert bool(np.any(bonus != 0)) == has_bonus, name


def test_d3rlpy_cql_pushes_with_the_weight_it_was_given():
    """Its Lagrange weight must stay at 1: the logged conservative loss is cql_alpha times the gap, constants apart."""
    algorithm = make("d3rlpy-cql", cql_alpha=3.0)
    for batch in batches(5):
        assert float(algorithm.update(batch)["alpha"]) == 1.0
    assert algorithm.impl._conservative_weight == 3.0


def policy_gradients(bear, batch: Batch) -> list[torch.Tensor]:
    """What one update of d3rlpy's BEAR after the warm start would move its policy by, noise and weights given."""
    tensors = [column if column.dim() == 2 else column[:, None] for column in batch]
    observations, actions, rewards, next_observations, terminals = tensors
    ones = torch.ones_like(rewards)
    torch.manual_seed(0)
    bear.impl.compute_actor_grad(
        d3rlpy.torch_utility.TorchMiniBatch(
            observations, actions, rewards, next_observations, actions, rewards, terminals, ones, device="cpu"
        )
    )
    return [parameter.grad.clone() for parameter in bear.impl.policy.parameters()]


@pytest.mark.parametrize("repaired", [False, True])
def test_the_constraint_of_d3rlpys_bear_cancels_unless_it_is_repaired(repaired):
    """Where this fails for False, d3rlpy has mended it: `repaired` can go."""
    batch = batches(1)[0]
    gradients = []
    for log_multiplier in (0.0, 5.0):
        bear = make("d3rlpy-bear", repaired=repaired)
        bear._parameter("log_alpha").data.fill_(log_multiplier)
        gradients.append(policy_gradients(bear, batch))
    ratios = [float((free - held).norm() / free.norm()) for free, held in zip(*gradients, strict=True)]
    assert min(ratios) > 0.1 if repaired else max(ratios) < 1e-4


@pytest.mark.parametrize(("repaired", "cloned"), [(False, math.tanh(math.tanh(0.9))), (True, 0.9)])
def test_d3rlpys_bear_clones_shrunken_actions_unless_it_is_repaired(repaired, cloned):
    bear = make("d3rlpy-bear", repaired=repaired, actor_learning_rate=6e-3)
    bear.impl.modules.vae_optim.optim.param_groups[0]["lr"] = 6e-3
    batch = batches(1, 64)[0]._replace(actions=torch.full((64, 2), 0.9))
    for _ in range(250):
        bear.update(batch)
    actions, _ = bear.sample(batch.observations.numpy(), torch.Generator().manual_seed(0))
    assert np.median(actions) == pytest.approx(cloned, abs=0.05)


def test_a_repaired_bears_multiplier_rises_while_the_policy_is_far_from_the_data_at_its_own_rate():
    for threshold, direction in ((0.0, 1), (10.0, -1)):
        bear = make("d3rlpy-bear", repaired=True, bc_warm_start=0, lagrange_threshold=threshold)
        bear.update(batches(1)[0])
        # Adam's first step is as long as the learning rate.
        assert float(bear._parameter("log_alpha").detach()) == pytest.approx(direction * 1e-3, rel=1e-3)


def test_bears_warm_start_is_as_long_as_said_and_tells_the_same_metrics():
    bear = make("d3rlpy-bear", bc_warm_start=2)
    metrics = [bear.update(batch) for batch in batches(3)]
    assert [float(one["temp"]) == 1 for one in metrics] == [True, True, False]
    assert metrics[0].keys() == metrics[2].keys()
    assert float(metrics[0]["mmd_loss"]) == float(metrics[0]["actor_loss"])
    assert float(metrics[2]["mmd_loss"]) != float(metrics[2]["actor_loss"])


def test_bear_is_sampled_as_its_targets_sample():
    """The best of ten actions by the mixture of its target critics, which is also what the entropy bonus is of."""
    bear = make("d3rlpy-bear", bc_warm_start=0, actor_learning_rate=1e-3)
    for batch in batches(5):
        bear.update(batch)
    observations = batch.next_observations
    drawn, bonus = bear.sample(observations.numpy(), torch.Generator().manual_seed(0))
    forwarder = bear.impl._targ_q_func_forwarder
    values = forwarder.compute_target(observations, torch.as_tensor(drawn), "none")[..., 0]
    mixed = 0.75 * values.amin(0) + 0.25 * values.amax(0)
    # d3rlpy's own target from the same noise, before rewards and discount.
    torch.manual_seed(_seed_from(torch.Generator().manual_seed(0)))
    expected = bear.impl.compute_target(SimpleNamespace(observations=observations, next_observations=observations))
    torch.testing.assert_close(mixed[:, None] + torch.as_tensor(bonus)[:, None], expected)


def test_settings_are_checked_and_the_message_says_what_is_allowed():
    for settings, key in (({"cql_alpha": -1}, "cql_alpha"), ({"min_q_weight": 1}, "min_q_weight")):
        with pytest.raises(UserError, match=key):
            CQLConfig.resolve(settings)
    with pytest.raises(UserError, match="sample, mean"):
        SACConfig.resolve({"target_action": "max"})
    with pytest.raises(UserError, match="must be int"):
        CQLConfig.resolve({"width": 64.5})
    assert CQLConfig.resolve({"cql_alpha": 5}) == CQLConfig.resolve({"cql_alpha": "5.0"})


def test_ones_own_method_is_found_in_a_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("class Mine:\n    pass\n")
    assert load_class(f"{file}:Mine").__name__ == "Mine"
    with pytest.raises(UserError, match="no class"):
        load_class(f"{file}:Yours")
    with pytest.raises(UserError, match="does not exist"):
        load_class(f"{tmp_path}/absent.py:Mine")
    with pytest.raises(UserError, match="not known"):
        find_algorithm("cqll")


def test_another_text_of_ones_own_method_is_another_method(tmp_path):
    file = tmp_path / "mine.py"
    sources = set()
    for text in ("class Mine: pass", "class Mine: act = 1"):
        file.write_text(text)
        sources.add(find_algorithm(f"{file}:Mine").source)
    assert len(sources) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def broken(:", "SyntaxError"),
        ("raise OSError('no licence')", "no licence"),
        ("class Mine:\n    Config = dict", "must derive"),
        (
            "import dataclasses\nfrom cqlbench.algorithms.configs import MethodConfig\n"
            "@dataclasses.dataclass(frozen=True)\nclass Own(MethodConfig):\n    updates: int = 7\n"
            "class Mine:\n    Config = Own",
            "'updates'",
        ),
    ],
)
def test_what_is_wrong_with_ones_own_file_is_said(tmp_path, text, said):
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(UserError, match=said):
        find_algorithm(f"{file}:Mine")


def test_configs_are_plain_values():
    for entry in ALGORITHMS.values():
        config = entry.config()
        assert config.changed() == {}
        assert set(config.settings()) == {field.name for field in dataclasses.fields(config)}
