"""CQL as five places have it, each a set of defaults over CQLConfig; `cql@corl` in a suite. Needs no torch.

docs/dialects.md goes through every difference, its source file and what could not be carried over.
"""

from __future__ import annotations

from dataclasses import dataclass

from cqlbench.algorithms.configs import CQLConfig


@dataclass(frozen=True)
class Paper(CQLConfig):
    """Kumar et al. 2020, appendix F, for the Gym tasks: Lagrange, no actions of the next state, slow policy."""

    depth: int = 3
    normalise_observations: bool = False
    actor_learning_rate: float = 3e-5
    # The paper halves the TD error and multiplies the gap by the multiplier alone.
    cql_alpha: float = 2.0
    lagrange_threshold: float | None = 10.0
    next_actions: str = "unused"


@dataclass(frozen=True)
class Authors(CQLConfig):
    """aviralkumar2907/CQL, d4rl/rlkit/torch/sac/cql.py, run as its README says for the MuJoCo tasks.

    The script d4rl/examples/cql_mujoco_new.py without the README's flags: cql_alpha 1, lagrange_threshold 5.
    """

    depth: int = 3
    normalise_observations: bool = False
    temperature_learning_rate: float = 1e-4
    # The README says 5 or 10.
    cql_alpha: float = 5.0
    threshold_of: str = "weighted_gap"
    bc_warm_start: int = 40_000
    log_std_min: float = -5.0
    policy_init: str = "rlkit"
    critic_init: str = "rlkit"
    independent_targets: bool = True
    joint_update: bool = True
    multipliers_first: str = "temperature"
    temperature_loss_of: str = "log_temperature"


@dataclass(frozen=True)
class YoungGeng(CQLConfig):
    """young-geng/CQL, SimpleSAC/conservative_sac.py and conservative_sac_main.py."""

    normalise_observations: bool = False
    action_clip: float = 0.999
    actor_learning_rate: float = 3e-4
    log_std_scaling: bool = True
    policy_init: str = "small-output"
    critic_init: str = "small-output"
    joint_update: bool = True
    temperature_loss_of: str = "log_temperature"
    # Their log multiplier starts at 1.
    initial_lagrange_multiplier: float = 2.718281828459045


@dataclass(frozen=True)
class Corl(CQLConfig):
    """corl-team/CORL, algorithms/offline/cql.py."""

    depth: int = 3
    actor_learning_rate: float = 3e-5
    temperature_learning_rate: float = 3e-5
    cql_alpha: float = 10.0
    log_std_scaling: bool = True
    policy_init: str = "small-output"
    critic_init: str = "orthogonal"
    joint_update: bool = True
    temperature_loss_of: str = "log_temperature"
    initial_lagrange_multiplier: float = 2.718281828459045


@dataclass(frozen=True)
class D3rlpy(CQLConfig):
    """d3rlpy 2.8.1, d3rlpy/algos/qlearning/cql.py and torch/cql_impl.py."""

    normalise_observations: bool = False
    temperature_learning_rate: float = 1e-4
    target_action: str = "mean"
    lagrange_threshold: float | None = 10.0
    lagrange_learning_rate: float = 1e-4
    multipliers_first: str = "all"


DIALECTS: dict[str, type[CQLConfig]] = {
    "paper": Paper,
    "authors": Authors,
    "young-geng": YoungGeng,
    "corl": Corl,
    "d3rlpy": D3rlpy,
}
