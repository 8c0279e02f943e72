"""`backward_actions`: the value of the exact penalty, and its gradient on average."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from cqlbench.algorithms.configs import CQLConfig
from cqlbench.algorithms.cql import CQL
from cqlbench.errors import UserError
from cqlbench.networks.noise import Noise
from cqlbench.tasks import Batch, TaskSpec

VARIANTS: dict[str, dict[str, Any]] = {
    "H": {},
    "H, temperature": {"penalty_temperature": 0.2},
    "H, no importance weights": {"importance_weights": False},
    "rho": {"variant": "rho"},
}


def make(**changes: Any) -> CQL:
    config = CQLConfig(**({"width": 8, "num_action_samples": 3} | changes))
    algorithm = CQL(TaskSpec(3, 2), config, 0, torch.device("cpu"))
    for network in (algorithm.policy, algorithm.critic, algorithm.target_critic):
        network.double()
    with torch.no_grad():  # values that differ enough for the softmax to choose
        for weight in algorithm.critic.parameters():
            weight.mul_(3)
    return algorithm


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    sizes = ((6, 3), (6, 2), (6,), (6, 3))
    drawn = [torch.randn(size, generator=generator, dtype=torch.float64) for size in sizes]
    return Batch(drawn[0], torch.tanh(drawn[1]), drawn[2], drawn[3], torch.zeros(6, dtype=torch.float64))


def pushed_down(algorithm: CQL, batch: Batch, actions_from: int = 0) -> tuple[Tensor, Tensor]:
    """What is pushed down (2, B), of actions that are always the same, and its gradient by the critics' weights."""
    algorithm.penalty_noise.generator.manual_seed(actions_from)
    values = algorithm.pushed_down(algorithm.forward(batch))
    slopes = torch.autograd.grad(values.sum(), algorithm.critic.weights)
    return values.detach(), torch.cat([slope.flatten() for slope in slopes])


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("count", [1, 4])
def test_the_mean_over_many_draws_is_the_exact_gradient(batch, settings, count):
    exact_values, exact = pushed_down(make(**settings), batch)
    drawn, repeats = make(**settings, backward_actions=count), 1000
    slopes = []
    for _ in range(repeats):
        values, slope = pushed_down(drawn, batch)
        torch.testing.assert_close(values, exact_values)  # the value is exact, whatever is drawn
        slopes.append(slope)
    error = torch.stack(slopes).mean(0) - exact
    spread = torch.stack(slopes).std(0)
    # No further off than a mean of so many is; a unit that only unlikely actions use may not have been met.
    varies = spread > 1e-12
    assert varies.sum() > 50
    z = error[varies] / (spread[varies] / math.sqrt(repeats))
    assert float(z.abs().max()) < 5
    assert float(error.norm() / exact.norm()) < 0.06


def test_more_draws_are_nearer_to_the_exact_gradient(batch):
    _, exact = pushed_down(make(), batch)

    def error(count: int) -> float:
        drawn = make(backward_actions=count)
        return sum(float((pushed_down(drawn, batch)[1] - exact).norm()) for _ in range(100))

    errors = [error(count) for count in (1, 4, 16)]
    # The noise of a mean falls with the root of their number.
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.2) and errors[1] / errors[2] == pytest.approx(2, rel=0.2)


def test_each_critic_draws_its_own():
    one, other = make(backward_actions=1).draws.choices(torch.full((2, 1, 400), 1 / 400), 50)
    assert not torch.equal(one, other)


def test_draws_follow_their_weights():
    weights = torch.tensor([[0.0, 0.25, 0.75, 0.0]])
    drawn = Noise(torch.Generator().manual_seed(0)).choices(weights, 20_000)
    frequencies = torch.bincount(drawn[0], minlength=4) / 20_000
    torch.testing.assert_close(frequencies, weights[0], atol=0.015, rtol=0)
    assert frequencies[0] == frequencies[3] == 0


def test_all_but_the_draws_is_drawn_as_for_the_exact_gradient(batch):
    exact, drawn = make(), make(backward_actions=2)
    for algorithm in (exact, drawn):
        algorithm.update(batch)
    for stream in ("noise", "penalty_noise"):
        states = [getattr(algorithm, stream).generator.get_state() for algorithm in (exact, drawn)]
        assert torch.equal(*states)


@pytest.mark.parametrize(
    "settings",
    [
        {"variant": "expectation", "sampling_distribution": "uniform"},
        {"variant": "variance", "sampling_distribution": "policy", "variance_radius": 1.0},
        {"next_actions": "scored_at_next_s"},
        {"backward_actions": 0},
    ],
)
def test_where_there_is_no_softmax_it_is_refused(settings):
    with pytest.raises(UserError, match="^backward_actions: [02] is not allowed"):
        CQLConfig(**({"backward_actions": 2} | settings))
