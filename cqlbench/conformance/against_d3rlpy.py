"""Our `d3rlpy` dialect against d3rlpy itself: same weights, same batches, same noise, so every number must agree.

d3rlpy draws its noise from torch's global generator in an order known from its source (d3rlpy 2.8.1, algos/qlearning/
torch/cql_impl.py and sac_impl.py). Nothing of it is patched: the draws are made once for us, the generator is set
back, and d3rlpy makes the same ones.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from cqlbench.algorithms.configs import CQLConfig, D3rlpyCQLConfig
from cqlbench.algorithms.cql import CQL
from cqlbench.algorithms.d3rlpy import D3rlpyCQL
from cqlbench.algorithms.dialects import D3rlpy
from cqlbench.networks.noise import Noise, Shape
from cqlbench.tasks import Batch, TaskSpec

SPEC = TaskSpec(observation_size=11, action_size=3)
CPU = torch.device("cpu")
# Of each loss after the first update, and of every parameter after UPDATES: float32 on both sides.
LOSS_LIMIT, PARAMETER_LIMIT, UPDATES = 1e-5, 1e-4, 100
# Settings over the dialect's own, and the batch's size.
CASES: dict[str, tuple[dict[str, Any], int]] = {
    "as d3rlpy has it": ({}, 32),
    "fixed alpha": ({"lagrange_threshold": None}, 32),
    "3 samples, 3 layers": ({"num_action_samples": 3, "depth": 3}, 32),
    "batch of 1": ({}, 1),
}


class Given(Noise):
    """Noise that was drawn elsewhere, handed out in order."""

    def __init__(self) -> None:
        self.draws: deque[Tensor] = deque()

    def normal(self, shape: Shape, like: Tensor) -> Tensor:
        assert self.draws[0].shape == shape, (self.draws[0].shape, shape)
        return self.draws.popleft()

    # Whichever is asked for, it was drawn as such.
    uniform = normal


@dataclass(frozen=True)
class Agreement:
    """One compared number: the largest difference over both sides' largest size."""

    term: str
    relative_difference: float


@cache
def compare(case: str) -> tuple[list[Agreement], float]:
    """One of CASES: the losses of the first update, and the worst parameter after UPDATES of them."""
    settings, size = CASES[case]
    twins = Twins(1, **settings)
    first, *_ = [twins.update(batch) for batch in random_batches(UPDATES, size)]
    return first, twins.parameter_difference()


class Twins:
    """Both sides, built from the same settings with d3rlpy's weights."""

    def __init__(self, seed: int, **settings: Any) -> None:
        shared = {"width": 32} | settings
        ours, theirs = D3rlpy.resolve(shared), D3rlpyCQLConfig.resolve(self._their_settings(shared))
        assert isinstance(ours, CQLConfig) and isinstance(theirs, D3rlpyCQLConfig)
        self.ours, self.theirs = CQL(SPEC, ours, seed, CPU), D3rlpyCQL(SPEC, theirs, seed, CPU)
        self.noise, self.penalty_noise = Given(), Given()
        self.ours.noise, self.ours.penalty_noise = self.noise, self.penalty_noise
        for target, source in zip(self.our_parameters(), self.their_parameters(), strict=True):
            target.data.copy_(source)
        modules = self.theirs.impl.modules
        self.slopes = {
            "temperature loss": (slopes_of(self.ours.log_temperature), slopes_of(*modules.log_temp.parameters())),
            "Lagrange loss": (slopes_of(self.ours.log_multiplier), slopes_of(*modules.log_alpha.parameters())),
        }

    @staticmethod
    def _their_settings(shared: dict[str, Any]) -> dict[str, Any]:
        defaults = D3rlpy().settings()
        return {key: shared.get(key, defaults[key]) for key in D3rlpyCQLConfig().settings()}

    def our_parameters(self) -> list[Tensor]:
        """Critics, target critics, policy (its last layer in two halves) and multipliers, in d3rlpy's order."""
        *trunk, head = linear_layers(self.ours.policy)
        heads = [*head.weight.chunk(2), *head.bias.chunk(2)]
        networks = (self.ours.critic, self.ours.target_critic, *trunk)
        tensors = [tensor for network in networks for tensor in parameters_of(network)]
        return [*tensors, *heads, self.ours.log_temperature, self.ours.log_multiplier]

    def their_parameters(self) -> list[Tensor]:
        """The same of d3rlpy."""
        modules = self.theirs.impl.modules
        *trunk, mean, log_std = linear_layers(modules.policy)
        heads = [mean.weight, log_std.weight, mean.bias, log_std.bias]
        networks = (modules.q_funcs, modules.targ_q_funcs, *trunk)
        tensors = [tensor for network in networks for tensor in parameters_of(network)]
        multipliers = [next(module.parameters()).reshape(()) for module in (modules.log_temp, modules.log_alpha)]
        return [tensor.detach() for tensor in (*tensors, *heads, *multipliers)]

    def update(self, batch: Batch) -> list[Agreement]:
        """One update of both on the same noise; how far their losses are apart."""
        for slopes in (slopes for pair in self.slopes.values() for slopes in pair):
            slopes.clear()
        state = torch.get_rng_state()
        size, action_size = batch.actions.shape
        count = self.ours.config.num_action_samples
        policy, following = (torch.randn(count, size, action_size).transpose(0, 1) for _ in range(2))
        uniform = torch.zeros(size * count, action_size).uniform_(-1, 1).view(size, count, action_size)
        self.penalty_noise.draws.extend((uniform, policy, following))
        self.noise.draws.append(torch.randn(size, action_size))
        torch.set_rng_state(state)
        theirs = self.theirs.update(batch)
        ours = self.ours.update(batch)
        excess = self.ours.config.cql_alpha * (ours["conservative_gap"] - (self.ours.config.lagrange_threshold or 0))
        multiplier = ours.get("lagrange_multiplier", 1.0)
        conservative = 2 * multiplier * excess
        agreements = [
            Agreement(term, relative_difference(torch.as_tensor(our), torch.as_tensor(float(their))))
            for term, our, their in (
                ("critic loss", 2 * ours["td_loss"] + conservative, theirs["critic_loss"]),
                ("conservative loss", conservative, theirs["conservative_loss"]),
                ("actor loss", ours["actor_loss"], theirs["actor_loss"]),
                ("temperature", ours["temperature"], theirs["temp"]),
                ("Lagrange multiplier", multiplier, theirs["alpha"]),
            )
        ]
        # The first slope of each is that of the multiplier's own loss, and an exponential's slope is itself.
        first = [(term, our[0], their[0]) for term, (our, their) in self.slopes.items() if our]
        return agreements + [Agreement(term, relative_difference(our, their)) for term, our, their in first]

    def parameter_difference(self) -> float:
        """The largest relative difference of any parameter tensor."""
        pairs = zip(self.our_parameters(), self.their_parameters(), strict=True)
        return max(relative_difference(ours.detach(), theirs) for ours, theirs in pairs)


def random_batches(count: int, size: int) -> list[Batch]:
    """Batches of SPEC's shapes, always the same."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    observed = SPEC.observation_size
    return [
        Batch(
            normal(size, observed),
            torch.tanh(normal(size, SPEC.action_size)),
            normal(size),
            normal(size, observed),
            (normal(size) > 1.5).float(),
        )
        for _ in range(count)
    ]


def slopes_of(parameter: nn.Parameter) -> list[Tensor]:
    """A list that grows by the parameter's slope in each loss that is differentiated from now on, a number each."""
    slopes: list[Tensor] = []
    parameter.register_hook(lambda slope: slopes.append(slope.reshape(())))
    return slopes


def relative_difference(ours: Tensor, theirs: Tensor) -> float:
    """Largest absolute difference over the largest absolute value of either side."""
    size = torch.maximum(ours.abs().max(), theirs.abs().max())
    return float((ours - theirs).abs().max() / size) if size else 0.0


def linear_layers(module: nn.Module) -> list[nn.Linear]:
    """All linear layers, from input to output."""
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def parameters_of(module: nn.Module) -> list[Tensor]:
    """Weights and biases of all linear layers."""
    return [tensor for layer in linear_layers(module) for tensor in (layer.weight, layer.bias)]
