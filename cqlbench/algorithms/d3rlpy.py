"""d3rlpy's BC, SAC, CQL and BEAR behind the same contract, fed our own batches.

Nothing of d3rlpy's mathematics is touched, BEAR's on request apart: its `update` gets a batch made of our tensors, its
own sampler, scalers and evaluator are not used. Verified against d3rlpy 2.8.1, d3rlpy/algos/qlearning/.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cqlbench.algorithms.algorithm import load_optimiser_state, optimiser_state, part_of
from cqlbench.algorithms.configs import (
    ActorCriticConfig,
    D3rlpyBCConfig,
    D3rlpyBEARConfig,
    D3rlpyCQLConfig,
    D3rlpySACConfig,
)
from cqlbench.seeding import seed_for
from cqlbench.tasks import Batch, TaskSpec


def _quiet_import() -> Any:
    """d3rlpy, without the four lines that the old gym it imports prints, and without its log lines."""
    import gym_notices.notices

    gym_notices.notices.notices.clear()
    import logging

    import d3rlpy
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    return d3rlpy


d3rlpy = _quiet_import()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """d3rlpy draws from torch's global generator alone: inside it starts from `seed`, afterwards it is as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _seed_from(generator: torch.Generator) -> int:
    return int(torch.randint(2**62, (), generator=generator))


class _D3rlpyAlgorithm:
    """What all share: building, feeding and asking."""

    def __init__(self, spec: TaskSpec, algorithm: Any, seed: int, device: torch.device) -> None:
        self.device, self.updates = device, 0
        # d3rlpy draws its initial weights and all its noise from torch's global generator.
        torch.manual_seed(seed_for("d3rlpy", seed))
        algorithm.create_impl((spec.observation_size,), spec.action_size)
        self.impl = algorithm.impl

    def update(self, batch: Batch) -> dict[str, Tensor | float]:
        rewards = batch.rewards[:, None]
        metrics = self.impl.update(
            d3rlpy.torch_utility.TorchMiniBatch(
                observations=batch.observations,
                actions=batch.actions,
                rewards=rewards,
                next_observations=batch.next_observations,
                # These two serve other algorithms; none of ours reads them.
                next_actions=batch.actions,
                returns_to_go=rewards,
                terminals=batch.terminals[:, None],
                intervals=torch.ones_like(rewards),
                device=str(self.device),
            ),
            self.updates,
        )
        self.updates += 1
        return metrics

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=self.device)

    @torch.no_grad()
    def act(self, observations: np.ndarray) -> np.ndarray:
        return self.impl.predict_best_action(self._tensor(observations)).cpu().numpy()

    def state_dict(self) -> dict[str, Tensor]:
        return {
            f"{name}.{key}": value
            for name, module in vars(self.impl.modules).items()
            if isinstance(module, torch.nn.Module)
            for key, value in module.state_dict().items()
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name, module in vars(self.impl.modules).items():
            if isinstance(module, torch.nn.Module):
                module.load_state_dict(part_of(state, name))

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        found = {name: getattr(part, "optim", None) for name, part in vars(self.impl.modules).items()}
        return {name: part for name, part in found.items() if isinstance(part, torch.optim.Optimizer)}

    def training_state(self) -> dict[str, Tensor]:
        """Its noise is torch's global generator, which a checkpoint keeps for every method."""
        state = self.state_dict() | {"updates": torch.tensor(self.updates)}
        for name, optimiser in self._optimisers().items():
            state |= {f"{name}.{key}": tensor for key, tensor in optimiser_state(optimiser).items()}
        return state

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        self.load_state_dict(state)
        self.updates = int(state["updates"])
        for name, optimiser in self._optimisers().items():
            load_optimiser_state(optimiser, part_of(state, name))


class _D3rlpyActorCritic(_D3rlpyAlgorithm):
    """Adds what a method with a stochastic policy and critics can answer."""

    entropy_in_target: bool

    @torch.no_grad()
    def sample(self, observations: np.ndarray, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
        with _seeded(_seed_from(generator)):
            actions, log_densities = self._draw(self._tensor(observations))
        bonus = torch.zeros_like(log_densities)
        if self.entropy_in_target:
            bonus = -self._parameter("log_temp").exp() * log_densities
        return actions.cpu().numpy(), bonus.squeeze(-1).cpu().numpy()

    def _draw(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """(B, O) -> an action of the policy (B, A) and its log-density (B, 1)."""
        return self._distribution(observations).sample_with_log_prob()

    def _distribution(self, observations: Tensor) -> Any:
        return d3rlpy.models.torch.build_squashed_gaussian_distribution(self.impl.policy(observations))

    def _parameter(self, name: str) -> Tensor:
        """One of its learned numbers, (1, 1)."""
        return d3rlpy.models.torch.get_parameter(getattr(self.impl.modules, name))

    @torch.no_grad()
    def value(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        inputs = self._tensor(observations), self._tensor(actions)
        return torch.stack([q(*inputs).q_value.squeeze(-1) for q in self.impl.q_function]).cpu().numpy()


def _shared_settings(config: ActorCriticConfig) -> dict[str, Any]:
    encoder = d3rlpy.models.VectorEncoderFactory(hidden_units=[config.width] * config.depth)
    return {
        "batch_size": config.batch_size,
        "gamma": config.discount,
        "tau": config.polyak,
        "actor_learning_rate": config.actor_learning_rate,
        "critic_learning_rate": config.critic_learning_rate,
        "temp_learning_rate": config.temperature_learning_rate,
        "initial_temperature": config.initial_temperature,
        "actor_encoder_factory": encoder,
        "critic_encoder_factory": encoder,
        "n_critics": config.num_critics,
    }


class D3rlpyBC(_D3rlpyAlgorithm):
    Config = D3rlpyBCConfig

    def __init__(self, spec: TaskSpec, config: D3rlpyBCConfig, seed: int, device: torch.device) -> None:
        algorithm = d3rlpy.algos.BCConfig(
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            encoder_factory=d3rlpy.models.VectorEncoderFactory(hidden_units=[config.width] * config.depth),
        ).create(device=str(device))
        super().__init__(spec, algorithm, seed, device)


class D3rlpySAC(_D3rlpyActorCritic):
    Config = D3rlpySACConfig
    entropy_in_target = True

    def __init__(self, spec: TaskSpec, config: D3rlpySACConfig, seed: int, device: torch.device) -> None:
        algorithm = d3rlpy.algos.SACConfig(**_shared_settings(config)).create(device=str(device))
        super().__init__(spec, algorithm, seed, device)


class D3rlpyCQL(_D3rlpyActorCritic):
    Config = D3rlpyCQLConfig
    entropy_in_target = False

    def __init__(self, spec: TaskSpec, config: D3rlpyCQLConfig, seed: int, device: torch.device) -> None:
        fixed = config.lagrange_threshold is None
        algorithm = d3rlpy.algos.CQLConfig(
            **_shared_settings(config),
            conservative_weight=config.cql_alpha,
            n_action_samples=config.num_action_samples,
            # Its Lagrange multiplier is on by default; 1 and never moved, it leaves `conservative_weight` alone.
            initial_alpha=1.0,
            alpha_threshold=0.0 if fixed else config.lagrange_threshold,
            alpha_learning_rate=0.0 if fixed else config.lagrange_learning_rate,
        ).create(device=str(device))
        super().__init__(spec, algorithm, seed, device)


class D3rlpyBEAR(_D3rlpyActorCritic):
    """Its targets take the best of ten actions of the policy, by 0.75 of the smallest target critic and 0.25 of the
    largest, with SAC's entropy bonus: so that is the policy which `sample` draws from. It acts by the best of a hundred
    actions, by its first critic.
    """

    Config = D3rlpyBEARConfig
    entropy_in_target = True

    def __init__(self, spec: TaskSpec, config: D3rlpyBEARConfig, seed: int, device: torch.device) -> None:
        settings = _shared_settings(config)
        algorithm = d3rlpy.algos.BEARConfig(
            **settings,
            imitator_encoder_factory=settings["actor_encoder_factory"],
            alpha_threshold=config.lagrange_threshold,
            alpha_learning_rate=config.lagrange_learning_rate,
            warmup_steps=config.bc_warm_start,
        ).create(device=str(device))
        super().__init__(spec, algorithm, seed, device)
        if config.repaired:
            self._repair(config)

    def _repair(self, config: D3rlpyBEARConfig) -> None:
        """Three places where d3rlpy 2.8.1 is not what it says: bear_impl.py, bear.py, models/torch/imitators.py."""
        # The constraint cancels: see `_update_multiplier`.
        self.impl.update_alpha = self._update_multiplier
        # The multiplier's own learning rate is never used, the policy's is.
        self.impl.modules.alpha_optim.optim.param_groups[0]["lr"] = config.lagrange_learning_rate
        # The clone answers without a tanh where one is asked for and with one where none is. So it is trained without
        # and compared with it, to actions of the policy before their tanh: where the data take 0.9, the policy is drawn
        # to tanh(tanh 0.9) = 0.61.
        decoder = self.impl.modules.vae_decoder
        as_it_is = decoder.forward
        decoder.forward = lambda x, latent, with_squash: as_it_is(x, latent, not with_squash)

    def update(self, batch: Batch) -> dict[str, Tensor | float]:
        metrics = super().update(batch)
        # While it warms up it tells less; its policy's loss is then the constraint alone.
        return {
            "imitator_loss": metrics["imitator_loss"],
            "critic_loss": metrics["critic_loss"],
            "actor_loss": metrics["actor_loss"],
            "mmd_loss": metrics.get("mmd_loss", metrics["actor_loss"]),
            "temp": self._parameter("log_temp").detach().exp(),
            "alpha": self._parameter("log_alpha").detach().exp(),
        }

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Of the same hundred draws of noise per row of the batch at every call, so that it acts without chance."""
        with _seeded(seed_for("d3rlpy", "act")):
            return super().act(observations)

    def _draw(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        actions, log_densities = self._distribution(observations).sample_n_with_log_prob(self.impl._n_target_samples)
        _, best = d3rlpy.models.torch.compute_max_with_n_actions_and_indices(
            observations, actions, self.impl._targ_q_func_forwarder, self.impl._lam
        )
        rows = torch.arange(len(best))
        return actions[rows, best], log_densities[rows, best]

    def _update_multiplier(self, mmd_loss: Tensor) -> None:
        """As d3rlpy's `update_alpha`, but the gradient goes to the multiplier alone.

        Theirs sends minus the constraint's gradient to the policy too, after the policy's gradients were set to zero
        and before the policy's loss adds it with a plus: the constraint cancels (bear_impl.py, `compute_actor_loss`).
        """
        optimiser, log_multiplier = self.impl.modules.alpha_optim, self._parameter("log_alpha")
        optimiser.zero_grad()
        (-mmd_loss).backward(retain_graph=True, inputs=[log_multiplier])
        optimiser.step()
        log_multiplier.data.clamp_(-5.0, 10.0)
