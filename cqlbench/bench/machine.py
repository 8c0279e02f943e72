"""What an update has to compute, and how fast this machine computes it: matrix products, nothing else."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from cqlbench.algorithms.configs import ActorCriticConfig, BCConfig
from cqlbench.tasks import TaskSpec

# Floating-point operations per measurement of the rate: about 30 ms of one core, a few of a GPU.
RATE_OPERATIONS = {"cpu": 5e9, "cuda": 1e12}
# Products per measurement at most: the smallest ones are all calls and no arithmetic.
MOST_REPEATS = 2_500


def update_flops(algorithm: str, spec: TaskSpec, config: BCConfig | ActorCriticConfig) -> int:
    """Floating-point operations of one update's matrix products, each done once; a multiply-add counts as two.

    With B states, W units, D hidden layers, M sampled actions per state and weights in layers `first` (from the
    inputs) and `rest` (all others), a row costs 2 (first + rest) forward and 2 (first + 2 rest) backward: the gradient
    of each layer's weights, and of each layer's inputs but the first's. So that every implementation is held against
    the same work, what can be shared is counted once: the state's half of a critic's first layer per state and not
    per action, one critic pass over the M + 1 actions of a state, one policy pass at s and one at s'.

    - BC: the policy forward and backward.
    - SAC: the policy at s' and both target critics there; both critics forward and backward at the data's actions;
      the policy forward at s, both critics forward at its actions and back to those actions, the policy backward.
    - CQL: the same with M more actions (3 x num_action_samples) in the critics' pass; with `backward_actions` k, all
      M + 1 forward, and only k drawn ones and the data's backward.
    """
    assert algorithm in ("bc", "sac", "cql"), algorithm
    batch, width = config.batch_size, config.width
    hidden = (config.depth - 1) * width**2
    state_first, action_first = spec.observation_size * width, spec.action_size * width

    policy_rest = hidden + width * spec.action_size * (1 if algorithm == "bc" else 2)
    policy_forward = _forward(batch, state_first, policy_rest)
    policy_backward = _backward(batch, state_first, policy_rest)
    if algorithm == "bc":
        return policy_forward + policy_backward

    critic_rest = hidden + width
    states = 2 * batch * state_first
    one_action = states + _forward(batch, action_first, critic_rest)
    to_actions = 2 * batch * (action_first + critic_rest)
    sampled = 3 * getattr(config, "num_action_samples", 0) if algorithm == "cql" else 0
    drawn = getattr(config, "backward_actions", None)
    backward = sampled if drawn is None else drawn
    critic = states + _forward(batch * (sampled + 1), action_first, critic_rest)
    critic += states + _backward(batch * (backward + 1), action_first, critic_rest)
    return 2 * (critic + one_action + one_action + to_actions) + 2 * policy_forward + policy_backward


def _forward(rows: int, first: int, rest: int) -> int:
    return 2 * rows * (first + rest)


def _backward(rows: int, first: int, rest: int) -> int:
    return 2 * rows * (first + 2 * rest)


class Gemm:
    """The rate of a (rows, width) x (width, width) product in float32, by each kernel torch has for it here.

    `mm` is torch.mm; `onednn` is oneDNN's linear layer, on processors that have it.
    """

    def __init__(self, rows: int, width: int, device: torch.device) -> None:
        left, right = (torch.randn(size, width, device=device) for size in (rows, width))
        product = torch.empty(rows, width, device=device)
        self.device = device
        self.flops = 2 * rows * width**2
        self.repeats = min(math.ceil(RATE_OPERATIONS[device.type] / self.flops), MOST_REPEATS)
        self.kernels: dict[str, Callable[[], Tensor]] = {"mm": lambda: torch.mm(left, right, out=product)}
        if device.type == "cpu" and torch.backends.mkldnn.is_available():
            linear = torch.ops.mkldnn._linear_pointwise
            self.kernels["onednn"] = lambda: linear(left, right, None, "none", [], "")

    def measure(self) -> dict[str, float]:
        """FLOP/s of each kernel."""
        return {name: self._rate(kernel) for name, kernel in self.kernels.items()}

    def multiply(self) -> float:
        """Multiplies for some milliseconds by the last kernel, oneDNN's where there is one; returns the operations."""
        *_, kernel = self.kernels.values()
        return self._repeat(kernel)

    def _rate(self, kernel: Callable[[], Tensor]) -> float:
        kernel()
        synchronise(self.device)
        began = time.perf_counter()
        operations = self._repeat(kernel)
        synchronise(self.device)
        return operations / (time.perf_counter() - began)

    def _repeat(self, kernel: Callable[[], Tensor]) -> float:
        for _ in range(self.repeats):
            kernel()
        return self.repeats * self.flops


def synchronise(device: torch.device) -> None:
    """Waits until the device has done what it was given; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
