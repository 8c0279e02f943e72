"""The count of an update's operations is what the update does, and the rate is one of a processor."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from cqlbench.algorithms.registry import ALGORITHMS, load_class
from cqlbench.bench.machine import Gemm, update_flops
from cqlbench.tasks import Batch, TaskSpec

CPU = torch.device("cpu")


def counted(algorithm, spec, config):
    """Operations of one update by autograd, as torch counts them."""
    method = load_class(ALGORITHMS[algorithm].path)(spec, replace(config, networks="readable"), 0, CPU)
    size = config.batch_size
    observations, next_observations = torch.randn(2, size, spec.observation_size)
    batch = Batch(
        observations, torch.rand(size, spec.action_size), torch.randn(size), next_observations, torch.ones(size)
    )
    with FlopCounterMode(display=False) as counter:
        method.update(batch)
    return counter.get_total_flops()


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [("bc", {}), ("sac", {}), ("cql", {}), ("cql", {"backward_actions": 1}), ("cql", {"backward_actions": 4})],
)
def test_the_count_is_what_torch_counts(algorithm, settings, depth):
    spec = TaskSpec(5, 2)
    config = ALGORITHMS[algorithm].config(batch_size=7, width=12, depth=depth, **settings)
    # Of each critic, the state's half of the first layer at one action.
    halves = 2 * (2 * 7 * 5 * 12)
    repeated = 0
    if algorithm != "bc":
        # From the policy's actions autograd goes back to their states too, for nothing.
        repeated += halves
    if algorithm == "cql":
        # The data's actions are asked for on their own, there and back.
        repeated += 2 * halves
    if settings:
        # The drawn actions go forward a second time, to be differentiated.
        row = 2 * 12 + (depth - 1) * 12**2 + 12
        repeated += 2 * 2 * 7 * (5 * 12 + settings["backward_actions"] * row)
    assert counted(algorithm, spec, config) == update_flops(algorithm, spec, config) + repeated


def test_an_update_of_hopper_size():
    """6.7 GFLOP at 2x256, a sixteenth of it at 2x64 (and a little more: the first and last layers)."""
    counts = {width: update_flops("cql", TaskSpec(11, 3), ALGORITHMS["cql"].config(width=width)) for width in (64, 256)}
    assert counts[256] == pytest.approx(6.67e9, rel=0.01)
    assert counts[64] == pytest.approx(0.43e9, rel=0.05)


def test_the_rate_is_operations_over_seconds():
    """By each kernel, and no CPU core's is outside 0.1 to 1,000 GFLOP/s."""
    gemm = Gemm(512, 64, CPU)
    assert set(gemm.kernels) >= {"mm"}
    for kernel in gemm.kernels.values():
        assert kernel().shape == (512, 64)
    assert all(1e8 < rate < 1e12 for rate in gemm.measure().values())
    assert gemm.multiply() == gemm.repeats * 2 * 512 * 64**2
