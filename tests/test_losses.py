"""Every loss against its equation, written out with plain NumPy loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cqlbench import losses

sizes = st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(0, 2**31))


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=30)
@given(sizes)
def test_conservative_gap_is_logsumexp_of_weighted_samples_minus_data(size):
    batch, count, seed = size
    sampled, densities, data = draw(seed, 2, batch, count), draw(seed + 1, batch, count), draw(seed + 2, 2, batch)
    expected = [
        np.mean(
            [
                math.log(sum(math.exp(sampled[c, b, n] - densities[b, n]) for n in range(count))) - float(data[c, b])
                for b in range(batch)
            ]
        )
        for c in range(2)
    ]
    np.testing.assert_allclose(
        losses.conservative_gap(losses.soft_maximum(sampled, densities), data), expected, rtol=1e-12
    )


def test_conservative_gap_tends_to_the_integral_of_exp_q_as_samples_grow():
    """One action in [-1, 1], Q(a) = 3a - a^2: log of the integral of exp Q, minus Q(0.2)."""
    grid = np.linspace(-1, 1, 20_001)
    truth = math.log(np.trapezoid(np.exp(3 * grid - grid**2), grid)) - (0.6 - 0.04)
    count = 200_000
    actions = 2 * torch.rand(1, 1, count, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    densities = torch.full((1, count), -math.log(2), dtype=torch.float64)
    data = torch.full((1, 1), 0.6 - 0.04, dtype=torch.float64)
    pushed_down = losses.soft_maximum(3 * actions - actions**2, densities)
    estimate = losses.conservative_gap(pushed_down, data) - math.log(count)
    assert abs(float(estimate) - truth) < 0.01


def test_conservative_gap_survives_values_whose_exponential_overflows():
    pushed_down = losses.soft_maximum(torch.full((2, 1, 3), 1e5), torch.zeros(1, 3))
    gap = losses.conservative_gap(pushed_down, torch.zeros(2, 1))
    assert torch.isfinite(gap).all()


@settings(max_examples=30)
@given(sizes)
def test_td_loss_is_the_unhalved_square_per_critic(size):
    batch, _, seed = size
    values, targets = draw(seed, 2, batch), draw(seed + 1, batch)
    expected = [np.mean([(float(values[c, b]) - float(targets[b])) ** 2 for b in range(batch)]) for c in range(2)]
    np.testing.assert_allclose(losses.td_loss(values, targets), expected, rtol=1e-12)


def test_td_target_stops_at_terminals_only():
    target = losses.td_target(torch.tensor([1.0, 1.0]), torch.tensor([0.0, 1.0]), torch.tensor([10.0, 10.0]), 0.9)
    assert target.tolist() == [10.0, 1.0]


def test_shapes_that_would_broadcast_silently_are_refused():
    with pytest.raises(AssertionError):
        losses.td_loss(torch.zeros(2, 4), torch.zeros(4, 1))
    with pytest.raises(AssertionError):
        losses.td_target(torch.zeros(4), torch.zeros(4, 1), torch.zeros(4), 0.99)
    with pytest.raises(AssertionError):
        losses.soft_maximum(torch.zeros(2, 4, 3), torch.zeros(3, 4))
    with pytest.raises(AssertionError):
        losses.conservative_gap(torch.zeros(2, 4), torch.zeros(4, 1))


def test_temperature_rises_while_entropy_is_below_its_target():
    log_temperature = torch.zeros((), requires_grad=True)
    losses.temperature_loss(log_temperature, torch.tensor([2.0, 2.0]), target_entropy=-1.0).backward()
    assert log_temperature.grad is not None and log_temperature.grad < 0  # entropy -2 is under -1: descend, so rise


def test_actor_loss_trades_value_for_entropy():
    loss = losses.actor_loss(torch.tensor([1.0, 3.0]), torch.tensor([0.5, -0.5]), torch.tensor(2.0))
    assert float(loss) == pytest.approx(((2 * 0.5 - 1) + (2 * -0.5 - 3)) / 2)
